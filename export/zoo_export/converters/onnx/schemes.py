"""Quantized ONNX files, made by ONNX Runtime's own tools from the float file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zoo_export.converters.mixed_precision import (
    NUM_ROWS,
    by_layer,
    float_nodes,
    layer_errors,
    room_for_float,
    with_float_layers,
    with_full_precision,
    worst,
)
from zoo_export.converters.onnx import convert as onnx_convert
from zoo_export.converters.onnx import file as onnx_file
from zoo_export.converters.onnx import weights as onnx_weights
from zoo_export.converters.onnx.blocks import to_blocks
from zoo_export.converters.onnx.float16 import to_float16
from zoo_export.converters.onnx.graph import drop_unread, replace_nodes, share_equal
from zoo_export.converters.tracing import Conversion
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_onnx
from zoo_runtime.tensors import Array, Arrays, batches, evenly_rows
from zoo_system.quiet import quiet_logger

# Operators that ONNX Runtime's tools quantize.
_OPERATORS = ["MatMul", "Gemm", "Conv", "Gather"]
_Pair = tuple[str, str]
# The axis of the channels of each weight, by its position among the inputs of the operator.
CONVOLUTIONS = {"Conv": {1: 0}}
# In the standard domain these have no integers.
RECURRENT = {"LSTM": {1: 1, 2: 1}, "GRU": {1: 1, 2: 1}}


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store weights and compute in float16 what it holds, between casts at inputs and outputs."""
    facts = _changed(conversion, lambda path: to_float16(onnx.load(str(path))))
    return with_full_precision(facts)


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8 by channel; activations are quantized while the model runs.

    Those of convolutions are only stored so: in integers ONNX Runtime takes five times as long. So
    are those of an LSTM or GRU, which the standard domain has in float only.
    """
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
        proto = onnx.load(str(target))
        _store_in_int8(proto.graph, {**CONVOLUTIONS, **RECURRENT}, kept)
        return proto

    return _quantized(conversion, quantize)


def int8_blocks(conversion: Conversion) -> dict[str, Any]:
    """Store factors of products and tables of embeddings in int8, with a scale for each block."""
    return _blocks(conversion, 8)


def int4_blocks(conversion: Conversion) -> dict[str, Any]:
    """Store factors of products in int4, those of logits and tables of embeddings in int8."""
    return _blocks(conversion, 4)


def _blocks(conversion: Conversion, bits: int) -> dict[str, Any]:
    model = conversion.model
    outputs = dict(zip(model.output_names, model.outputs, strict=True))

    def change(source: Path) -> Any:
        proto = onnx.load(str(source))
        to_blocks(proto, bits, outputs[LOGITS].shape[-1], _float_nodes(conversion, source))
        return proto

    return with_float_layers(model, _changed(conversion, change))


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
        rows = evenly_rows(conversion.calibration, NUM_ROWS)
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

    graph = onnx.load(str(path), load_external_data=False).graph
    operators = {*_OPERATORS, *RECURRENT}
    return [node.name for node in graph.node if node.op_type in operators]


def _calibrated(
    conversion: Conversion,
    source: Path,
    kept: Sequence[str] = (),
    ranges: Path | None = None,
) -> Any:
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
    proto = onnx.load(str(target))
    _store_in_int8(proto.graph, RECURRENT, kept)
    return proto


class _Reader:
    # What quantize_static asks for one batch after another.
    def __init__(self, rows: Arrays) -> None:
        self._batches: Iterator[dict[str, Array]] = batches(rows, 1)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _quantized(conversion: Conversion, quantize: Callable[[Path], Any]) -> dict[str, Any]:
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
        pairs = tied(onnx.load(str(prepared)).graph)
        proto = quantize(prepared)
        share_tied(proto.graph, pairs)
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
        onnx_convert.convert(replace(conversion, path=source))
        proto = change(source)
    onnx_file.drop_domains(proto)
    onnx_weights.save_whole(proto, conversion.path)
    return onnx_file.inspect(conversion)


# A tied embedding is stored once, and weights without integer operators in int8 alone.
#
# ONNX Runtime's tools transpose a table that is read by row and multiplied by, to quantize the
# product, so that there are two.


def tied(graph: Any) -> list[_Pair]:
    """Return tied embeddings: tables that rows are gathered from, each with the equal kernel.

    Args:
        graph: An ``onnx.GraphProto`` with its weights in float.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    tables = {node.input[0] for node in graph.node if _gathers_rows(node)} & weights.keys()
    factors = {node.input[1] for node in graph.node if node.op_type == "MatMul"} & weights.keys()
    return [
        (table, factor)
        for table in sorted(tables)
        for factor in sorted(factors)
        if list(weights[table].dims) == list(weights[factor].dims)[::-1]
        and np.array_equal(
            numpy_helper.to_array(weights[table]).T, numpy_helper.to_array(weights[factor])
        )
    ]


