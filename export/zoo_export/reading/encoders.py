"""Models that compare every row of one input with every row of another, such as CLIP, in parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo_export.reading.signature import clean, leaves
from zoo_registry import UsageError

OUTPUT = "embedding"


def encoders(model: Any) -> dict[str, Any]:
    """Return the encoders of a model that gives a number for every pair of rows, as CLIP does.

    A device stores what one of them gave, and runs the other: each is exported by itself, with as
    many rows as it is given. Layers and weights are the model's own. What the model makes of the
    pairs, such as a product and a temperature, is left to the caller.

    Args:
        model: A functional ``keras.Model``.

    Returns:
        By the name of its first input, a model with the output ``embedding`` of shape
        ``(batch, ...)``.

    Raises:
        UsageError: A model in whose graph no operation compares all rows of two inputs.

    Example:
        >>> import keras
        >>> image, text = keras.Input((6,), name="image"), keras.Input((4,), name="text")
        >>> a, b = keras.layers.Dense(3)(image), keras.layers.Dense(3)(text)
        >>> model = keras.Model([image, text], keras.ops.matmul(a, keras.ops.transpose(b)))
        >>> {name: list(encoder.output) for name, encoder in encoders(model).items()}
        {'image': ['embedding'], 'text': ['embedding']}
    """
    import keras

    found = compared_inputs(model)
    if not found:
        raise UsageError(
            f"Model '{model.name}' has no encoders to take apart: no operation of its graph "
            "compares every row of one input with every row of another. Build each encoder from "
            "its own layers: keras.Model(its inputs, its output)."
        )
    inputs = dict(leaves(_graph(model)._inputs_struct))
    return {
        names[0]: keras.Model(
            {name: inputs[name] for name in names},
            {OUTPUT: tensor},
            name=f"{model.name}_{clean(names[0])}",
        )
        for names, tensor in found.items()
    }


def compared_inputs(model: Any) -> dict[tuple[str, ...], Any]:
    """Return what a model compares row by row: by the names of its inputs, the tensor made of them.

    Empty where it compares no two inputs so, or tells nothing of its graph.
    """
    graph = _graph(model)
    if not hasattr(graph, "_nodes_by_depth"):
        return {}
    made_by: dict[int, Any] = {}
    depends: dict[int, tuple[str, ...]] = {
        id(tensor): (name,) for name, tensor in leaves(graph._inputs_struct)
    }
    found: dict[tuple[str, ...], Any] = {}
    for node in _nodes(graph):
        parts = [tensor for tensor in node.arguments.keras_tensors if depends.get(id(tensor))]
        names = [depends[id(tensor)] for tensor in parts]
        for tensor in node.outputs:
            made_by[id(tensor)] = node
            depends.setdefault(id(tensor), tuple(dict.fromkeys(sum(names, ()))))
        if _is_of_pairs(parts, names, node.outputs):
            towers = [_with_rows_first(tensor, made_by) for tensor in parts]
            if None not in towers:
                found |= dict(zip(names, towers, strict=True))
    return found


def _graph(model: Any) -> Any:
    # A Sequential keeps the functional model it stands for.
    return getattr(model, "_functional", None) or model


def _nodes(graph: Any) -> Iterator[Any]:
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from graph._nodes_by_depth[depth]


def _is_of_pairs(parts: list[Any], names: list[tuple[str, ...]], made: list[Any]) -> bool:
    """Return whether parts that have no input in common meet in an answer for every pair."""
    if len(parts) < 2 or len({name for row in names for name in row}) < sum(map(len, names)):
        return False
    open_sizes = max(_open(tensor) for tensor in parts)
    return any(_open(tensor) > open_sizes for tensor in made)


def _open(tensor: Any) -> int:
    return sum(size is None for size in tensor.shape)


def _with_rows_first(tensor: Any, made_by: dict[int, Any]) -> Any:
    """Return what a tensor was made of before its rows were put behind, as for a product."""
    while len(tensor.shape) and tensor.shape[0] is not None:
        node = made_by.get(id(tensor))
        if node is None or len(node.arguments.keras_tensors) != 1:
            return None
        (tensor,) = node.arguments.keras_tensors
    return tensor if len(tensor.shape) else None
