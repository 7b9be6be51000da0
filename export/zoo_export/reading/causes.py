"""Why a file differs: values that its dtype cannot hold, and such as any file may round away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from zoo_export.reading.inference import inference_clone
from zoo_export.reading.signature import Signature, layer_of, signature_of, up_to
from zoo_runtime.columns import usual
from zoo_runtime.formats import Format
from zoo_runtime.tensors import Array, Arrays, joined

_FLOAT16 = float(np.finfo(np.float16).max)
_ROWS = 32
_FLOATS = {"float32", "float64"}
# As near to a step as the order of a sum moves a value.
_LAST_BITS = 1e-5
_ROUND, _CHOOSE = {"Round", "Rint"}, {"ArgMax", "ArgMin"}
# Operators whose outputs are not made of the inputs, and those that only hand them on.
_UNMADE = {"Const", "Placeholder", "ReadVariableOp", "Identity"}


def cause(fmt: Format, model: Any, samples: Sequence[Arrays]) -> str:
    """Return a sentence about the first layer whose values a file cannot hold; empty if none.

    A scheme cannot hold some of them. And any file may round a half, or choose among equals,
    otherwise than Keras, as the last bit of a sum is another there.

    Args:
        fmt: The format and scheme.
        model: The Keras model.
        samples: Batches of inputs by name.

    Example:
        >>> import keras
        >>> from zoo_runtime.formats import find
        >>> x = keras.Input((2,), name="x")
        >>> sums = keras.layers.Dense(1, kernel_initializer="ones", name="sums")
        >>> model = keras.Model(x, sums(x))
        >>> cause(find("onnx:float16"), model, [{"x": np.full((1, 2), 5e4, np.float32)}])
        "Layer 'sums' gives numbers up to 1e+05, and float16 ends at 65,504"
    """
    signature, rows = signature_of(inference_clone(model)), _rows(samples)
    if fmt.scheme is None:
        return _at_a_step(signature, rows)
    if fmt.scheme.dtype == "float16":
        # LiteRT keeps weights in it, and computes in float32.
        return "" if fmt.name.startswith("tflite") else _beyond_float16(signature, rows)
    if fmt.scheme.dtype == "int8":
        steps = "65,536" if fmt.name.endswith("int16x8") else "256"
        return _first(lambda where, array: _on_two_scales(where, array, steps), signature, rows)
    return ""


def _beyond_float16(signature: Signature, rows: Arrays) -> str:
    """Return what grows beyond float16 of values that are in it.

    What is beyond for a constant or an input that is, as a mask, stays in float32.
    """
    for where, array, taken in _of_graph(signature, rows, lambda kind: kind not in _UNMADE):
        if taken <= _FLOAT16 < (largest := _largest(array)):
            return f"{where} gives numbers up to {largest:.3g}, and float16 ends at 65,504"
    for name, array in rows.items():
        if array.dtype.kind == "f" and (largest := _largest(array)) > _FLOAT16:
            return f"Input '{name}' holds numbers up to {largest:.3g}, and float16 ends at 65,504"
    return ""


def _at_a_step(signature: Signature, rows: Arrays) -> str:
    kinds = _ROUND | _CHOOSE
    taken = _in_graph(
        signature, rows, lambda kind: kind in kinds, lambda operator: [operator.inputs[:1]]
    )
    for kind, where, (array,) in taken:
        count = _halfway(array) if kind in _ROUND else _equals(array, kind)
        if count and kind in _ROUND:
            return (
                f"{where} rounds {count} numbers that lie halfway between two whole ones, and the "
                "last bit of a sum, which is another in a file, says which: compute in floats there"
            )
        if count:
            return (
                f"{where} chooses among numbers that are equal to the last bit, {count} times, and "
                "a file may choose another: give out what it chooses from"
            )
    return ""


def _halfway(array: Array) -> int:
    parts = np.abs(array - np.floor(array) - 0.5)
    return int((parts <= _LAST_BITS * np.maximum(1, np.abs(array))).sum())


def _equals(array: Array, kind: str) -> int:
    """Count the rows, along the last axis, of which two numbers are the largest or smallest."""
    if array.ndim < 1 or array.shape[-1] < 2:
        return 0
    ordered = np.sort(array if kind == "ArgMax" else -array, axis=-1)
    room = _LAST_BITS * np.maximum(np.abs(ordered[..., -1]), np.finfo(np.float32).tiny)
    return int((ordered[..., -1] - ordered[..., -2] <= room).sum())


def _largest(array: Array) -> float:
    finite = np.isfinite(array)
    return float(np.abs(array, where=finite, out=np.zeros(array.shape)).max(initial=0))


def _on_two_scales(where: str, array: Array, steps: str) -> str:
    finite = array[np.isfinite(array)].astype(np.float64).reshape(-1, 1)
    common = usual(finite)
    if common.all():
        return ""
    others = float(np.abs(finite[common]).max(initial=0.0))
    return (
        f"{where} gives {finite[~common][0]:.3g} beside numbers up to {others:.3g}, "
        f"and this scheme holds both on one scale of {steps} steps: mask with a number of about "
        "their size, such as -30, of which softmax leaves 1e-13"
    )


def _first(describe: Callable[[str, Array], str], signature: Signature, rows: Arrays) -> str:
    """Return the first description of an array that is not empty: of layers, then inside."""
    for inside in (_between_layers, _inside_of_layers):
        found = (describe(where, array) for where, array in inside(signature, rows))
        if text := next(filter(None, found), ""):
            return text
    return ""


def random_layers(signature: Signature, inputs: Arrays) -> list[str]:
    """Return the layers that draw random numbers, outside of training too.

    Args:
        signature: The model's.
        inputs: By name.
    """
    found = _of_graph(signature, inputs, lambda kind: "Random" in kind)
    return list(dict.fromkeys(where for where, *_ in found))


def _rows(samples: Sequence[Arrays]) -> dict[str, Array]:
    shapes = [{name: array.shape[1:] for name, array in each.items()} for each in samples]
    alike = [dict(each) for each, shape in zip(samples, shapes, strict=True) if shape == shapes[0]]
    return {name: array[:_ROWS] for name, array in joined(alike).items()}


def _between_layers(signature: Signature, rows: Arrays) -> Iterator[tuple[str, Array]]:
    """Yield what each layer gives, in their order; nothing where Keras has no graph."""
    found = {
        f"{operation.name}/{at}": tensor
        for operation in getattr(signature.model, "operations", [])
        for node in operation._inbound_nodes
        for at, tensor in enumerate(node.output_tensors)
        if str(tensor.dtype).startswith("float")
    }
    taken = {id(tensor) for tensor in signature.inputs.values()}
    inner = {name: tensor for name, tensor in found.items() if id(tensor) not in taken}
    try:
        tensors = {str(at): tensor for at, tensor in enumerate(inner.values())}
        outputs = signature_of(up_to(signature.model, tensors)).reference(rows)
    except Exception:  # a graph of the user's own layers that cannot be cut
        return
    for at, name in enumerate(inner):
        yield f"Layer '{name.rpartition('/')[0]}'", outputs[str(at)]


def _inside_of_layers(signature: Signature, rows: Arrays) -> Iterator[tuple[str, Array]]:
    """Yield what each operator gives that TensorFlow makes of a layer."""
    for where, array, _ in _of_graph(signature, rows, lambda kind: kind not in _UNMADE):
        yield where, array


def _of_graph(
    signature: Signature, rows: Arrays, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Array, float]]:
    """Yield what operators of some kinds give, and the largest number that each takes."""

    def given(operator: Any) -> list[list[Any]]:
        return [[tensor, _largest_taken(operator)] for tensor in operator.outputs]

    for _, where, (array, taken) in _in_graph(signature, rows, wanted, given):
        yield where, array, float(taken)


def _in_graph(
    signature: Signature,
    rows: Arrays,
    wanted: Callable[[str], bool],
    tensors: Callable[[Any], Sequence[Sequence[Any]]],
) -> Iterator[tuple[str, str, list[Array]]]:
    """Yield type and layer of operators of some types, and values of them that begin with floats.

    Args:
        signature: The model's.
        rows: Its inputs by name.
        wanted: Whether a kind of operator is.
        tensors: What to compute for an operator.
    """
    import tensorflow as tf

    found: list[tuple[str, str]] = []

    def run(arrays: dict[str, Any]) -> list[list[Any]]:
        signature.call(arrays)
        operators = tf.compat.v1.get_default_graph().get_operations()
        floats = [
            ((operator.type, operator.name), values)
            for operator in operators
            if wanted(operator.type)
            for values in tensors(operator)
            if values[0].dtype.name in _FLOATS
        ]
        found.extend(operator for operator, _ in floats)
        return [[tf.identity(value) for value in values] for _, values in floats]

    try:
        arrays = tf.function(run, autograph=False)({n: tf.constant(a) for n, a in rows.items()})
    except Exception:  # whatever the user's own layers raise, the export has met it before
        return
    for (kind, name), values in zip(found, arrays, strict=True):
        layer = layer_of(signature.model, name)
        what = f"Layer '{layer}'" if layer else f"Operator '{name}'"
        yield kind, what, [value.numpy() for value in values]


def _largest_taken(operator: Any) -> Any:
    import tensorflow as tf

    floats = [tf.abs(tensor) for tensor in operator.inputs if tensor.dtype.name in _FLOATS]
    zero = tf.constant(0.0, tf.float64)
    return tf.reduce_max([tf.cast(tf.reduce_max(x), zero.dtype) for x in floats] or [zero])
