"""A LiteRT file that is trained on the device: signatures train, infer, save and restore.

The head alone is trained: y = h(x W + b), where x = f(inputs) are features that stay as they are
and h has no weights. One step of stochastic gradient descent on rows i with weights w_i is

    L = sum_i w_i l_i / sum_i w_i,    W <- W - r dL/dW,    b <- b - r dL/db

with l_i = -log softmax(x_i W + b)[label_i] where classes are distinguished (a single logit z counts
as the two logits 0 and z), else l_i = mean((y_i - label_i)^2). Gradients of convolutions, and the
operators that save and restore files, are none of LiteRT's own: hence the head alone, and weights
that ``save`` returns and ``restore`` takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.converters.compositions import LITERT, composed
from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.litert.recurrent import recurrent_layers
from zoo_export.converters.tracing import Conversion
from zoo_export.reading.signature import signature_of, tensor_specs, up_to, uses
from zoo_registry.specs import is_regression
from zoo_runtime.errors import ExportError
from zoo_runtime.running.training import (
    INFER,
    LABELS,
    LEARNING_RATE,
    RESTORE,
    SAMPLE_WEIGHT,
    SAVE,
    TRAIN,
    Trainer,
    open_trainer,
)
from zoo_runtime.tensors import Array, Arrays, Tensor

_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_CLASSES_TASKS = ("classification", "causal-lm")
_TAGS_TASK = "multi-label"


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write the file, train it a step, put it back, and return what it holds.

    Raises:
        ExportError: The model has no head that can be trained, an operator has no kernel in
            LiteRT, a step does not lower the loss, or restoring does not bring back the answers.
    """
    import tensorflow as tf

    head = find_head(conversion.model, conversion.about.get("task"))
    reserved = {LABELS, LEARNING_RATE, SAMPLE_WEIGHT} & {t.name for t in conversion.inputs}
    if reserved:
        raise ExportError(f"its input '{min(reserved)}' has a name that training uses: rename it")
    module = _module(head)
    recurrent = recurrent_layers(head.features, conversion.options.rnn, loops=True)
    with recurrent as layers, composed(LITERT):
        signatures = _signatures(module, head, conversion)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[*signatures])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True
        converter.canonicalizing_inf_as_min_max_float = False
        try:
            content = converter.convert()
        except Exception as error:  # ConverterError, or whatever its MLIR passes let through
            graph = signatures[TRAIN].graph
            raise tflite.refused(conversion.model, graph, error) from error
    conversion.path.write_bytes(content)
    facts = tflite.inspect(conversion, signature=INFER)
    loss = "softmax-cross-entropy" if head.classifies else "mean-squared-error"
    if layers:
        facts["rnn"] = layers
    described = {"head": head.name, "loss": loss, "batch": conversion.options.train_batch}
    return {**facts, "train": {**described, **_try_out(conversion, head)}}


def _module(head: Head) -> Any:
    import tensorflow as tf

    module = tf.Module()
    module.features = [variable.value for variable in head.features.variables]
    module.head = {"kernel": tf.Variable(head.kernel.value, name="kernel")}
    if head.bias is not None:
        module.head["bias"] = tf.Variable(head.bias.value, name="bias")
    return module


def _signatures(module: Any, head: Head, conversion: Conversion) -> dict[str, Any]:
    import tensorflow as tf

    variables: dict[str, Any] = module.head

    def infer(**arrays: Any) -> dict[str, Any]:
        answer = head.answer(_scores(head, variables, _features(head, arrays)))
        return {head.output: tf.identity(answer)}

    def train(**arrays: Any) -> dict[str, Any]:
        labels, weight = arrays.pop(LABELS), arrays.pop(SAMPLE_WEIGHT)
        rate = arrays.pop(LEARNING_RATE)
        features = _features(head, arrays)
        with tf.GradientTape() as tape:
            scores = _scores(head, variables, features)
            losses = (_cross_entropy if head.classifies else _squared_error)(scores, labels)
            loss = tf.reduce_sum(weight * losses) / tf.reduce_sum(weight)
        for name, gradient in tape.gradient(loss, dict(variables)).items():
            variables[name].assign_sub(rate * gradient)
        return {"loss": loss}

    def save() -> dict[str, Any]:
        return {name: tf.identity(variable) for name, variable in variables.items()}

    def restore(**arrays: Any) -> dict[str, Any]:
        for name, array in arrays.items():
            variables[name].assign(array)
        return save()

    weights = {name: tf.TensorSpec(v.shape, v.dtype, name) for name, v in variables.items()}
    functions = {
        INFER: (infer, tensor_specs(conversion.inputs)),
        TRAIN: (train, tensor_specs(_train_inputs(head, conversion))),
        SAVE: (save, {}),
        RESTORE: (restore, weights),
    }
    return {
        name: tf.function(function, autograph=False).get_concrete_function(**specs)
        for name, (function, specs) in functions.items()
    }


