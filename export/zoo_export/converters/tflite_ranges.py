"""Ranges that calibration measured, of which some are empty: a unit that is never on is always 0.

The converter makes the smallest step of all of such a range. XNNPACK refuses the step between it
and that of the layer before, and whatever another input would give has no place in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.converters.tflite_masks import narrow, range_of
from zoo_export.tensors import Arrays

# Of the range of what a tensor is made from.
_EMPTY = 1e-6
# Masks add numbers such as -1e9: beside them every other range would look empty.
_MASKS = 1e4


@contextmanager
def mended_ranges(rows: Callable[[], Iterable[tuple[str, Arrays]]]) -> Iterator[None]:
    """Let the converter quantize by ranges that are neither empty nor those of masks.

    Args:
        rows: What it calibrates on: signature and inputs.
    """
    from tensorflow.lite.python import lite

    calibrator = lite._calibrator.Calibrator
    before = calibrator.calibrate

    def calibrate(self: Any, *arguments: Any) -> bytes:
        return mended(before(self, *arguments), rows())

    calibrator.calibrate = calibrate
    try:
        yield
    finally:
        calibrator.calibrate = before


def mended(content: bytes, rows: Iterable[tuple[str, Arrays]]) -> bytes:
    """Return a calibrated file in which no tensor of activations has an empty range, or a mask's.

    Args:
        content: A float file with the least and the largest value of its tensors.
        rows: What it was calibrated on: signature and inputs.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    changed = narrow(model, content, rows)
    for graph in model.subgraphs:
        for node in graph.operators:
            sizes = [_largest(graph.tensors[index]) for index in node.inputs if index >= 0]
            source = max((size for size in sizes if size < _MASKS), default=0.0) or 1.0
            for index in node.outputs:
                changed |= _widen(graph.tensors[index], source)
    if not changed:
        return content
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _widen(tensor: Any, source: float) -> bool:
    range_ = range_of(tensor)
    if range_ is None or range_[1] - range_[0] > _EMPTY * source or abs(range_[0]) > source:
        return False
    low, high = range_
    tensor.quantization.min = np.array([min(low, 0)], np.float32)
    tensor.quantization.max = np.array([max(high, 0) + source], np.float32)
    return True


def _largest(tensor: Any) -> float:
    range_ = range_of(tensor)
    return 0.0 if range_ is None else max(abs(end) for end in range_)
