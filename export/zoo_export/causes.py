"""Why a quantized file differs: numbers inside of the model that its dtype cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo_export.columns import usual
from zoo_export.converters.inference import inference_clone, named_inputs, reference, up_to
from zoo_export.formats import Format
from zoo_export.tensors import Arrays

_FLOAT16 = float(np.finfo(np.float16).max)


def cause(fmt: Format, model: Any, case: Arrays) -> str:
    """Return a sentence about the first layer whose numbers a scheme cannot hold; empty if none.

    Args:
        fmt: The format and scheme.
        model: The Keras model.
        case: Inputs by name.

    Example:
        >>> import keras
        >>> from zoo_export.formats import find
        >>> x = keras.Input((2,), name="x")
        >>> model = keras.Model(x, keras.layers.Rescaling(1e6, name="scaled")(x))
        >>> cause(find("onnx:float16"), model, {"x": np.ones((1, 2), np.float32)})
        "Layer 'scaled' gives numbers up to 1e+06, and float16 ends at 65,504"
    """
    if fmt.scheme is None:
        return ""
    for name, array in _inner(inference_clone(model), case):
        finite = array[np.isfinite(array)].astype(np.float64).reshape(-1, 1)
        largest = float(np.abs(finite).max(initial=0.0))
        if fmt.scheme.dtype == "float16" and largest > _FLOAT16:
            return f"Layer '{name}' gives numbers up to {largest:.3g}, and float16 ends at 65,504"
        common = usual(finite)
        if fmt.scheme.dtype == "int8" and not common.all():
            others = float(np.abs(finite[common]).max(initial=0.0))
            return (
                f"Layer '{name}' gives {finite[~common][0]:.3g} beside numbers up to {others:.3g}, "
                "and int8 holds both on one scale of 256 steps: mask with a number of about their "
                "size, such as -30, of which softmax leaves 1e-13"
            )
    return ""


def _inner(model: Any, case: Arrays) -> list[tuple[str, Any]]:
    """Return what each layer gives, in their order; nothing where Keras cannot tell."""
    first = {name: array[:1] for name, array in case.items()}
    found = {
        f"{operation.name}/{at}": tensor
        for operation in getattr(model, "operations", [])
        for node in operation._inbound_nodes
        for at, tensor in enumerate(node.output_tensors)
        if str(tensor.dtype).startswith("float")
    }
    taken = {id(tensor) for tensor in named_inputs(model).values()}
    inner = {name: tensor for name, tensor in found.items() if id(tensor) not in taken}
    try:
        probe = up_to(model, {str(at): tensor for at, tensor in enumerate(inner.values())})
        outputs = reference(probe, first)
    except Exception:  # a graph of the user's own layers that cannot be cut
        return []
    return [(name.rpartition("/")[0], outputs[str(at)]) for at, name in enumerate(inner)]
