"""Padding with zeros before a maximum, which ONNX Runtime takes for padding with nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from zoo_export.converters.onnx.graph import View
from zoo_runtime.tensors import Array


def keep_zeros(graph: Any, weights: dict[str, Array]) -> None:
    """Name the axes of padding that goes into a MaxPool, so that ONNX Runtime leaves it a node.

    Its ``Pad_Fusion`` makes the zeros the MaxPool's own padding, which is minus infinity: another
    maximum where all numbers are negative. Padding that names its axes is not fused.

    Args:
        graph: An ``onnx.GraphProto``.
        weights: Values of its constants; axes are added.
    """
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


def _kernel(node: Any) -> list[int]:
    found = {attribute.name: attribute for attribute in node.attribute}
    sizes: list[int] = helper.get_attribute_value(found["kernel_shape"])
    return sizes
