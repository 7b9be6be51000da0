"""Weights of an ONNX graph in blocks of integers, in operators of the standard domain.

A product reads its factor through a DequantizeLinear with ``block_size``. ONNX Runtime makes one
operator of both as it loads the file, which rounds its input to int8, by block, as it comes. A tied
embedding is one table: the runtime turns it round once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from ml_dtypes import int4
from onnx import TensorProto, helper, numpy_helper

from zoo_export.converters.blocks import FEWEST, Blocks, block_size, in_blocks
from zoo_export.converters.onnx.graph import all_nodes, drop_unread, replace_nodes
from zoo_runtime.tensors import Array

# The first opset with integers of four bits and a scale for each block, and its version of files.
_OPSET, _IR_VERSION = 21, 10
_PARTS = ("integers", "scales")


def to_blocks(proto: Any, bits: int, vocab_size: int, kept: Collection[str] = ()) -> None:
    """Store the factors of products, and tables with a row for each token, in blocks.

    Such tables, and factors that give logits, are stored in int8, whatever is asked for. A table of
    positions, which the whole model reads in another way than a function with a cache, stays.

    Args:
        proto: An ``onnx.ModelProto`` with its weights in float, which is changed.
        bits: 4 or 8.
        vocab_size: Number of tokens.
        kept: Names of nodes whose weights stay as they are.
    """
    graph = proto.graph
    nodes: dict[str, list[Any]] = {}
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in all_nodes(graph):
        for name in node.input:
            readers[name].append(node)
    for tensor in list(graph.initializer):
        uses = _uses(tensor, readers, kept)
        is_factor = "MatMul" in uses
        if not uses or (not is_factor and tensor.dims[0] != vocab_size):
            continue
        few = bits if is_factor and tensor.dims[1] != vocab_size else 8
        matrix = numpy_helper.to_array(tensor)
        matrix = matrix.T if is_factor else matrix
        size = block_size(matrix.shape[1])
        if size is not None:
            blocks = in_blocks(np.ascontiguousarray(matrix), few, size, signed_scales=True)
            nodes |= _stored(graph, tensor.name, blocks, uses)
    replace_nodes(graph, nodes)
    drop_unread(graph)
    # From 20 to it nothing that a converted file holds means anything else.
    next(entry for entry in proto.opset_import if entry.domain == "").version = _OPSET
    proto.ir_version = max(_IR_VERSION, proto.ir_version)


def _uses(
    tensor: Any, readers: Mapping[str, Sequence[Any]], kept: Collection[str]
) -> dict[str, list[Any]]:
    """Return who reads a weight, by operator: products alone, or who takes rows; else nothing."""
    found: dict[str, list[Any]] = defaultdict(list)
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return {}
    for node in readers[tensor.name]:
        then = readers[node.output[0]] if node.op_type == "Transpose" else [node]
        if kept and any(each.name in kept for each in (node, *then)):
            return {}
        if not _reads_rows(node, tensor.name, then):
            return {}
        found[node.op_type].append(node)
    is_one_kind = "MatMul" not in found or len(found) == 1
    return found if is_one_kind and np.prod(tensor.dims) >= FEWEST else {}


def _reads_rows(node: Any, name: str, then: Sequence[Any]) -> bool:
    """Return whether a node multiplies by a matrix, or by it turned round, or gathers its rows."""
    position = {"MatMul": 1, "Gather": 0, "Transpose": 0}.get(node.op_type)
    if position is None or node.input[position] != name:
        return False
    if node.op_type == "Gather":
        return not any(a.i for a in node.attribute if a.name == "axis")
    if node.op_type == "MatMul":
        return bool(node.input[0] != name)
    return all(each.op_type == "MatMul" and each.input[1] == node.output[0] for each in then)


def _stored(
    graph: Any, name: str, blocks: Blocks, uses: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """Add a weight in blocks to a graph; return what stands for its readers, by their outputs."""
    is_factor = "MatMul" in uses
    names = [f"{name}/{part}" for part in _PARTS]
    arrays: list[Array] = [
        np.ascontiguousarray(part.T if is_factor else part)
        for part in (blocks.integers, blocks.scales)
    ]
    if blocks.bits == 4:
        arrays[0] = arrays[0].astype(int4)
    graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
    readers = [node for nodes in uses.values() for node in nodes]
    return {node.output[0]: _read(node, names, blocks.size) for node in readers}


def _read(node: Any, names: Sequence[str], size: int) -> list[Any]:
    """Return nodes that read integers and scales and give what a node gave."""
    parts = [f"{node.name}/{part}" for part in _PARTS]
    if node.op_type == "MatMul":
        factor = f"{node.name}/factor"
        product = helper.make_node("MatMul", [node.input[0], factor], node.output, node.name)
        return [_real(names, factor, 0, size), product]
    moved = [
        helper.make_node(node.op_type, [given, *node.input[1:]], [part], part)
        for given, part in zip(names, parts, strict=True)
    ]
    for each in moved:
        each.attribute.extend(node.attribute)
    return [*moved, _real(parts, node.output[0], 0 if node.op_type == "Transpose" else -1, size)]


def _real(parts: Sequence[str], output: str, axis: int, size: int) -> Any:
    name = f"{output}/real"
    return helper.make_node("DequantizeLinear", parts, [output], name, axis=axis, block_size=size)
