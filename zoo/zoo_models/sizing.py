"""What a model costs to hold, to run and to train, counted from its graph: nothing is allocated."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zoo_registry
from zoo_models.backend import check_backend
from zoo_models.build import get_model
from zoo_models.calling import load_builder
from zoo_models.memory import without_weights
from zoo_registry import ModelSpec, UsageError
from zoo_system.untouched import untouched

TOKENS, PIXELS = 128, 224
BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Of a weight in training: itself, its gradient and Adam's two moments, all float32.
TRAINED_BYTES = 16
# What gives its input back under another shape: no memory of its own.
_VIEWS = {"Identity", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "TensorListFromTensor"}
# Weights, inputs and constants are not results.
_GIVEN = {"Placeholder", "Const"}
# Operations that run a function, by the attribute that names it.
_FUNCTIONS = {
    "While": "body",
    "StatelessWhile": "body",
    "PartitionedCall": "f",
    "StatefulPartitionedCall": "f",
}


@dataclass(frozen=True)
class Size:
    """Costs of one model at one size of input; bytes are those of float32.

    Args:
        name: Of the model.
        task: Its head.
        inputs: Shapes by name, batch first.
        num_params: Trainable parameters.
        macs: Multiply-adds of the whole batch.
        result_bytes: Of all results of one pass.
        peak_bytes: Most bytes of results in memory together in inference.
        cache_bytes: Of all keys and values of every step, which generation keeps; 0 without.
        weight_bytes: Of all variables.
    """

    name: str
    task: str
    inputs: Mapping[str, tuple[int, ...]]
    num_params: int
    macs: int
    result_bytes: int
    peak_bytes: int
    cache_bytes: int
    weight_bytes: int

    def weights(self, dtype: str = "float32") -> int:
        """Return the bytes of the weights: the size of an exported file, nearly."""
        return self.weight_bytes * BYTES[dtype] // 4

    def inference(self, dtype: str = "float32") -> int:
        """Return the bytes that a pass needs: weights and the results in memory together.

        With ``int8`` weights the results stay float32, as after dynamic quantization.
        """
        width = 4 if dtype == "int8" else BYTES[dtype]
        return self.weights(dtype) + self.peak_bytes * width // 4

    def training(self, dtype: str = "float32") -> int | None:
        """Return the bytes that a step of Adam needs, or ``None`` for ``int8``.

        Weights, gradients and moments are float32; ``float16`` means mixed precision.
        """
        if dtype == "int8":
            return None
        return self.num_params * TRAINED_BYTES + self.result_bytes * BYTES[dtype] // 4

    def cache(self, dtype: str = "float32") -> int:
        """Return the bytes of the key/value cache."""
        return self.cache_bytes * BYTES[dtype] // 4


@untouched()
def size(
    name: str | ModelSpec,
    *,
    task: str | None = None,
    batch: int = 1,
    sequence_length: int = TOKENS,
    image_size: int | None = None,
    **overrides: Any,
) -> Size:
    """Return what a model costs; no weight is allocated.

    Args:
        name: A registered name, or a spec.
        task: The head; the first one by default.
        batch: Examples.
        sequence_length: Tokens or steps of models that take any number.
        image_size: Height and width in pixels; the model's own by default.
        overrides: Arguments of the builder.

    Raises:
        UnknownNameError: No such model.
        UsageError: A size or override that the model does not take.

    Example:
        >>> bert = size("bert-base", sequence_length=128)
        >>> bert.num_params, round(bert.macs / 1e9, 1), round(bert.weights("int8") / 1e6)
        (109482240, 11.2, 109)
    """
    check_backend()

    spec = zoo_registry.models.get(name) if isinstance(name, str) else name
    _check_positive(spec, batch=batch, sequence_length=sequence_length, image_size=image_size)
    if image_size is not None:
        overrides["input_shape"] = image_shape(spec, image_size, image_size)
    _check_length(spec, sequence_length, overrides)
    model = abstract_model(spec, task, **overrides)
    return size_of(model, spec.name, batch, sequence_length, image_size)


def size_of(
    model: Any,
    name: str,
    batch: int = 1,
    sequence_length: int = TOKENS,
    image_size: int | None = None,
) -> Size:
    """Return what a model of :func:`abstract_model` costs.

    Args:
        model: The model.
        name: What the result calls it.
        batch: Examples.
        sequence_length: As for :func:`size`.
        image_size: As for :func:`size`.
    """
    shapes = {
        tensor.name: (batch, *_filled(tensor.shape[1:], sequence_length, image_size or PIXELS))
        for tensor in model.inputs
    }
    outputs = trace(model, shapes)
    chosen = str(model.zoo_spec.defaults.get("task", ""))
    return Size(
        name=name,
        task=chosen,
        inputs=shapes,
        num_params=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        macs=multiply_adds(outputs),
        result_bytes=results(outputs),
        peak_bytes=most_at_once(outputs),
        cache_bytes=4 * batch * _cached(model, chosen, shapes),
        weight_bytes=4 * sum(math.prod(weight.shape) for weight in model.weights),
    )


def _filled(shape: tuple[int | None, ...], steps: int, pixels: int) -> Iterator[int]:
    # What has no size of its own: both sides of an image, else the steps of a sequence.
    return ((pixels if len(shape) == 3 else steps) if s is None else s for s in shape)


def _cached(model: Any, task: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the values in the cache of an example: a key and a value a step and layer."""
    if task not in {"causal-lm", "seq2seq"}:
        return 0
    steps = next(shape[1] for key, shape in shapes.items() if key.endswith("token_ids"))
    layers = [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "num_kv_heads") and not layer.path.startswith("encoder")
    ]
    return sum(2 * steps * layer.num_kv_heads * layer.head_dim for layer in layers)


