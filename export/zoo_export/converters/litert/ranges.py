"""Ranges that calibration measured, corrected where the rows show too little of them.

Some are empty: a unit that is never on is always 0. The converter makes the smallest step of all of
such a range. XNNPACK refuses the step between it and that of the layer before, and whatever another
input would give is outside of it.

Those of an unrolled recurrent layer are measured for each step by itself, on one step of each row.
The steps are one function, and share the range of all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_runtime.tensors import Array, Arrays

# Of the range of what a tensor is made from.
_EMPTY = 1e-6
# Masks add numbers such as -1e9: beside them every other range would look empty.
_LARGEST_SOURCE = 1e4
# SELECT and SELECT_V2.
_CHOICES = {64, 123}
# Below minus that a value is a mask's, not a score's.
_MASKS = 1e3
# Below the least visible score: of what is masked softmax leaves 3e-7 at most.
_BELOW = 15.0
_ADDED, _CHOSEN, _SCALED = {"ADD"}, {"SELECT", "SELECT_V2"}, {"MUL"}
_MOVED = {
    "BROADCAST_TO",
    "EXPAND_DIMS",
    "RESHAPE",
    "SLICE",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TRANSPOSE",
}
_ON_THE_WAY = _ADDED | _CHOSEN | _SCALED | _MOVED
_END = "SOFTMAX"
# As the schema of the files counts.
_FLOAT32 = 0


@contextmanager
def corrected_ranges(
    model: Any, rows: Callable[[], Iterable[tuple[str, Arrays]]]
) -> Iterator[None]:
    """Let the converter quantize with ranges that hold for more than the calibration rows.

    Args:
        model: The Keras model.
        rows: What it calibrates on: signature and inputs.
    """
    from tensorflow.lite.python import lite

    calibrator = lite._calibrator.Calibrator
    before, steps = (calibrator.calibrate, calibrator.calibrate_and_quantize), step_names(model)
    corrected: list[bytes] = []

    def calibrate(self: Any, *arguments: Any) -> bytes:
        measured: bytes = before[0](self, *arguments)
        corrected[:] = [correct(measured, steps, rows())]
        return corrected[0]

    def quantize(self: Any, rows: Any, *arguments: Any, **options: Any) -> Any:
        # To int16 it would measure again, and with other masks. Fed with nothing, it takes the
        # ranges that are in the file.
        again = calibrator(_doubled(corrected[0]), [], [])
        again._feed_tensors = lambda *_: None
        return before[1](again, rows, *arguments, **options)

    calibrator.calibrate, calibrator.calibrate_and_quantize = calibrate, quantize
    try:
        yield
    finally:
        calibrator.calibrate, calibrator.calibrate_and_quantize = before


def _doubled(content: bytes) -> bytes:
    """Return a calibrated file with ranges twice as wide.

    Of 65,536 steps half are to spare: values beyond those of the calibration rows are not cut off.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if range_of(tensor) is not None:
                tensor.quantization.min = 2 * np.asarray(tensor.quantization.min)
                tensor.quantization.max = 2 * np.asarray(tensor.quantization.max)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def step_names(model: Any) -> re.Pattern[str]:
    """Return what the names of tensors have in common that belong to a step of a recurrent layer.

    Args:
        model: The Keras model, whose cells' scopes are numbered again for every step.
    """
    import keras

    recurrent = [x for x in model._flatten_layers() if isinstance(x, keras.layers.RNN)]
    pairs = {rf"{re.escape(x.name)}(?:_\d+)?/{re.escape(x.cell.name)}" for x in recurrent}
    return re.compile(rf"(?<=/)({'|'.join(sorted(pairs))})(?:_\d+)?(?=/)" if pairs else r"(?!)()")


def correct(
    content: bytes, steps: re.Pattern[str], rows: Iterable[tuple[str, Arrays]] = ()
) -> bytes:
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
            source = max((size for size in sizes if size < _LARGEST_SOURCE), default=0.0) or 1.0
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


# Ranges of attention scores to which a mask adds a number such as -1e9.
#
# On one scale with it all scores are one value in int8: a quantized file attends to every visible
# step alike. What is below the least score by so much that softmax leaves nothing may be anywhere:
# the ranges end there, and what is beyond a range is put at its end. TensorFlow's calibrator also
# takes such numbers for those of the tensor in whose memory they were added: ranges around masks
# are measured again.

# By index of the graph and of the tensor: the least and largest value that is not a mask's, and
# whether there are others.
_Measured = Mapping[tuple[int, int], tuple[float, float, bool]]


def narrow(model: Any, content: bytes, rows: Iterable[tuple[str, Arrays]]) -> bool:
    """Change the ranges around masked scores of a calibrated file, and return whether any was.

    Args:
        model: A flatbuffer as objects, with the least and the largest value of its tensors.
        content: The same in bytes.
        rows: What it is calibrated on: signature and inputs.
    """
    kinds = [_kind(code) for code in model.operatorCodes]
    graphs = [_Graph(at, model, kinds) for at in range(len(model.subgraphs))]
    wanted = {(graph.at, tensor) for graph in graphs for tensor in graph.around_masks()}
    if not wanted:
        return False
    measured = _measured(content, wanted, rows)
    for graph in graphs:
        graph.narrow(measured)
    return True


