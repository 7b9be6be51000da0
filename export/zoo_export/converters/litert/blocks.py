"""Weights of a float LiteRT file in blocks of int4; products round their input as it comes.

XNNPACK has products of int4 in blocks of 32 and of int8 with a scale for each row, and none of int8
in blocks. The head, and a table with a row for each token, are int8; a tied one is a constant of
both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from zoo_export.converters.blocks import FEWEST, Blocks, in_blocks
from zoo_export.converters.litert.edits import Editor, pack
from zoo_runtime.tensors import Array

_SIZE = 32
# What is normal in float16, in which scales are stored.
_LEAST_SCALE = 2.0**-14


def to_int4_blocks(content: bytes, vocab_size: int) -> bytearray:
    """Return a float file with its factors of products in int4, in blocks of 32.

    In int8, with a scale for each row, are factors of ``vocab_size`` rows, tables that rows of as
    many are looked up in, and factors whose rows no blocks fill. Small ones stay in float.

    Args:
        content: The file, whose tables are read by EMBEDDING_LOOKUP.
        vocab_size: Number of tokens.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    made: dict[int, _Weight] = {}
    for graph in model.subgraphs:
        editor = Editor(model, graph)
        for index in sorted(set(_weights(editor, vocab_size))):
            tensor = graph.tensors[index]
            buffer = model.buffers[tensor.buffer]
            if tensor.buffer not in made:
                matrix = np.asarray(buffer.data).view(np.float32).reshape(tensor.shape)
                made[tensor.buffer] = weight = _Weight(_blocks(matrix, vocab_size))
                buffer.data = _content(weight.blocks)
            made[tensor.buffer].describe(editor, tensor)
    return pack(model, sum(len(b.data) for b in model.buffers if b.data is not None))


@dataclass
class _Weight:
    """One buffer of a file, which tensors of several graphs may have.

    Args:
        blocks: What is in it.
        scales: The buffer of their scales, once there is one.
    """

    blocks: Blocks
    scales: int | None = None

    def describe(self, editor: Editor, tensor: Any) -> None:
        """Let a tensor be of these integers and scales."""
        schema = editor.schema
        tensor.quantization = affine = schema.QuantizationParametersT()
        affine.quantizedDimension = 0
        if self.blocks.bits == 8:
            tensor.type = schema.TensorType.INT8
            affine.scale = self.blocks.scales.reshape(-1)
            affine.zeroPoint = np.zeros(affine.scale.size, np.int64)
            return
        tensor.type = schema.TensorType.INT4
        affine.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        affine.details = schema.BlockwiseQuantizationT()
        affine.details.blockSize, affine.details.zeroPoints = self.blocks.size, -1
        affine.details.scales = self._scales(editor, tensor.name + b"/scales")

    def _scales(self, editor: Editor, name: bytes) -> int:
        array = self.blocks.scales.astype(np.float16)
        if self.scales is not None:
            return editor.tensor(name, list(array.shape), "FLOAT16", self.scales)
        index = editor.constant(name, array, "FLOAT16")
        self.scales = editor.graph.tensors[index].buffer
        return index


def _weights(editor: Editor, vocab_size: int) -> Iterator[int]:
    """Yield the tensors that become integers."""
    for kind, node in editor.all_nodes():
        if kind in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            index = int(node.inputs[1])
            tensor = editor.graph.tensors[index]
            is_wanted = kind == "FULLY_CONNECTED" or tensor.shape[0] == vocab_size
            if is_wanted and editor.has_dtype(index, "FLOAT32") and np.prod(tensor.shape) >= FEWEST:
                yield index


def _blocks(matrix: Array, vocab_size: int) -> Blocks:
    rows, columns = matrix.shape
    if rows == vocab_size or columns % _SIZE:
        return in_blocks(matrix, 8, columns)
    return in_blocks(matrix, 4, _SIZE, stored=_stored)


def _stored(scales: Array) -> Array:
    """Return scales as XNNPACK reads them: in float16, and of that the bits of bfloat16."""
    return np.maximum(scales, _LEAST_SCALE).astype(ml_dtypes.bfloat16).astype(np.float32)


def _content(blocks: Blocks) -> Array:
    values = blocks.integers.reshape(-1).view(np.uint8)
    return values if blocks.bits == 8 else values[0::2] & 15 | values[1::2] << 4
