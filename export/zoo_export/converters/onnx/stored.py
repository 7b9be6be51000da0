"""What a quantized ONNX file stores: a tied table once, and weights in int8 alone.

ONNX Runtime's tools turn a table that is read by row and multiplied by round to quantize the
product, so that there are two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zoo_export.converters.onnx.graph import drop_unread, replace_nodes
from zoo_runtime.tensors import Array

Pair = tuple[str, str]
# The axis of the channels of each weight, by its place among the inputs of the operator.
CONVOLUTIONS = {"Conv": {1: 0}}
# In the standard domain these have no integers.
RECURRENT = {"LSTM": {1: 1, 2: 1}, "GRU": {1: 1, 2: 1}}


def tied(graph: Any) -> list[Pair]:
    """Return the tables that rows are gathered from, each with the factor that is its transpose.

    Args:
        graph: An ``onnx.GraphProto`` with its weights in float.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    tables = {node.input[0] for node in graph.node if _gathers_rows(node)} & weights.keys()
    factors = {node.input[1] for node in graph.node if node.op_type == "MatMul"} & weights.keys()
    return [
        (table, factor)
        for table in sorted(tables)
        for factor in sorted(factors)
        if list(weights[table].dims) == list(weights[factor].dims)[::-1]
        and np.array_equal(
            numpy_helper.to_array(weights[table]).T, numpy_helper.to_array(weights[factor])
        )
    ]


def _gathers_rows(node: Any) -> bool:
    return node.op_type == "Gather" and not any(a.i for a in node.attribute if a.name == "axis")


def share(graph: Any, pairs: Sequence[Pair]) -> None:
    """Let both readers of a table read one tensor, after the tools have changed them.

    In integers that is the factor, whose columns have a scale each: rows of it are gathered, and
    multiplied by theirs. The runtime turns it round once, as it loads the file.

    Args:
        graph: The changed graph.
        pairs: What :func:`tied` found before.
    """
    for table, factor in pairs:
        weights = {tensor.name: tensor for tensor in graph.initializer}
        if {table, factor} <= weights.keys():
            _turn_round(graph, table, weights[factor])
        elif {f"{table}_quantized", f"{factor}_quantized"} <= weights.keys():
            zeros = numpy_helper.to_array(weights[f"{factor}_zero_point"])
            if zeros.any() or zeros.ndim != 1:  # no scale for each column, or not that alone
                continue
            rows, quantized = f"{table}_rows", weights[f"{factor}_quantized"]
            array = np.ascontiguousarray(numpy_helper.to_array(quantized).T)
            graph.initializer.append(numpy_helper.from_array(array, rows))
            nodes = {
                output: _rows(rows, f"{factor}_scale", gather, output)
                for gather, output in _gathered(graph, f"{table}_quantized")
            }
            replace_nodes(graph, nodes)
            drop_unread(graph)
            _turn_round(graph, rows, quantized)


def _turn_round(graph: Any, name: str, weight: Any) -> None:
    node = helper.make_node("Transpose", [name], [weight.name], f"{name}/turned", perm=[1, 0])
    graph.initializer.remove(weight)
    graph.node.insert(0, node)


def _gathered(graph: Any, table: str) -> Iterator[tuple[Any, str]]:
    """Yield each Gather from a table, with the name of the real numbers that come of it."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for first in readers.get(table, []):
        # The numbers are made real after they are gathered, or before.
        for then in readers.get(first.output[0], []):
            by_kind = {node.op_type: node for node in (first, then)}
            if by_kind.keys() == {"Gather", "DequantizeLinear"}:
                yield by_kind["Gather"], then.output[0]


def _rows(table: str, scales: str, gather: Any, output: str) -> list[Any]:
    """Return nodes that gather rows of integers and multiply each by its scale."""
    parts = ("integers", "reals", "scale", "column", "last")
    integers, reals, scale, column, last = (f"{gather.name}/{part}" for part in parts)
    indices, axis = gather.input[1], numpy_helper.from_array(np.array([-1]))
    return [
        helper.make_node("Gather", [table, indices], [integers], integers),
        helper.make_node("Cast", [integers], [reals], reals, to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [scales, indices], [scale], scale),
        helper.make_node("Constant", [], [last], last, value=axis),
        helper.make_node("Unsqueeze", [scale, last], [column], column),
        helper.make_node("Mul", [reals, column], [output], gather.name),
    ]


def store(graph: Any, operators: Mapping[str, Mapping[int, int]], kept: Sequence[str]) -> None:
    """Store weights in int8 by channel; the runtime makes them float again, and computes in float.

    Args:
        graph: An ``onnx.GraphProto``, which is changed.
        operators: Such as :data:`RECURRENT`.
        kept: Names of the nodes whose weights stay as they are.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.name not in kept]
    channels = {
        node.input[place]: axis
        for node in nodes
        for place, axis in operators.get(node.op_type, {}).items()
    }
    for at, name in enumerate(sorted(channels.keys() & weights.keys())):
        axis = channels[name]
        stored = _in_int8(numpy_helper.to_array(weights[name]), axis)
        graph.initializer.remove(weights[name])
        graph.initializer.extend(
            numpy_helper.from_array(value, f"{name}/{kind}") for kind, value in stored.items()
        )
        inputs = [f"{name}/{kind}" for kind in stored]
        node = helper.make_node("DequantizeLinear", inputs, [name], f"{name}/dequantize", axis=axis)
        graph.node.insert(at, node)


def _in_int8(array: Array, axis: int) -> dict[str, Array]:
    others = tuple(at for at in range(array.ndim) if at != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(array.dtype)
    return {"quantized": np.rint(array / scale).astype(np.int8), "scale": scale.ravel()}
