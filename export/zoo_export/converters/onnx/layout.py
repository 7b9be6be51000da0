"""Channels first from end to end: what Keras computes channels last, between convolutions.

ONNX convolutions take channels first, so tf2onnx puts a Transpose before and behind each of them.
Here the one behind is moved past everything that works number by number, until it meets the one
before the next convolution, and both go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from onnx import helper

from zoo_export.converters.onnx.graph import Model, axes_first, axes_last, rename, set_nodes
from zoo_runtime.tensors import Array

_BY_NUMBER = {
    "Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "PRelu", "Pow", "Reciprocal",
    "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh",
}  # fmt: skip
_REDUCTIONS = {"ReduceMean", "ReduceMax", "ReduceSum"}


def channels_first(model: Model) -> bool:
    """Move every Transpose to channels last as far down as it goes; those that meet vanish.

    Constants that have to be turned are added to the weights.
    """
    graph = model.graph
    if not any(node.op_type in {"Conv", "ConvTranspose"} for node in graph.node):
        return False
    _turn_images(graph)
    _Sinking(graph, model.weights).run()
    return True


def _turn_images(graph: Any) -> None:
    """Turn an image before it is scaled: factors of three neighbours are slow to apply."""
    for value in graph.input:
        rank = len(value.type.tensor_type.shape.dim)
        if rank < 4 or not _comes_to_convolution(graph, value.name):
            continue
        names = [value.name, f"{value.name}/first", f"{value.name}/last"]
        rename(graph, {names[0]: names[2]})
        turns = [
            helper.make_node("Transpose", [source], [target], target, perm=order(rank))
            for source, target, order in zip(
                names[:2], names[1:], (axes_first, axes_last), strict=True
            )
        ]
        set_nodes(graph, [*turns, *graph.node])


def _comes_to_convolution(graph: Any, name: str) -> bool:
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or len(readers[0].output) != 1:
            return False
        if readers[0].op_type == "Transpose":
            order = _order(readers[0])
            return order == axes_first(len(order))
        if readers[0].op_type not in _BY_NUMBER:
            return False
        name = readers[0].output[0]


def _order(transpose: Any) -> list[int]:
    # Without the attribute the axes are reversed, which is neither of the two orders here.
    return next((list(a.ints) for a in transpose.attribute if a.name == "perm"), [])


class _Sinking:
    # `first` has for a tensor with channels last the one that has the same with channels first.
    def __init__(self, graph: Any, weights: dict[str, Array]) -> None:
        self.graph, self.constants = graph, weights
        self.first: dict[str, tuple[str, int]] = {}
        self.nodes: list[Any] = []
        outputs = {value.name for value in graph.output}
        self.fixed = outputs | {i for n in graph.node if n.attribute for i in _inner_inputs(n)}

    def run(self) -> None:
        same: dict[str, str] = {}
        for node in self.graph.node:
            node.input[:] = [same.get(name, name) for name in node.input]
            if not self._cancels(node, same):
                self.nodes.extend(self._sunk(node))
        set_nodes(self.graph, self.nodes)
        rename(self.graph, same)  # what graphs inside of nodes read

    def _cancels(self, node: Any, same: dict[str, str]) -> bool:
        if node.op_type != "Transpose":
            return False
        order, (source, rank) = _order(node), self.first.get(node.input[0], ("", 0))
        if len(order) > 3 and order == axes_last(len(order)):
            self.first[node.output[0]] = (node.input[0], len(order))
        meets = bool(source) and order == axes_first(rank) and node.output[0] not in self.fixed
        if meets:
            same[node.output[0]] = source
        return meets

    def _sunk(self, node: Any) -> list[Any]:
        ranks = {self.first[name][1] for name in node.input if name in self.first}
        change = _CHANGES.get(node.op_type)
        if change is None or len(ranks) != 1 or len(node.output) != 1:
            return [node]
        rank = ranks.pop()
        made = change(self, node, rank)
        if made is None:
            return [node]
        made.name = node.name
        if not _keeps_rank(made):
            return [made]
        last, made.output[0] = node.output[0], f"{node.output[0]}/first"
        self.first[last] = (made.output[0], rank)
        name = f"{last}/last"
        back = helper.make_node("Transpose", [made.output[0]], [last], name, perm=axes_last(rank))
        return [made, back]

    def _same_for_each(self, node: Any, rank: int) -> Any:
        made = _copy(node)
        for at, name in enumerate(node.input):
            if name in self.first:
                made.input[at] = self.first[name][0]
            elif name in self.constants and self.constants[name].ndim <= rank:
                made.input[at] = self._moved(name, rank)
            elif name:
                return None
        return made

    def _joined(self, node: Any, rank: int) -> Any:
        if not all(name in self.first for name in node.input):
            return None
        made = _copy(node)
        made.input[:] = [self.first[name][0] for name in node.input]
        made.attribute[0].i = axes_last(rank)[made.attribute[0].i]
        return made

    def _reduced(self, node: Any, rank: int) -> Any:
        axes = self.constants.get(node.input[1]) if len(node.input) == 2 else None
        if axes is None:
            return None
        moved = sorted(axes_last(rank)[axis] for axis in axes.tolist())
        # Without its spatial sizes, or with ones in their place, nothing has to be moved back.
        if not _attribute(node, "keepdims", 1) and moved != list(range(2, rank)):
            return None
        made = _copy(node)
        made.input[:] = [
            self.first[node.input[0]][0],
            self._constant(f"{node.output[0]}/axes", moved),
        ]
        return made

    def _padded(self, node: Any, rank: int) -> Any:
        pads = self.constants.get(node.input[1])
        if pads is None or len(node.input) > 3 or node.input[0] not in self.first:
            return None
        moved = [pads.reshape(2, rank)[side][axis] for side in (0, 1) for axis in axes_first(rank)]
        made = _copy(node)
        made.input[0] = self.first[node.input[0]][0]
        made.input[1] = self._constant(f"{node.output[0]}/pads", moved)
        return made

    def _moved(self, name: str, rank: int) -> str:
        value = self.constants[name]
        if value.size == 1:
            return name
        full = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return self._constant(f"{name}/first{rank}", full.transpose(axes_first(rank)))

    def _constant(self, name: str, value: Array | Sequence[int]) -> str:
        self.constants.setdefault(name, np.ascontiguousarray(value))
        return name


_CHANGES: dict[str, Callable[[_Sinking, Any, int], Any]] = {
    **dict.fromkeys(_BY_NUMBER, _Sinking._same_for_each),
    **dict.fromkeys(_REDUCTIONS, _Sinking._reduced),
    "Concat": _Sinking._joined,
    "Pad": _Sinking._padded,
}


def _inner_inputs(node: Any) -> Iterator[str]:
    for attribute in node.attribute:
        for inner in attribute.g.node if attribute.HasField("g") else ():
            yield from inner.input


def _keeps_rank(node: Any) -> bool:
    return node.op_type not in _REDUCTIONS or bool(_attribute(node, "keepdims", 1))


def _attribute(node: Any, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def _copy(node: Any) -> Any:
    made = type(node)()
    made.CopyFrom(node)
    return made
