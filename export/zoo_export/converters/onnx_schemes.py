"""Quantized ONNX files, made by ONNX Runtime's own tools from the float file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zoo_export.converters import onnx, onnx_file
from zoo_export.converters.calibration import batches_of_one
from zoo_export.converters.tracing import Conversion
from zoo_export.tensors import Array, Arrays

# Operators that the standard domain has in integers. A quantized LSTM it has not.
_OPERATORS = ["MatMul", "Gemm", "Conv", "Gather"]


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store weights and compute in float16, between casts at the inputs and outputs."""
    import onnx as onnx_package
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    onnx.convert(conversion)
    proto = onnx_package.load(str(conversion.path))
    halved = convert_float_to_float16(proto, keep_io_types=True)
    OnnxModel(halved).topological_sort()
    onnx_package.save(halved, str(conversion.path))
    return onnx_file.inspect(conversion)


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8 by channel; activations are quantized while the model runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    def quantize(source: Path, target: Path) -> None:
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            reduce_range=True,  # without it AVX2 adds up beyond 16 bits, and answers change
            weight_type=QuantType.QInt8,
        )

    return _quantized(conversion, quantize)


def int8(conversion: Conversion) -> dict[str, Any]:
    """Surround each operator with QuantizeLinear and DequantizeLinear of calibrated ranges."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    def quantize(source: Path, target: Path) -> None:
        quantize_static(
            str(source),
            str(target),
            _Reader(conversion.calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )

    return _quantized(conversion, quantize)


class _Reader:
    # What quantize_static asks for one batch after another.
    def __init__(self, rows: Arrays) -> None:
        self._batches: Iterator[dict[str, Array]] = batches_of_one(rows)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _quantized(conversion: Conversion, quantize: Callable[[Path, Path], None]) -> dict[str, Any]:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    onnx.convert(conversion)
    logging.getLogger().setLevel(logging.ERROR)  # its advice to preprocess, which is done here
    with tempfile.TemporaryDirectory(dir=conversion.path.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(conversion.path), str(prepared), skip_symbolic_shape=True)
        quantize(prepared, conversion.path)
    return onnx_file.inspect(conversion)
