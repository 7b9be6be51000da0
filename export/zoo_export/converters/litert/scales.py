"""Operators of a quantized LiteRT file that only move numbers, between tensors of other scales.

Their kernels copy the integers as they are. TensorFlow's converter knows that of most of them, and
gives what comes in and what goes out one scale; of others, such as REVERSE_V2 before a
concatenation, it does not, and everything behind them is wrong.
"""

from __future__ import annotations

import copy
from typing import Any

from zoo_export.converters.litert.tables import Editor

# Which of their inputs holds the numbers.
_MOVES = {
    "BATCH_TO_SPACE_ND": 0, "BROADCAST_TO": 0, "DEPTH_TO_SPACE": 0, "EXPAND_DIMS": 0, "GATHER": 0,
    "GATHER_ND": 0, "MIRROR_PAD": 0, "RESHAPE": 0, "RESIZE_NEAREST_NEIGHBOR": 0,
    "REVERSE_SEQUENCE": 0, "REVERSE_V2": 0, "SLICE": 0, "SPACE_TO_BATCH_ND": 0, "SPACE_TO_DEPTH": 0,
    "SPLIT": 1, "SPLIT_V": 0, "SQUEEZE": 0, "STRIDED_SLICE": 0, "TILE": 0, "TRANSPOSE": 0,
    "UNPACK": 0,
}  # fmt: skip


def one_scale(content: bytes) -> bytes:
    """Return a file in which numbers are brought to another scale before they are moved to it."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    changed = False
    for graph in model.subgraphs:
        editor = Editor(model, graph)
        for operator, place in _MOVES.items():
            for node in editor.nodes(operator):
                given, made = (graph.tensors[i] for i in (node.inputs[place], node.outputs[0]))
                if not _differ(given, made):
                    continue
                scaled = copy.copy(given)
                scaled.name, scaled.quantization = given.name + b"/scaled", made.quantization
                graph.tensors.append(scaled)
                at, index = graph.operators.index(node), len(graph.tensors) - 1
                graph.operators.insert(at, editor.node("QUANTIZE", [node.inputs[place]], index))
                node.inputs[place] = index
                changed = True
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content


def _differ(given: Any, made: Any) -> bool:
    """Return whether two tensors of integers have other scales or zero points, one each."""
    scales = [_scale(given), _scale(made)]
    return given.type == made.type and None not in scales and scales[0] != scales[1]


def _scale(tensor: Any) -> tuple[float, int] | None:
    affine = tensor.quantization
    if affine is None or affine.scale is None or len(affine.scale) != 1:
        return None
    return float(affine.scale[0]), int(affine.zeroPoint[0])
