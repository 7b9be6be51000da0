"""Reading an ONNX graph and changing it: passes, who makes what, expressions, unread names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_runtime.tensors import Array

# An expression is a name that any tensor takes, a constant number, or an operator over others.
Pattern = str | float | tuple[Any, ...]
_COMMUTATIVE = {"Add", "Mul"}
# A constant in float32 against the number that a formula has.
_SAME = 1e-6


@dataclass
class Model:
    """An ONNX model on its way to a file, changed in place.

    Args:
        proto: The ``onnx.ModelProto``.
        weights: Values by name: at first of the inputs that stand for weights, then of all
            constants, which are kept out of the graph.
        sizes: Of tensors, as far as they are known: a number, or the name of what varies.
    """

    proto: Any
    weights: dict[str, Array]
    sizes: Mapping[str, list[int | str]] = field(default_factory=dict)

    @property
    def graph(self) -> Any:
        """Its ``onnx.GraphProto``."""
        return self.proto.graph


# Changes a model, computing the same, and returns whether it changed anything.
Pass = Callable[[Model], bool]


def apply(model: Model, passes: Sequence[tuple[Pass, str]]) -> None:
    """Run passes in their order; what nothing reads after one of them is gone before the next.

    Args:
        model: What they change.
        passes: Each with the reason why it stands where it does.
    """
    for change, _ in passes:
        if change(model):
            drop_unread(model.graph)


@dataclass
class View:
    """Who makes each tensor of a graph, and which tensors are constant.

    Args:
        graph: An ``onnx.GraphProto``; only its own nodes are looked at, not those of subgraphs.
        constants: Values of constants that are none of its initializers.
    """

    graph: Any
    constants: Mapping[str, Array] = field(default_factory=dict)
    makers: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        from onnx import numpy_helper

        self.makers = {name: node for node in self.graph.node for name in node.output}
        own = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.constants = {**self.constants, **own}

    def match(self, pattern: Pattern, name: str) -> dict[str, str] | None:
        """Return the tensors that the names of a pattern stand for, or ``None``.

        Args:
            pattern: The expression.
            name: The tensor that it should be the value of.
        """
        return next(self.matches(pattern, name), None)

    def matches(self, pattern: Pattern, name: str) -> Iterator[dict[str, str]]:
        """Yield every way in which a pattern fits: sums and products have two orders."""
        return self._match(pattern, name, {})

    def _match(
        self, pattern: Pattern, name: str, bound: Mapping[str, str]
    ) -> Iterator[dict[str, str]]:
        if isinstance(pattern, str):
            if bound.get(pattern, name) == name:
                yield {**bound, pattern: name}
        elif isinstance(pattern, float):
            if self.is_number(name, pattern):
                yield dict(bound)
        else:
            node = self.makers.get(name)
            operator, *operands = pattern
            if node is None or node.op_type != operator:
                return
            # Further inputs, such as the axes of a reduction, are the caller's to check.
            names = list(node.input)[: len(operands)]
            yield from self._match_all(operands, names, bound)
            if operator in _COMMUTATIVE:
                yield from self._match_all(operands, names[::-1], bound)

    def _match_all(
        self, patterns: list[Pattern], names: list[str], bound: Mapping[str, str]
    ) -> Iterator[dict[str, str]]:
        if not patterns:
            yield dict(bound)
            return
        for found in self._match(patterns[0], names[0], bound):
            yield from self._match_all(patterns[1:], names[1:], found)

    def is_number(self, name: str, number: float) -> bool:
        """Return whether a tensor is that constant number."""
        value = self.constants.get(name)
        return value is not None and value.size == 1 and bool(abs(value - number) <= _SAME)

    def number(self, name: str) -> float | None:
        """Return the one number that a constant holds."""
        value = self.constants.get(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None


def set_nodes(graph: Any, nodes: Iterable[Any]) -> None:
    """Give a graph other nodes."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def replace_nodes(graph: Any, by_output: Mapping[str, Iterable[Any]]) -> None:
    """Put nodes in the place of those that make certain outputs first."""
    set_nodes(graph, [new for old in graph.node for new in by_output.get(old.output[0], [old])])


def drop_unread(graph: Any) -> None:
    """Remove nodes and initializers that nothing reads, until none is left."""
    kept = {value.name for inner in all_graphs(graph) for value in inner.output}
    while True:
        read = {name for node in all_nodes(graph) for name in node.input} | kept
        nodes = [node for node in graph.node if read.intersection(node.output)]
        if len(nodes) == len(graph.node):
            break
        set_nodes(graph, nodes)
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def share_equal(graph: Any) -> None:
    """Keep one of initializers that hold the same, such as the zero points of every layer.

    Args:
        graph: An ``onnx.GraphProto`` whose weights are in memory.
    """
    from onnx import numpy_helper

    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    given = {value.name for value in (*graph.input, *graph.output)}
    names = {}
    for tensor in graph.initializer:
        if tensor.name not in given:
            # Some makers of tensors write numbers, others their bytes.
            data = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
            key = tensor.data_type, tuple(tensor.dims), hashlib.sha256(data).digest()
            names[tensor.name] = kept.setdefault(key, tensor.name)
    rename(graph, names)
    drop_unread(graph)


def rename(graph: Any, names: Mapping[str, str]) -> None:
    """Let whatever reads one tensor read another."""
    for node in all_nodes(graph):
        for index, name in enumerate(node.input):
            if name in names:
                node.input[index] = names[name]


def axes_last(rank: int) -> list[int]:
    """Return the order of axes that puts channels last.

    Example:
        >>> axes_last(4), axes_first(4)
        ([0, 2, 3, 1], [0, 3, 1, 2])
    """
    return [0, *range(2, rank), 1]


def axes_first(rank: int) -> list[int]:
    """Return the order of axes that puts channels before all that is spatial."""
    return [0, rank - 1, *range(1, rank - 1)]


def all_graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else attribute.graphs
            for subgraph in inner:
                yield from all_graphs(subgraph)


def all_nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of all graphs inside them."""
    for inner in all_graphs(graph):
        yield from inner.node