def _train_inputs(head: Head, conversion: Conversion) -> list[Tensor]:
    batch = conversion.options.train_batch
    [output] = conversion.outputs
    inputs = [Tensor(t.name, t.dtype, (batch, *t.shape[1:])) for t in conversion.inputs]
    # A label for each row, or for each step of each row where the scores have steps.
    labels = output.shape[1:-1] if head.classifies else output.shape[1:]
    weight = labels if head.classifies else ()
    return [
        *inputs,
        Tensor(LABELS, "int32" if head.classifies else "float32", (batch, *labels)),
        Tensor(SAMPLE_WEIGHT, "float32", (batch, *weight)),
        Tensor(LEARNING_RATE, "float32", ()),
    ]


def _features(head: Head, arrays: dict[str, Any]) -> Any:
    return head.features(signature_of(head.features).in_structure(arrays), training=False)


def _scores(head: Head, variables: dict[str, Any], features: Any) -> Any:
    import tensorflow as tf

    # The gradient of a product of matrices alone has its operators in LiteRT.
    kernel = variables["kernel"]
    product = tf.reshape(features, [-1, features.shape[-1]]) @ kernel
    if "bias" in variables:
        product += variables["bias"]
    return head.scores(tf.reshape(product, [*features.shape[:-1], kernel.shape[-1]]))


def _cross_entropy(scores: Any, labels: Any) -> Any:
    import tensorflow as tf

    if scores.shape[-1] == 1:
        scores = tf.concat([tf.zeros_like(scores), scores], axis=-1)
    chosen = tf.one_hot(labels, scores.shape[-1])
    return -tf.reduce_sum(chosen * tf.nn.log_softmax(scores), axis=-1)