def _kind(code: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    return str(names.get(number, ""))


def _measured(
    content: bytes, wanted: Iterable[tuple[int, int]], rows: Iterable[tuple[str, Arrays]]
) -> _Measured:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    found: dict[tuple[int, int], tuple[float, float, bool]] = {}
    for signature, part in rows:
        runner = interpreter.get_signature_runner(signature)
        runner(**part)
        for at, tensor in wanted:
            if at == runner._subgraph_index:
                array = interpreter.get_tensor(tensor, at)
                found[at, tensor] = _wider(found.get((at, tensor)), array)
    return found


def _wider(before: tuple[float, float, bool] | None, array: Array) -> tuple[float, float, bool]:
    low, high, has_masks = before or (np.inf, -np.inf, False)
    visible = array > -_MASKS
    return (
        min(low, float(array.min(initial=np.inf, where=visible))),
        max(high, float(array.max(initial=-np.inf, where=visible))),
        has_masks or not bool(visible.all()),
    )


@dataclass(frozen=True)
class _Node:
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def sources(self) -> tuple[int, ...]:
        """Those of its inputs that may hold masked values."""
        if self.kind in _MOVED:
            return self.inputs[:1]
        return self.inputs[1:] if self.kind in _CHOSEN else self.inputs


class _Graph:
    def __init__(self, at: int, model: Any, kinds: list[str]) -> None:
        graph = model.subgraphs[at]
        self.at = at
        self._buffers = model.buffers
        self._constants: dict[int, Array] = {}
        self._tensors = graph.tensors
        self._given = set(map(int, graph.outputs))
        self._nodes = [
            _Node(kinds[op.opcodeIndex], tuple(map(int, op.inputs)), tuple(map(int, op.outputs)))
            for op in graph.operators
        ]
        self._maker = {at: node for node in self._nodes for at in node.outputs}
        self._measured: dict[int, tuple[float, float, bool]] = {}

    def around_masks(self) -> set[int]:
        """Return the tensors on the ways to a softmax whose ranges hold values of masks."""
        found: set[int] = set()
        waiting = [node.inputs[0] for node in self._nodes if node.kind == _END]
        while waiting:
            at = waiting.pop()
            if at in found or self._range(at) is None:
                continue
            node = self._maker.get(at)
            if self._holds_masks(at) and node is not None and node.kind in _ON_THE_WAY:
                waiting += node.inputs
            found.add(at)
        return found if any(map(self._holds_masks, found)) else set()

    def narrow(self, measured: _Measured) -> None:
        """Give these tensors the ranges of what is not masked, and room for what is."""
        self._measured = {tensor: row for (at, tensor), row in measured.items() if at == self.at}
        for at, (low, high, has_masks) in self._measured.items():
            if not has_masks and low <= high:
                self._set(at, low, high)
        for node in self._nodes:
            if node.kind == _END:
                self._end(node.inputs[0], None)

    def _end(self, at: int, end: float | None) -> None:
        """End the range of masked values, where they go nowhere but into a softmax."""
        node, row = self._maker.get(at), self._measured.get(at)
        if node is None or row is None or not row[2] or not self._is_hidden(at):
            return
        low, high, _ = row if row[0] <= row[1] else (0.0, 0.0, True)
        if node.kind in _ADDED | _CHOSEN or end is None:
            end = low - _BELOW
        self._set(at, min(end, self._ended(at)), high)
        for source in node.sources:
            self._end_source(node, source, end)

    def _end_source(self, node: _Node, source: int, end: float) -> None:
        others = [self._measured.get(other, (0.0, 0.0)) for other in node.inputs if other != source]
        if node.kind in _ADDED:
            # The largest score and the value of a mask add up to less than the least score.
            end -= max((row[1] for row in others if row[1] > 0), default=0.0)
        if node.kind in _SCALED:
            end /= max((abs(bound) for row in others for bound in row[:2]), default=0.0) or 1.0
        if source not in self._maker:
            self._end_constant(source, end)
        elif node.kind not in _SCALED:
            self._end(source, end)

    def _end_constant(self, at: int, end: float) -> None:
        """Bring the values of a mask to where ranges end: products with them would overflow."""
        if not self._is_hidden(at):
            return
        if at not in self._constants:
            data = self._buffers[self._tensors[at].buffer].data
            if data is None or not len(data) or self._tensors[at].type != _FLOAT32:
                return
            self._constants[at] = np.frombuffer(bytes(data), np.float32)
            # Another tensor may have the same values, and mean them.
            self._buffers.append(type(self._buffers[0])())
            self._tensors[at].buffer = len(self._buffers) - 1
        own = self._constants[at]
        buffer = self._buffers[self._tensors[at].buffer]
        before = end if buffer.data is None else float(np.frombuffer(bytes(buffer.data), "f").min())
        values = np.where(own <= -_MASKS, np.float32(min(end, before)), own)
        buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)

    def _is_hidden(self, at: int) -> bool:
        taken = {node.kind for node in self._nodes if at in node.inputs}
        return at not in self._given and taken <= {*_ON_THE_WAY, _END}

    def _ended(self, at: int) -> float:
        low, _ = self._range(at) or (0.0, 0.0)
        return low if low > -_MASKS else 0.0

    def _holds_masks(self, at: int) -> bool:
        return min(self._range(at) or (0.0,)) <= -_MASKS

    def _set(self, at: int, low: float, high: float) -> None:
        quantization = self._tensors[at].quantization
        quantization.min, quantization.max = (np.array([v], np.float32) for v in (low, high))

    def _range(self, at: int) -> tuple[float, float] | None:
        return range_of(self._tensors[at])


def range_of(tensor: Any) -> tuple[float, float] | None:
    """Return the least and the largest value that were measured of a tensor, if they were."""
    measured = tensor.quantization
    if measured is None or measured.min is None or measured.max is None:
        return None
    if len(measured.min) != 1 or len(measured.max) != 1:
        return None
    return float(measured.min[0]), float(measured.max[0])