def image_shape(spec: ModelSpec, height: int, width: int) -> tuple[int, int, int]:
    """Return the ``input_shape`` that builds a model for images of a size.

    Raises:
        UsageError: It takes no images, or only those of its own size.

    Example:
        >>> image_shape(zoo_registry.models.get("lenet5"), 32, 48)
        (32, 48, 1)
    """
    image = next((tensor for tensor in spec.inputs if len(tensor.shape) == 3), None)
    if image is None or "input_shape" not in inspect.signature(load_builder(spec)).parameters:
        taken = ", ".join(map(str, spec.inputs)) or "something else"
        raise UsageError(f"Model '{spec.name}' takes no image of another size: {taken}.")
    return (height, width, int(image.shape[-1] or 3))


def _check_length(spec: ModelSpec, length: int, overrides: Mapping[str, Any]) -> None:
    parameters = inspect.signature(load_builder(spec)).parameters
    default = parameters["max_length"].default if "max_length" in parameters else None
    longest = {"max_length": default, **spec.defaults, **overrides}["max_length"]
    if isinstance(longest, int) and length > longest:
        raise UsageError(
            f"Model '{spec.name}' has positions for {longest} tokens, not {length}: choose a "
            f"shorter sequence, or max_length={length}."
        )


def _check_positive(spec: ModelSpec, **sizes: int | None) -> None:
    for key, value in sizes.items():
        if value is not None and value < 1:
            raise UsageError(f"Model '{spec.name}': {key}={value} must be 1 or more.")


def abstract_model(spec: ModelSpec, task: str | None, **overrides: Any) -> Any:
    """Return the ``keras.Model`` with variables that have a shape and no value.

    Args:
        spec: The model.
        task: The head; the first by default.
        overrides: Arguments of the builder.
    """
    with without_weights():
        return get_model(spec, task=task, **overrides)


def trace(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
    """Return the outputs of one inference in a graph; weights and inputs are its placeholders.

    Args:
        model: From :func:`abstract_model`.
        shapes: Of the inputs by name, batch first.
    """
    import keras
    import tensorflow as tf

    specs = [tf.TensorSpec(variable.shape, variable.dtype) for variable in model.variables]
    wanted = {
        tensor.name: tf.TensorSpec(shapes[tensor.name], tensor.dtype) for tensor in model.inputs
    }

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # Any
    def infer(values: list[Any], inputs: dict[str, Any]) -> list[Any]:
        given = zip(model.variables, values, strict=True)
        fed = keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)
        with keras.StatelessScope(state_mapping=given, initialize_variables=False):
            return list(keras.tree.flatten(model(fed, training=False)))

    return list(infer.get_concrete_function(specs, wanted).graph.outputs)


