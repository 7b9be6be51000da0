"""Weights that an ONNX file only stores in int8, and computes with in float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from zoo_runtime.tensors import Array

# The axis of the channels of each weight, by its place among the inputs of the operator.
CONVOLUTIONS = {"Conv": {1: 0}}
# In the standard domain these have no integers.
RECURRENT = {"LSTM": {1: 1, 2: 1}, "GRU": {1: 1, 2: 1}}


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
