"""Quantized ONNX files, made by ONNX Runtime's own tools from the float file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_export.converters import (
    onnx,
    onnx_file,
    onnx_halves,
    onnx_stored,
    onnx_tied,
    onnx_weights,
)
from zoo_export.converters.float_layers import float_nodes, with_float_layers
from zoo_export.converters.half_precision import with_full_precision
from zoo_export.converters.onnx_graph import share_equal
from zoo_export.converters.tracing import Conversion
from zoo_export.converters.worst_layers import (
    by_layer,
    layer_errors,
    room_for_float,
    some_rows,
    worst,
)
from zoo_export.runtime import Runner
from zoo_export.runtime.sessions import open_onnx
from zoo_export.tensors import Array, Arrays, batches
from zoo_registry.quiet import quiet_logger

# Operators that ONNX Runtime's tools quantize.
_OPERATORS = ["MatMul", "Gemm", "Conv", "Gather"]


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store weights and compute in float16 what it holds, between casts at inputs and outputs."""
    import onnx as onnx_package

    facts = _changed(conversion, lambda path: onnx_halves.halve(onnx_package.load(str(path))))
    return with_full_precision(facts)


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8 by channel; activations are quantized while the model runs.

    Those of convolutions are only stored so: in integers ONNX Runtime takes five times as long. So
    are those of an LSTM or GRU, which the standard domain has in float only.
    """
    import onnx as onnx_package
    from onnxruntime.quantization import QuantType, quantize_dynamic

    def quantize(source: Path) -> Any:
        target = source.with_name("dynamic.onnx")
        kept = _float_nodes(conversion, source)
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=[name for name in _OPERATORS if name != "Conv"],
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,  # without it AVX2 adds up beyond 16 bits, and answers change
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
        proto = onnx_package.load(str(target))
        onnx_stored.store(proto.graph, {**onnx_stored.CONVOLUTIONS, **onnx_stored.RECURRENT}, kept)
        return proto

    return _quantized(conversion, quantize)


def _float_nodes(conversion: Conversion, source: Path) -> list[str]:
    return float_nodes(conversion.model, ((name, [name]) for name in _nodes(source)))


def int8(conversion: Conversion) -> dict[str, Any]:
    """Surround each operator with QuantizeLinear and DequantizeLinear of calibrated ranges."""
    return _quantized(conversion, lambda source: _calibrated(conversion, source))


def int8_mixed(conversion: Conversion) -> dict[str, Any]:
    """As :func:`int8`, but for the layers that cost most.

    Returns:
        What is in the file, the error of each layer and which of them stayed in float.
    """
    found: dict[str, Any] = {}

    def quantize(source: Path) -> Any:
        always = _float_nodes(conversion, source)
        nodes = [(name, [name]) for name in _nodes(source) if name not in always]
        layers = by_layer(conversion.model, nodes)
        rows = some_rows(conversion.calibration)
        ranges = source.with_name("ranges.json")

        def run(kept: Sequence[str]) -> Arrays:
            trial = source.with_name("trial.onnx")
            onnx_weights.save_whole(_calibrated(conversion, source, kept, ranges), trial)
            session = open_onnx(trial, threads=None)
            return Runner(session, conversion.inputs, conversion.outputs).run(rows)

        found["layer_errors"] = layer_errors(layers, run)
        room = room_for_float(conversion.model, layers)
        found["float_layers"] = worst(found["layer_errors"], *room)
        kept = [node for layer in found["float_layers"] for node in layers[layer]]
        return _calibrated(conversion, source, kept, ranges)

    facts = _quantized(conversion, quantize)
    return {**facts, **found, "float_layers": found["float_layers"] + facts.get("float_layers", [])}


def _nodes(path: Path) -> list[str]:
    import onnx as onnx_package

    graph = onnx_package.load(str(path), load_external_data=False).graph
    operators = {*_OPERATORS, *onnx_stored.RECURRENT}
    return [node.name for node in graph.node if node.op_type in operators]


def _calibrated(
    conversion: Conversion,
    source: Path,
    kept: Sequence[str] = (),
    ranges: Path | None = None,
) -> Any:
    import onnx as onnx_package
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    kept = [*kept, *_float_nodes(conversion, source)]
    target = source.with_name("calibrated.onnx")
    for old in source.parent.glob(f"{target.name}*"):
        old.unlink()  # weights would be appended to what an earlier trial left
    quantize_static(
        str(source),
        str(target),
        _Reader(conversion.calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_OPERATORS,
        nodes_to_exclude=kept,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_cache_path=ranges,  # measured once for all trials
        use_external_data_format=True,
    )
    proto = onnx_package.load(str(target))
    onnx_stored.store(proto.graph, onnx_stored.RECURRENT, kept)
    return proto


class _Reader:
    # What quantize_static asks for one batch after another.
    def __init__(self, rows: Arrays) -> None:
        self._batches: Iterator[dict[str, Array]] = batches(rows, 1)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _quantized(conversion: Conversion, quantize: Callable[[Path], Any]) -> dict[str, Any]:
    import onnx as onnx_package
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def change(source: Path) -> Any:
        prepared = source.with_name("prepared.onnx")
        quant_pre_process(
            str(source),
            str(prepared),
            skip_symbolic_shape=True,
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            external_data_location=f"{prepared.name}.data",
        )
        pairs = onnx_tied.tied(onnx_package.load(str(prepared)).graph)
        proto = quantize(prepared)
        onnx_tied.share(proto.graph, pairs)
        share_equal(proto.graph)
        return proto

    with quiet_logger(None):  # its advice to preprocess, which is done here
        return with_float_layers(conversion.model, _changed(conversion, change))


def _changed(conversion: Conversion, change: Callable[[Path], Any]) -> dict[str, Any]:
    """Write what becomes of the float file, and return what it holds.

    Between the steps weights lie beside the graph, as a file takes no more than 2 GB of them.

    Args:
        conversion: What is converted.
        change: Takes the float file, in a folder for whatever it writes, and returns the model.
    """
    with tempfile.TemporaryDirectory(dir=conversion.path.parent) as folder:
        source = Path(folder) / "float.onnx"
        onnx.convert(replace(conversion, path=source))
        proto = change(source)
    onnx_file.drop_domains(proto)
    onnx_weights.save_whole(proto, conversion.path)
    return onnx_file.inspect(conversion)
