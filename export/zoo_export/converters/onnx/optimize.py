"""ONNX Runtime's own optimisation of a graph, done once and kept in the file."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from zoo_export.converters.onnx import file as onnx_file
from zoo_export.converters.onnx.graph import all_nodes

# Where ONNX Runtime has the operators that it makes of several standard ones.
DOMAIN = "com.microsoft"
# Larger weights stay outside a file whose weights were outside before.
_SMALL_BYTES = 1024


def optimize(path: Path) -> None:
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


def facts(path: Path) -> dict[str, Any]:
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
