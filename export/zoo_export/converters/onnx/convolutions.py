"""Passes over convolutional networks: what is folded into weights, activations, padding."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from onnx import helper

from zoo_export.converters.onnx.graph import (
    Model,
    Pattern,
    View,
    all_graphs,
    all_nodes,
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


def fuse_activations(model: Model) -> bool:
    """Write what Keras clips and scales as HardSwish and HardSigmoid."""
    view, fused = View(model.graph, model.weights), {}
    for node in model.graph.node:
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
    replace_nodes(model.graph, fused)
    return bool(fused)


def fold_into_convolutions(model: Model) -> bool:
    """Put factors and summands of channels behind a convolution, channels first, into its weights.

    The new ones are added to the weights.
    """
    return _Folding(model.graph, model.weights).run()


class _Folding:
    def __init__(self, graph: Any, weights: dict[str, Array]) -> None:
        self.graph, self.values = graph, weights
        self.readers = Counter(name for node in all_nodes(graph) for name in node.input)
        self.readers.update(value.name for inner in all_graphs(graph) for value in inner.output)
        self.convolutions: dict[str, Any] = {}

    def run(self) -> bool:
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
        return bool(same)

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


def keep_zeros(model: Model) -> bool:
    """Name the axes of padding that goes into a MaxPool, so that ONNX Runtime leaves it a node.

    Its ``Pad_Fusion`` makes the zeros the MaxPool's own padding, which is minus infinity: another
    maximum where all numbers are negative. Padding that names its axes is not fused.
    """
    graph, weights, changed = model.graph, model.weights, False
    makers = View(graph, weights).makers
    kernels = {node.input[0]: _kernel(node) for node in graph.node if node.op_type == "MaxPool"}
    for node in graph.node:
        sizes = weights.get(node.input[1]) if node.op_type == "Pad" else None
        if sizes is None or node.output[0] not in kernels or len(node.input) > 3:
            continue
        maker = makers.get(node.input[0])
        if maker and maker.op_type == "Relu" and sizes.max() < min(kernels[node.output[0]]):
            continue  # zeros change no maximum of these, and one node less is faster
        axes = f"{node.output[0]}/axes"
        weights[axes] = np.arange(sizes.size // 2)
        node.input.extend([*[""] * (3 - len(node.input)), axes])
        changed = True
    return changed


def _kernel(node: Any) -> list[int]:
    found = {attribute.name: attribute for attribute in node.attribute}
    sizes: list[int] = helper.get_attribute_value(found["kernel_shape"])
    return sizes
