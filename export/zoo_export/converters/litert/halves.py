"""Constants of a LiteRT file in float16, but for those that it cannot hold.

TensorFlow's own pass takes every constant, and cuts off what is beyond: a mask of -1e9 becomes
-65504, beside which the scores of a row that sees nothing still count, and a mean of 300,000 is
another. LiteRT computes in float32, so what stays in it is exact.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from zoo_export.converters.half_precision import is_held
from zoo_export.converters.litert.edits import Editor, pack
from zoo_runtime.tensors import Array

# Below it an operator and a tensor more take as much as is saved.
_FEWEST = 32
# The version of DEQUANTIZE that takes float16.
_VERSION = 3
_ALIGNMENT = 16
# What offsets of 32 bits reach, less room for the tables.
_LARGEST_FILE = 2**31 - 2**27
_SUMS = {"ADD", "SUB", "SELECT", "SELECT_V2", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}
_PRODUCTS = {"MUL", "DIV", "POW", "FLOOR_DIV", "FLOOR_MOD"}


def halve(content: bytes, largest: int = _LARGEST_FILE) -> bytearray:
    """Return a float file whose constants are in float16 and are read through DEQUANTIZE.

    Args:
        content: The file, whose constants may lie behind its tables.
        largest: With more bytes of constants than that they lie there again.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    editors = [Editor(model, graph) for graph in model.subgraphs]
    held = _held(model, editors, schema.TensorType.FLOAT32)
    for number in held:
        buffer = model.buffers[number]
        buffer.data = buffer.data.view(np.float32).astype(np.float16).view(np.uint8)
    for editor in editors:
        _read_halves(editor, held)
    return _packed(model, largest)


def _held(model: Any, editors: list[Editor], float32: int) -> set[int]:
    """Return the buffers of float32 constants that are as good in float16."""
    readers: dict[int, set[str]] = defaultdict(set)
    others = {0}
    for editor in editors:
        kinds: dict[int, set[str]] = defaultdict(set)
        for kind, node in editor.all_nodes():
            for index in node.inputs:
                kinds[int(index)].add(kind)
        ends = {*map(int, editor.graph.inputs), *map(int, editor.graph.outputs)}
        for index, tensor in enumerate(editor.graph.tensors):
            readers[tensor.buffer] |= kinds[index]
            if tensor.type != float32 or tensor.isVariable or index in ends:
                others.add(tensor.buffer)
    return {
        number
        for number, kinds in readers.items()
        if number not in others and _is_held(model.buffers[number].data, kinds)
    }


def _is_held(data: Array | None, kinds: set[str]) -> bool:
    if data is None or data.size < np.float32().itemsize * _FEWEST:
        return False
    summed, multiplied = bool(kinds & _SUMS), bool(kinds & _PRODUCTS)
    return is_held(data.view(np.float32), summed=summed, multiplied=multiplied)


def _read_halves(editor: Editor, held: set[int]) -> None:
    made = []
    for index, tensor in enumerate(list(editor.graph.tensors)):
        if tensor.buffer in held:
            name, shape = tensor.name + b"/float16", list(map(int, tensor.shape))
            half = editor.tensor(name, shape, "FLOAT16", tensor.buffer)
            tensor.buffer = 0
            made.append(editor.node("DEQUANTIZE", [half], index, _VERSION))
    editor.graph.operators[:0] = made


def _packed(model: Any, largest: int) -> bytearray:
    """Return the file, with its constants behind the tables where these cannot hold them."""
    arrays = [buffer.data for buffer in model.buffers]
    total = sum(len(array) for array in arrays if array is not None)
    if total <= largest:
        return pack(model, total)
    for buffer, array in zip(model.buffers, arrays, strict=True):
        if array is not None:
            # Any number but the default of 0 takes its place in the tables.
            buffer.data, buffer.offset, buffer.size = None, 1, len(array)
    end = len(pack(model, 0))
    for buffer in model.buffers:
        if buffer.offset:
            buffer.offset = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = buffer.offset + buffer.size
    content = pack(model, 0)
    content.extend(bytes(end - len(content)))
    for buffer, array in zip(model.buffers, arrays, strict=True):
        if buffer.offset:
            content[buffer.offset : buffer.offset + buffer.size] = array.data
    return content
