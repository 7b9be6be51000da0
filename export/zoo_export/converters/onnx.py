"""Keras to ONNX through tf2onnx, with the weights kept out of its sight.

tf2onnx copies the graph with all its weights for each of a dozen passes. Here the weights are
inputs of the traced function while it works and become initializers afterwards: a fraction of
the time and memory, and a weight that is used twice is stored once.
"""

from __future__ import annotations

from typing import Any

from zoo_export.converters import (
    onnx_convolutions,
    onnx_file,
    onnx_layout,
    onnx_operators,
    onnx_optimize,
    onnx_padding,
    onnx_rnn,
    onnx_simplify,
    onnx_trace,
    onnx_weights,
)
from zoo_export.converters.tracing import Conversion

# tf2onnx writes none higher; from 20 on GELU is one operator.
_TF2ONNX_OPSET, OPSET = 18, 20
# An operator with a dtype and a shape, and a value that is not there before it runs.
_UNREAD = "ImmutableConst"


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write an ONNX file and return what it holds.

    Its operators are of the standard domain, unless a runtime was asked to optimise it.

    Raises:
        ExportError: An operator that ONNX does not have, or a file that is not as it should be.
    """
    import onnx.version_converter

    traced = onnx_trace.trace(conversion)
    proto = _tf2onnx(traced)
    onnx_file.refuse_foreign(proto, conversion.model)
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
    if conversion.optimize is None:
        return onnx_file.inspect(conversion)
    onnx_optimize.optimize(conversion.path)
    facts = onnx_file.inspect(conversion, {onnx_optimize.DOMAIN})
    return {**facts, "optimized": onnx_optimize.facts(conversion.path)}


def _tf2onnx(traced: onnx_trace.Traced) -> Any:
    import tensorflow as tf
    from tf2onnx import optimizer
    from tf2onnx.tfonnx import process_tf_graph

    inputs, outputs = list(traced.inputs), list(traced.outputs)
    definition = _definition(traced)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        converted = process_tf_graph(
            graph,
            opset=_TF2ONNX_OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename={**traced.inputs, **traced.outputs},
            custom_op_handlers={**onnx_operators.HANDLERS, **onnx_rnn.HANDLERS},
        )
        # Errors in an optimizer are raised: catching them means copying the graph each time.
        # Without its own for transposes, which is slow and leaves most of them: see onnx_layout.
        rest = {k: v for k, v in optimizer._get_optimizers().items() if k != "optimize_transpose"}
        optimized = optimizer.optimize_graph(converted, catch_errors=False, optimizers=rest)
        return optimized.make_model("kerazoo")


def _definition(traced: onnx_trace.Traced) -> Any:
    """Return the traced graph, with what TensorFlow can compute beforehand computed."""
    import tensorflow as tf
    from tf2onnx import tf_loader

    concrete, inputs, outputs = traced.concrete, list(traced.inputs), list(traced.outputs)
    definition = concrete.graph.as_graph_def(add_shapes=True)
    if concrete.graph.variables or definition.library.function:
        # Loops, and state that is no weight, need freezing, which takes as much memory again.
        return tf_loader.from_function(concrete, inputs, outputs)
    weights = {tensor[:-2] for tensor, name in traced.inputs.items() if name in traced.constants}
    # TensorFlow's optimizer makes up a value for every placeholder: as much memory as the model.
    _retype(definition, weights, "Placeholder", _UNREAD)
    with tf.Graph().as_default():
        optimized = tf_loader.tf_optimize(inputs, outputs, definition)
    _retype(optimized, weights, _UNREAD, "Placeholder")
    return optimized


def _retype(definition: Any, names: set[str], old: str, new: str) -> None:
    for node in definition.node:
        if node.name in names and node.op == old:
            node.op = new
            if new == _UNREAD:
                node.attr["memory_region_name"].s = b"weights"
            else:
                del node.attr["memory_region_name"]
