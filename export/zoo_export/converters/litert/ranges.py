"""Ranges that calibration measured, where rows tell too little of them.

Some are empty: a unit that is never on is always 0. The converter makes the smallest step of all of
such a range. XNNPACK refuses the step between it and that of the layer before, and whatever another
input would give has no place in it.

Those of a recurrent layer that is written out are measured for each step by itself, on one step of
each row. The steps are one function, and share the range of all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.converters.litert.masks import narrow, range_of
from zoo_runtime.tensors import Arrays

# Of the range of what a tensor is made from.
_EMPTY = 1e-6
# Masks add numbers such as -1e9: beside them every other range would look empty.
_MASKS = 1e4
# SELECT and SELECT_V2.
_CHOICES = {64, 123}


@contextmanager
def mended_ranges(model: Any, rows: Callable[[], Iterable[tuple[str, Arrays]]]) -> Iterator[None]:
    """Let the converter quantize with ranges that hold for more than the calibration rows.

    Args:
        model: The Keras model.
        rows: What it calibrates on: signature and inputs.
    """
    from tensorflow.lite.python import lite

    calibrator = lite._calibrator.Calibrator
    before, steps = (calibrator.calibrate, calibrator.calibrate_and_quantize), step_names(model)
    mended: list[bytes] = []

    def calibrate(self: Any, *arguments: Any) -> bytes:
        measured: bytes = before[0](self, *arguments)
        mended[:] = [mend(measured, steps, rows())]
        return mended[0]

    def measure_again(self: Any, *arguments: Any, **options: Any) -> Any:
        # With activations in int16 ranges are always measured anew: beside the masks of the file
        # as it was mended, which are of about the size of scores.
        again = calibrator(mended[0], [], []) if mended else self
        return before[1](again, *arguments, **options)

    calibrator.calibrate, calibrator.calibrate_and_quantize = calibrate, measure_again
    try:
        yield
    finally:
        calibrator.calibrate, calibrator.calibrate_and_quantize = before


def step_names(model: Any) -> re.Pattern[str]:
    """Return what the names of tensors have in common that belong to a step of a recurrent layer.

    Args:
        model: The Keras model, whose cells' scopes are numbered anew for every step.
    """
    import keras

    recurrent = [x for x in model._flatten_layers() if isinstance(x, keras.layers.RNN)]
    pairs = {rf"{re.escape(x.name)}(?:_\d+)?/{re.escape(x.cell.name)}" for x in recurrent}
    return re.compile(rf"(?<=/)({'|'.join(sorted(pairs))})(?:_\d+)?(?=/)" if pairs else r"(?!)()")


def mend(content: bytes, steps: re.Pattern[str], rows: Iterable[tuple[str, Arrays]] = ()) -> bytes:
    """Return a calibrated file whose steps share ranges, and no range is empty or a mask's.

    Args:
        content: A float file with the least and the largest value of its tensors.
        steps: As :func:`step_names` gives them.
        rows: What it was calibrated on: signature and inputs.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    codes = enumerate(model.operatorCodes)
    choices = {index for index, code in codes if code.builtinCode in _CHOICES}
    changed = narrow(model, content, rows)
    for graph in model.subgraphs:
        changed |= _share(graph, steps, choices)
        for node in graph.operators:
            sizes = [_largest(graph.tensors[index]) for index in node.inputs if index >= 0]
            source = max((size for size in sizes if size < _MASKS), default=0.0) or 1.0
            for index in node.outputs:
                changed |= _widen(graph.tensors[index], source)
    if not changed:
        return content
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _share(graph: Any, steps: re.Pattern[str], choices: set[int]) -> bool:
    """Give the tensors of all steps that are one in the cell the range of all of them."""
    groups: dict[str, list[int]] = defaultdict(list)
    for node in graph.operators:
        for index in node.outputs:
            name = graph.tensors[index].name.decode()
            if steps.search(name) and range_of(graph.tensors[index]) is not None:
                groups[steps.sub(r"\1", name)].append(index)
    for group in groups.values():
        _set_range(graph, group, group)
    shared = {index for group in groups.values() for index in group}
    # A choice between the state of a step and that before, which a mask makes, is not in the cell.
    for node in graph.operators:
        values, made = shared.intersection(node.inputs), list(node.outputs)
        if values and node.opcodeIndex in choices and range_of(graph.tensors[made[0]]) is not None:
            _set_range(graph, made, [*made, *values])
            shared.update(made)
    return bool(groups)


def _set_range(graph: Any, chosen: Any, of: Any) -> None:
    ranges = [found for index in of if (found := range_of(graph.tensors[index])) is not None]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    for index in chosen:
        measured = graph.tensors[index].quantization
        measured.min, measured.max = np.array([low], np.float32), np.array([high], np.float32)


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