def _squared_error(scores: Any, labels: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean((scores - labels) ** 2, axis=list(range(1, len(scores.shape))))


def _try_out(conversion: Conversion, head: Head) -> dict[str, Any]:
    """Train on samples with labels that the model does not give, then restore what was saved."""
    count = conversion.options.train_batch
    sample = conversion.first
    rows = {name: array[np.arange(count) % len(array)] for name, array in sample.items()}
    trainer = open_trainer(conversion.path)
    before = trainer.predict(rows)[head.output]
    labels = _other_labels(before, head)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "head.npz"
        trainer.save(saved)
        rate, losses = _lower(trainer, rows, labels)
        fresh = open_trainer(conversion.path)
        fresh.step(rows, labels, rate)
        for restored in (trainer, fresh):
            restored.restore(saved)
            if not np.array_equal(restored.predict(rows)[head.output], before):
                raise ExportError("restoring saved weights does not bring back the old answers")
    return {"learning_rate": rate, "loss_before": losses[0], "loss_after": losses[1]}


def _other_labels(answers: Array, head: Head) -> Array:
    if not head.classifies:
        return answers + np.float32(1)
    if answers.shape[-1] == 1:
        middle = 0.0 if head.output == "logits" else 0.5
        return np.asarray(answers[..., 0] <= middle, np.int32)
    return np.asarray(answers.argmin(axis=-1), np.int32)


def _lower(trainer: Trainer, rows: Arrays, labels: Array) -> tuple[float, list[float]]:
    old = trainer.weights()
    losses: list[float] = []
    for rate in _RATES:
        losses = [trainer.step(rows, labels, rate), trainer.step(rows, labels, 0.0)]
        if losses[1] < losses[0]:
            return rate, losses
        trainer.set_weights(old)
    raise ExportError(
        f"a step of training does not lower the loss: {losses[0]:.6g} before, {losses[1]:.6g} after"
    )


# The head of a model: its last Dense layer, what leads to it and what stands after it.


@dataclass(frozen=True)
class Head:
    """The part of a model that is trained on a device.

    Args:
        name: Name of the Dense layer.
        output: Name of the model's output.
        features: The model from its inputs to the Dense layer.
        kernel: float32 (features, units), as it is now.
        bias: float32 (units,), or ``None``.
        scores: What turns the Dense layer's product into what the loss is measured on.
        answer: What turns the scores into the model's output: a softmax or sigmoid, or nothing.
        classifies: Whether the scores are logits of classes, one of which is right; otherwise
            they are numbers.
    """

    name: str
    output: str
    features: Any
    kernel: Any
    bias: Any
    scores: Callable[[Any], Any]
    answer: Callable[[Any], Any]
    classifies: bool


def find_head(model: Any, task: str | None) -> Head:
    """Return the head of a model.

    Args:
        model: A functional or sequential model in float32.
        task: What it is for, if that is known.

    Raises:
        ExportError: A model that does not end in one Dense layer of its own, or one of several
            answers of yes or no.
    """
    import keras

    outputs = signature_of(model).outputs
    if len(outputs) > 1:
        raise _no_head(f"it has {len(outputs)} outputs ({', '.join(outputs)})")
    [(output, tensor)] = outputs.items()
    after: list[Any] = []
    while type(_operation(tensor)) is not keras.layers.Dense:
        node = _node(tensor)
        _check_weightless(node)
        after.insert(0, node)
        tensor = node.arguments.keras_tensors[0]
    layer = _operation(tensor)
    if uses(model, layer) > 1:
        raise _no_head(f"its last Dense layer, '{layer.name}', is used more than once")
    steps: list[Callable[[Any], Any]] = [layer.activation, *map(_apply, after)]
    functions = [layer.activation, *(_function(node.operation) for node in after)]
    if is_regression(task):
        cut, squash = len(steps), None
    else:
        cut, squash = _last_activation(functions)
    if layer.units > 1 and (squash is keras.activations.sigmoid or task == _TAGS_TASK):
        raise _no_head(
            f"'{layer.name}' gives {layer.units} answers of yes or no, each with a loss of its own"
        )
    by_name = output == "logits" or (task or "").endswith(_CLASSES_TASKS)
    return Head(
        name=layer.name,
        output=output,
        features=up_to(model, _node(tensor).arguments.keras_tensors[0]),
        kernel=layer.kernel,
        bias=layer.bias if layer.use_bias else None,
        scores=_chain(steps[:cut]),
        answer=_chain(steps[cut:]),
        classifies=squash is not None or (by_name and not is_regression(task)),
    )


def _no_head(reason: str) -> ExportError:
    return ExportError(
        f"only the last Dense layer of a model can be trained on a device, and {reason}"
    )


def _check_weightless(node: Any) -> None:
    operation = node.operation
    kind = type(operation).__name__
    if kind == "InputLayer":
        raise _no_head("there is none")
    if getattr(operation, "variables", ()):
        raise _no_head(f"the last layer with weights, '{operation.name}', is of type {kind}")
    if len(node.arguments.keras_tensors) != 1:
        raise _no_head(f"'{operation.name}' ({kind}), which stands after it, joins several tensors")


def _operation(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _node(tensor: Any) -> Any:
    return _operation(tensor)._inbound_nodes[tensor._keras_history.node_index]


def _last_activation(functions: Sequence[Any]) -> tuple[int, Any]:
    """Return where the softmax or sigmoid stands that ends the steps, and which it is."""
    import keras

    index = len(functions)
    while index and functions[index - 1] is keras.activations.linear:
        index -= 1
    if index and functions[index - 1] in {keras.activations.softmax, keras.activations.sigmoid}:
        return index - 1, functions[index - 1]
    return len(functions), None


def _function(operation: Any) -> Any:
    """Return the activation function that an operation is, if it is one; linear for no change."""
    import keras

    if isinstance(operation, keras.layers.Softmax) and operation.axis == -1:
        return keras.activations.softmax
    if isinstance(operation, keras.layers.Activation):
        return operation.activation
    if isinstance(operation, keras.layers.Identity | keras.layers.Dropout):
        return keras.activations.linear
    return None


def _apply(node: Any) -> Callable[[Any], Any]:
    [symbolic] = node.arguments.keras_tensors

    def call(value: Any) -> Any:
        args, kwargs = node.arguments.fill_in({id(symbolic): value})
        return node.operation(*args, **kwargs)

    return call


def _chain(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return call