def _gathers_rows(node: Any) -> bool:
    return node.op_type == "Gather" and not any(a.i for a in node.attribute if a.name == "axis")


def share_tied(graph: Any, pairs: Sequence[_Pair]) -> None:
    """Let both readers of a tied embedding read one tensor, after the tools have changed them.

    In integers that is the factor, whose columns have a scale each: rows of it are gathered, and
    multiplied by theirs. The runtime turns it round once, as it loads the file.

    Args:
        graph: The changed graph.
        pairs: What :func:`tied` found before.
    """
    for table, factor in pairs:
        weights = {tensor.name: tensor for tensor in graph.initializer}
        if {table, factor} <= weights.keys():
            _turn_round(graph, table, weights[factor])
        elif {f"{table}_quantized", f"{factor}_quantized"} <= weights.keys():
            zeros = numpy_helper.to_array(weights[f"{factor}_zero_point"])
            if zeros.any() or zeros.ndim != 1:  # no scale for each column, or not that alone
                continue
            rows, quantized = f"{table}_rows", weights[f"{factor}_quantized"]
            array = np.ascontiguousarray(numpy_helper.to_array(quantized).T)
            graph.initializer.append(numpy_helper.from_array(array, rows))
            nodes = {
                output: _rows(rows, f"{factor}_scale", gather, output)
                for gather, output in _gathered(graph, f"{table}_quantized")
            }
            replace_nodes(graph, nodes)
            drop_unread(graph)
            _turn_round(graph, rows, quantized)


def _turn_round(graph: Any, name: str, weight: Any) -> None:
    node = helper.make_node("Transpose", [name], [weight.name], f"{name}/turned", perm=[1, 0])
    graph.initializer.remove(weight)
    graph.node.insert(0, node)


def _gathered(graph: Any, table: str) -> Iterator[tuple[Any, str]]:
    """Yield each Gather from a table, with the name of the real numbers that come of it."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for first in readers.get(table, []):
        # The numbers are made real after they are gathered, or before.
        for then in readers.get(first.output[0], []):
            by_kind = {node.op_type: node for node in (first, then)}
            if by_kind.keys() == {"Gather", "DequantizeLinear"}:
                yield by_kind["Gather"], then.output[0]


def _rows(table: str, scales: str, gather: Any, output: str) -> list[Any]:
    """Return nodes that gather rows of integers and multiply each by its scale."""
    parts = ("integers", "reals", "scale", "column", "last")
    integers, reals, scale, column, last = (f"{gather.name}/{part}" for part in parts)
    indices, axis = gather.input[1], numpy_helper.from_array(np.array([-1]))
    return [
        helper.make_node("Gather", [table, indices], [integers], integers),
        helper.make_node("Cast", [integers], [reals], reals, to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [scales, indices], [scale], scale),
        helper.make_node("Constant", [], [last], last, value=axis),
        helper.make_node("Unsqueeze", [scale, last], [column], column),
        helper.make_node("Mul", [reals, column], [output], gather.name),
    ]


def _store_in_int8(
    graph: Any, operators: Mapping[str, Mapping[int, int]], kept: Sequence[str]
) -> None:
    """Store weights in int8 by channel; the runtime makes them float again, and computes in float.

    Args:
        graph: An ``onnx.GraphProto``, which is changed.
        operators: Such as :data:`RECURRENT`.
        kept: Names of the nodes whose weights stay as they are.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.name not in kept]
    channels = {
        node.input[position]: axis
        for node in nodes
        for position, axis in operators.get(node.op_type, {}).items()
    }
    for at, name in enumerate(sorted(channels.keys() & weights.keys())):
        axis = channels[name]
        parts = _in_int8(numpy_helper.to_array(weights[name]), axis)
        graph.initializer.remove(weights[name])
        graph.initializer.extend(
            numpy_helper.from_array(value, f"{name}/{kind}") for kind, value in parts.items()
        )
        inputs = [f"{name}/{kind}" for kind in parts]
        node = helper.make_node("DequantizeLinear", inputs, [name], f"{name}/dequantize", axis=axis)
        graph.node.insert(at, node)


def _in_int8(array: Array, axis: int) -> dict[str, Array]:
    others = tuple(at for at in range(array.ndim) if at != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(array.dtype)
    return {"quantized": np.rint(array / scale).astype(np.int8), "scale": scale.ravel()}
