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
    onnx_rnn,
    onnx_simplify,
    onnx_trace,
)
from zoo_export.converters.tracing import Conversion

# tf2onnx writes none higher; from 20 on GELU is one operator.
_TF2ONNX_OPSET, OPSET = 18, 20
# A protocol buffer cannot exceed 2 GB; the rest of the graph needs some of it.
_LARGEST_FILE = 1_900_000_000


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write an ONNX file of the standard domain and return what it holds.

    Raises:
        ExportError: An operator that ONNX does not have, or a file that is not as it should be.
    """
    import onnx
    import onnx.version_converter

    traced = onnx_trace.trace(conversion)
    proto = _tf2onnx(traced)
    onnx_file.refuse_foreign(proto, conversion.model)
    proto = onnx.version_converter.convert_version(proto, OPSET)
    onnx_simplify.simplify(proto)
    onnx_file.attach_weights(proto.graph, traced.constants)
    onnx_file.fold_weights(proto.graph, OPSET)
    onnx_layout.channels_first(proto.graph)
    onnx_convolutions.fuse_activations(proto.graph)
    onnx_convolutions.fold_into_convolutions(proto.graph)
    onnx_file.describe(proto, conversion)
    external = sum(tensor.ByteSize() for tensor in proto.graph.initializer) > _LARGEST_FILE
    if not external:
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    onnx.save_model(
        proto,
        str(conversion.path),
        save_as_external_data=external,
        location=f"{conversion.path.name}.data",
    )
    return onnx_file.inspect(conversion)


def _tf2onnx(traced: onnx_trace.Traced) -> Any:
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    inputs, outputs = list(traced.inputs), list(traced.outputs)
    definition = tf_loader.from_function(traced.concrete, inputs, outputs)
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