def multiply_adds(outputs: Sequence[Any]) -> int:
    """Return the multiply-adds of all matrix products and convolutions, as papers count them.

    A loop counts as often as it runs, once a step of the sequence.

    Args:
        outputs: Tensors of a ``tf.Graph`` whose shapes are all known.
    """
    return sum(map(_multiply_adds, _operations(outputs)))


def results(outputs: Sequence[Any]) -> int:
    """Return the bytes of all results, which a training keeps for the way back.

    Args:
        outputs: As for :func:`multiply_adds`.
    """
    return sum(map(_kept, _operations(outputs)))


def most_at_once(outputs: Sequence[Any]) -> int:
    """Return the bytes of results that are held at the same time, at most, in an inference.

    Operations run in their order, and a result is given back once its last reader is done.

    Args:
        outputs: As for :func:`multiply_adds`.
    """
    operations = _operations(outputs)
    end = len(operations)
    last_read = {_source(t).name: at for at, op in enumerate(operations) for t in op.inputs}
    last_read |= {_source(tensor).name: end for tensor in outputs}
    freed = [0] * (end + 1)
    held = most = 0
    for at, op in enumerate(operations):
        for tensor in _made(op):
            held += _bytes(tensor)
            freed[last_read.get(tensor.name, at)] += _bytes(tensor)
        most = max(most, held)
        held -= freed[at]
    return most


def _operations(outputs: Sequence[Any]) -> list[Any]:
    """Return the operations that the outputs follow from, in their order."""
    needed: set[str] = set()
    waiting = [tensor.op for tensor in outputs]
    while waiting:
        op = waiting.pop()
        if op.name not in needed:
            needed.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in outputs[0].graph.get_operations() if op.name in needed]


def _multiply_adds(op: Any) -> int:
    if op.type in _FUNCTIONS:
        return _runs(op) * multiply_adds(_body(op))
    if op.type == "Einsum":
        return _einsum(op)
    inner = _inner_size(op)
    return inner * _count(op.outputs[0]) if inner else 0


def _kept(op: Any) -> int:
    if op.type in _FUNCTIONS:
        return _runs(op) * results(_body(op))
    return sum(map(_bytes, _made(op)))


def _made(op: Any) -> list[Any]:
    return [] if op.type in _VIEWS | _GIVEN else list(op.outputs)


def _inner_size(op: Any) -> int:
    """Return of how many products each value of the result is the sum; 0 for other operations."""
    if op.type in {"Conv2D", "Conv3D"}:
        return _count(op.inputs[1]) // int(op.inputs[1].shape[-1])
    if op.type == "DepthwiseConv2dNative":
        return math.prod(op.inputs[1].shape[:2])
    if op.type == "MatMul":
        return int(op.inputs[0].shape[-2 if op.get_attr("transpose_a") else -1])
    if op.type in {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}:
        return int(op.inputs[0].shape[-2 if op.get_attr("adj_x") else -1])
    return 0


def _einsum(op: Any) -> int:
    terms = op.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, op.inputs, strict=True):
        sizes |= dict(zip(term, map(int, tensor.shape), strict=True))
    return math.prod(sizes.values()) if len(terms) > 1 else 0


def _runs(op: Any) -> int:
    if _FUNCTIONS[op.type] != "body":
        return 1
    # What a recurrent layer goes through is a list made of a tensor, one item a step.
    lists = [t.op.inputs[0] for t in op.inputs if t.op.type == "TensorListFromTensor"]
    return max((int(tensor.shape[0]) for tensor in lists), default=1)


def _body(op: Any) -> list[Any]:
    function = op.graph._get_function(op.get_attr(_FUNCTIONS[op.type]).name)
    return list(function.graph.outputs)


def _source(tensor: Any) -> Any:
    while tensor.op.type in _VIEWS:
        tensor = tensor.op.inputs[0]
    return tensor


def _count(tensor: Any) -> int:
    return math.prod(map(int, tensor.shape))


def _bytes(tensor: Any) -> int:
    if not tensor.shape.is_fully_defined() or tensor.dtype.name == "variant":
        return 0  # a list of tensors is a handle
    return _count(tensor) * int(tensor.dtype.size)
