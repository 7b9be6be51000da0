"""Batch normalization and biases inside of convolutions, and MobileNet's activations as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import helper

from zoo_export.converters.onnx.graph import (
    Pattern,
    View,
    all_graphs,
    all_nodes,
    drop_unread,
    rename,
    replace_nodes,
    set_nodes,
)
from zoo_runtime.tensors import Array

_HARD_SIGMOID: Pattern = ("Mul", ("Clip", ("Add", "x", 3.0), 0.0, 6.0), 1 / 6)
# The axis of the weights that the channels of what is made stand on; nothing here has groups of
# transposed convolutions.
_CHANNELS = {"Conv": 0, "ConvTranspose": 1}
_HARD_SWISH: Pattern = ("Mul", "x", _HARD_SIGMOID)


def fuse_activations(graph: Any, weights: Mapping[str, Array]) -> None:
    """Write what Keras clips and scales as HardSwish and HardSigmoid.

    Args:
        graph: An ``onnx.GraphProto``.
        weights: Values of its constants.
    """
    view, fused = View(graph, weights), {}
    for node in graph.node:
        if node.op_type != "Mul":
            continue
        output = list(node.output)
        if found := view.match(_HARD_SWISH, output[0]):
            fused[output[0]] = [helper.make_node("HardSwish", [found["x"]], output, node.name)]
        elif found := view.match(_HARD_SIGMOID, output[0]):
            made = helper.make_node(
                "HardSigmoid", [found["x"]], output, node.name, alpha=1 / 6, beta=0.5
            )
            fused[output[0]] = [made]
    replace_nodes(graph, fused)


def fold_into_convolutions(graph: Any, weights: dict[str, Array]) -> None:
    """Put factors and summands of channels behind a convolution into its weights.

    Args:
        graph: An ``onnx.GraphProto`` with channels first.
        weights: Values of its constants; the new ones are added.
    """
    _Folding(graph, weights).run()
    drop_unread(graph)


class _Folding:
    def __init__(self, graph: Any, weights: dict[str, Array]) -> None:
        self.graph, self.values = graph, weights
        self.readers = Counter(name for node in all_nodes(graph) for name in node.input)
        self.readers.update(value.name for inner in all_graphs(graph) for value in inner.output)
        self.convolutions: dict[str, Any] = {}

    def run(self) -> None:
        kept: list[Any] = []
        same: dict[str, str] = {}
        for node in self.graph.node:
            node.input[:] = [same.get(name, name) for name in node.input]
            source = self._folds(node)
            if source:
                same[node.output[0]] = source
                self.readers[source] = self.readers[node.output[0]]
                continue
            if node.op_type in _CHANNELS and all(name in self.values for name in node.input[1:]):
                self.convolutions[node.output[0]] = node
            kept.append(node)
        self._keep_names(same)  # before: a graph takes copies of nodes
        set_nodes(self.graph, kept)

    def _folds(self, node: Any) -> str:
        """Return the convolution's output that stands for the node's from now on, or nothing."""
        if node.op_type not in {"Mul", "Add"}:
            return ""
        for source, other in (tuple(node.input), tuple(node.input)[::-1]):
            convolution = self.convolutions.get(source)
            if convolution is None or self.readers[source] > 1 or other not in self.values:
                continue
            weights = self.values[convolution.input[1]]
            channels = weights.shape[_CHANNELS[convolution.op_type]]
            vector = _by_channel(self.values[other], channels, weights.ndim)
            if vector is not None:
                self._change(convolution, node.op_type, vector.astype(np.float64))
                return str(source)
        return ""

    def _change(self, convolution: Any, operator: str, vector: Array) -> None:
        weights = self.values[convolution.input[1]]
        axis = _CHANNELS[convolution.op_type]
        bias = np.zeros(weights.shape[axis])
        if len(convolution.input) > 2:
            bias = self.values[convolution.input[2]].astype(np.float64)
        else:
            convolution.input.append("")
        if operator == "Mul":
            scaled = weights * vector.reshape(-1, *[1] * (weights.ndim - 1 - axis))
            convolution.input[1] = self._new("kernel", convolution, scaled, weights)
            bias = bias * vector
        else:
            bias = bias + vector
        convolution.input[2] = self._new("bias", convolution, bias, weights)

    def _new(self, kind: str, convolution: Any, value: Array, like: Array) -> str:
        # Another convolution may share the weights: they get a name of their own.
        name = f"{convolution.output[0]}/{kind}"
        self.values[name] = value.astype(like.dtype)
        return name

    def _keep_names(self, same: dict[str, str]) -> None:
        # An output of the graph has to be called as it was.
        for value in self.graph.output:
            convolution = self.convolutions.get(same.get(value.name, ""))
            if convolution is not None:
                rename(self.graph, {convolution.output[0]: value.name})
                convolution.output[0] = value.name
        rename(self.graph, same)  # what graphs inside of nodes read


def _by_channel(value: Array, channels: int, rank: int) -> Array | None:
    spatial = [1] * (rank - 2)
    if value.size == 1:
        return np.full(channels, value.reshape(()))
    shapes = ((channels, *spatial), (1, channels, *spatial))
    return value.reshape(-1) if value.shape in shapes else None
