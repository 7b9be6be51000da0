"""The head of a model: its last Dense layer, what leads to it and what stands after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_export.reading.signature import signature_of, up_to, uses
from zoo_registry.specs import is_regression
from zoo_runtime.errors import ExportError

_CLASSES_TASKS = ("classification", "causal-lm")
_TAGS_TASK = "multi-label"


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
