"""Why a quantized file differs: numbers inside of the model that its dtype cannot hold."""

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
# Operators whose outputs are not made of the inputs, and those that only hand them on.
_UNMADE = {"Const", "Placeholder", "ReadVariableOp", "Identity"}


def cause(fmt: Format, model: Any, cases: Sequence[Arrays]) -> str:
    """Return a sentence about the first layer whose numbers a scheme cannot hold; empty if none.

    Args:
        fmt: The format and scheme.
        model: The Keras model.
        cases: Batches of inputs by name.

    Example:
        >>> import keras
        >>> from zoo_runtime.formats import find
        >>> x = keras.Input((2,), name="x")
        >>> model = keras.Model(x, keras.layers.Rescaling(1e6, name="scaled")(x))
        >>> cause(find("onnx:float16"), model, [{"x": np.ones((1, 2), np.float32)}])
        "Layer 'scaled' gives numbers up to 1e+06, and float16 ends at 65,504"
    """
    if fmt.scheme is None:
        return ""
    signature, rows = signature_of(inference_clone(model)), _rows(cases)
    if fmt.scheme.dtype == "float16":
        return _beyond_float16(fmt, signature, rows)
    if fmt.scheme.dtype == "int8":
        steps = "65,536" if fmt.name.endswith("int16x8") else "256"
        return _first(lambda where, array: _on_two_scales(where, array, steps), signature, rows)
    return ""


def _beyond_float16(fmt: Format, signature: Signature, rows: Arrays) -> str:
    # LiteRT keeps weights and constants in it and computes in float32.
    if fmt.name.partition(":")[0] == "tflite":
        found = (
            _too_large(f"{where} holds", array) for where, array in _constants(signature, rows)
        )
        return next(filter(None, found), "")
    inputs = (_too_large(f"Input '{name}' holds", array) for name, array in rows.items())
    return next(filter(None, inputs), "") or _first(
        lambda where, array: _too_large(f"{where} gives", array), signature, rows
    )


def _too_large(what: str, array: Array) -> str:
    if array.dtype.kind != "f":
        return ""
    largest = float(
        np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape)).max(initial=0)
    )
    if largest <= _FLOAT16:
        return ""
    return f"{what} numbers up to {largest:.3g}, and float16 ends at 65,504"


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


def _first(judge: Callable[[str, Array], str], signature: Signature, rows: Arrays) -> str:
    """Return what is said of the first array that something is said of: of layers, then inside."""
    for inside in (_between_layers, _inside_of_layers):
        found = (judge(where, array) for where, array in inside(signature, rows))
        if said := next(filter(None, found), ""):
            return said
    return ""


def random_layers(signature: Signature, case: Arrays) -> list[str]:
    """Return the layers that draw random numbers, outside of training too.

    Args:
        signature: The model's.
        case: Inputs by name.
    """
    found = _of_graph(signature, case, lambda kind: "Random" in kind)
    return list(dict.fromkeys(where for where, _ in found))


def _rows(cases: Sequence[Arrays]) -> dict[str, Array]:
    shapes = [{name: array.shape[1:] for name, array in case.items()} for case in cases]
    alike = [dict(case) for case, shape in zip(cases, shapes, strict=True) if shape == shapes[0]]
    return {name: array[:_ROWS] for name, array in joined(alike).items()}


def _between_layers(signature: Signature, rows: Arrays) -> Iterator[tuple[str, Array]]:
    """Yield what each layer gives, in their order; nothing where Keras cannot tell."""
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
    yield from _of_graph(signature, rows, lambda kind: kind not in _UNMADE)


def _constants(signature: Signature, rows: Arrays) -> Iterator[tuple[str, Array]]:
    yield from _of_graph(signature, rows, lambda kind: kind == "Const")


def _of_graph(
    signature: Signature, rows: Arrays, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Array]]:
    import tensorflow as tf

    names: list[str] = []

    def run(arrays: dict[str, Any]) -> list[Any]:
        signature.call(arrays)
        operators = tf.compat.v1.get_default_graph().get_operations()
        floats = [
            (operator.name, tensor)
            for operator in operators
            if wanted(operator.type)
            for tensor in operator.outputs
            if tensor.dtype in {tf.float32, tf.float64}
        ]
        names.extend(name for name, _ in floats)
        return [tf.identity(tensor) for _, tensor in floats]

    try:
        arrays = tf.function(run, autograph=False)({n: tf.constant(a) for n, a in rows.items()})
    except Exception:  # whatever the user's own layers raise, the export has met it before
        return
    for name, array in zip(names, arrays, strict=True):
        layer = layer_of(signature.model, name)
        what = f"Layer '{layer}'" if layer else f"Operator '{name}'"
        yield what, array.numpy()
