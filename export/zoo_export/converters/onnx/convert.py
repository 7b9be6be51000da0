"""Keras to ONNX through tf2onnx, with the weights kept out of its sight.

tf2onnx copies the graph with all its weights for each of a dozen passes. Here the weights are
inputs of the traced function while it works and become initializers afterwards: a fraction of
the time and memory, and a weight that is used twice is stored once.
"""

from __future__ import annotations

from typing import Any

from zoo_export.converters.onnx import convolutions as onnx_convolutions
from zoo_export.converters.onnx import file as onnx_file
from zoo_export.converters.onnx import layout as onnx_layout
from zoo_export.converters.onnx import optimize as onnx_optimize
from zoo_export.converters.onnx import padding as onnx_padding
from zoo_export.converters.onnx import simplify as onnx_simplify
from zoo_export.converters.onnx import tf as onnx_tf
from zoo_export.converters.onnx import trace as onnx_trace
from zoo_export.converters.onnx import weights as onnx_weights
from zoo_export.converters.tracing import Conversion

# tf2onnx writes none higher than 18; from 20 on GELU is one operator.
OPSET = 20


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write an ONNX file and return what it holds.

    Its operators are of the standard domain, unless a runtime was asked to optimise it.

    Raises:
        ExportError: An operator that ONNX does not have, or a file that is not as it should be.
    """
    traced = onnx_trace.trace(conversion)
    proto = onnx_tf.to_onnx(traced, conversion.model)
    with onnx_file.naming_nodes(conversion.model):
        _finish(proto, traced, conversion)
    if conversion.optimize is None:
        return onnx_file.inspect(conversion)
    onnx_optimize.optimize(conversion.path)
    facts = onnx_file.inspect(conversion, {onnx_optimize.DOMAIN})
    return {**facts, "optimized": onnx_optimize.facts(conversion.path)}


def _finish(proto: Any, traced: onnx_trace.Traced, conversion: Conversion) -> None:
    """Write the file of a graph as tf2onnx leaves it."""
    import onnx.version_converter

    proto = onnx.version_converter.convert_version(proto, OPSET)
    onnx_simplify.simplify(proto)
    weights = onnx_weights.take_weights(proto.graph, traced.constants)
    onnx_weights.fold_weights(proto.graph, weights, OPSET)
    onnx_layout.channels_first(proto.graph, weights)
    onnx_convolutions.fuse_activations(proto.graph, weights)
    onnx_convolutions.fold_into_convolutions(proto.graph, weights)
    onnx_padding.keep_zeros(proto.graph, weights)
    onnx_file.describe(proto, conversion)
    proto = onnx_weights.infer_shapes(proto, weights)
    onnx_weights.save(proto, weights, conversion.path)
