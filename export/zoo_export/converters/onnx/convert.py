"""Keras to ONNX through tf2onnx, with the weights kept out of its sight.

tf2onnx copies the graph with all its weights for each of a dozen passes. Here the weights are
inputs of the traced function while it works and become initializers afterwards: a fraction of
the time and memory, and a weight that is used twice is stored once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from zoo_export.converters.onnx import convolutions, layout, simplify
from zoo_export.converters.onnx import file as onnx_file
from zoo_export.converters.onnx import trace as onnx_trace
from zoo_export.converters.onnx import weights as onnx_weights
from zoo_export.converters.onnx.graph import Model, Pass, all_nodes, apply
from zoo_export.converters.tracing import Conversion

# tf2onnx writes none higher than 18; from 20 on GELU is one operator.
OPSET = 20
# Where ONNX Runtime has the operators that it makes of several standard ones.
DOMAIN = "com.microsoft"
# Larger weights stay outside a file whose weights were outside before.
_SMALL_BYTES = 1024


def to_opset(model: Model) -> bool:
    """Bring a model to the opset of the files."""
    import onnx.version_converter

    model.proto = onnx.version_converter.convert_version(model.proto, OPSET)
    return True


# From a graph as tf2onnx leaves it to that of the file, and why each pass stands where it does.
PASSES: tuple[tuple[Pass, str], ...] = (
    (to_opset, "the others write operators of it"),
    (simplify.read_negative_indices, "of fewer nodes sizes are inferred"),
    (simplify.infer_sizes, "the next four go by sizes, which need the weights in the graph"),
    (
        simplify.fix_shapes,
        "what computed the sizes of a Reshape is then unread, and gone",
    ),
    (simplify.unflatten_products, "a bias is then added to the product itself"),
    (simplify.fuse_normalizations, "it makes the LayerNormalization that the next looks for"),
    (simplify.add_biases_last, "the last that goes by sizes"),
    (onnx_weights.take_weights, "from here on constants are arrays beside the graph"),
    (onnx_weights.fold_weights, "what changes the layout of a weight alone is then gone"),
    (layout.channels_first, "factors and summands then follow a convolution directly"),
    (convolutions.fuse_activations, "the sum in a HardSigmoid would be folded into a convolution"),
    (convolutions.fold_into_convolutions, "a Relu is then seen that stands before a padding"),
    (convolutions.keep_zeros, "padding that names its axes is not moved by channels_first"),
)


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write an ONNX file and return what it holds.

    Its operators are of the standard domain, unless a runtime was asked to optimise it.

    Raises:
        ExportError: An operator that ONNX does not have, or a file that is not as it should be.
    """
    traced = onnx_trace.trace(conversion)
    proto = onnx_trace.to_onnx(traced, conversion.model)
    with onnx_file.naming_nodes(conversion.model):
        _finish(proto, traced, conversion)
    if conversion.options.optimize is None:
        return onnx_file.inspect(conversion)
    _optimize(conversion.path)
    facts = onnx_file.inspect(conversion, {DOMAIN})
    return {**facts, "optimized": _by_runtime(conversion.path)}


def _finish(proto: Any, traced: onnx_trace.Traced, conversion: Conversion) -> None:
    """Write the file of a graph as tf2onnx leaves it."""
    model = Model(proto, dict(traced.constants))
    apply(model, PASSES)
    onnx_file.describe(model.proto, conversion)
    proto = onnx_weights.infer_shapes(model.proto, model.weights)
    onnx_weights.save(proto, model.weights, conversion.path)


def _optimize(path: Path) -> None:
    """Replace an ONNX file by what ONNX Runtime makes of it for any processor.

    Operators are fused, also into those of its own that no other runtime has. Layouts that suit
    only the processor at hand, the last step of what it does to a graph that it loads, are left
    out.

    Args:
        path: The file; its weights may lie beside it.
    """
    import onnx
    import onnxruntime

    data = f"{path.name}.data"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options.optimized_model_filepath = str(Path(folder) / path.name)
        if path.with_name(data).exists():
            entry = "session.optimized_model_external_initializers_"
            options.add_session_config_entry(f"{entry}file_name", data)
            options.add_session_config_entry(f"{entry}min_size_in_bytes", str(_SMALL_BYTES))
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for file in Path(folder).iterdir():
            file.replace(path.with_name(file.name))
    proto = onnx.load(str(path), load_external_data=False)
    onnx_file.drop_domains(proto)
    path.write_bytes(proto.SerializeToString())


def _by_runtime(path: Path) -> dict[str, Any]:
    """Return who optimised a file, and how often it holds each operator of its own."""
    import onnx
    import onnxruntime

    graph = onnx.load(str(path), load_external_data=False).graph
    found = Counter(node.op_type for node in all_nodes(graph) if node.domain == DOMAIN)
    return {
        "by": "ONNX Runtime",
        "version": onnxruntime.__version__,
        "domain": DOMAIN,
        "operators": dict(sorted(found.items())),
    }
