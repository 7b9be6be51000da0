"""What is changed in a finished LiteRT file, bytes to bytes: tables, scales, equal lists, float16.

LiteRT's GATHER takes one scale for a whole table; its EMBEDDING_LOOKUP takes one a row, as the
product with the same table does, and weights in int4: tables of embeddings are looked up by row.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import numpy as np

from zoo_export.converters.mixed_precision import is_held
from zoo_runtime.tensors import Array

# From this version on LiteRT's kernel knows int4, and a scale for each row.
_LOOKUP_VERSION = 4
# Two roundings of one value differ by half a step of each; and by a bit, in float32.
_ROUNDED = 0.501
# Which of their inputs holds the values.
_MOVES = {
    "BATCH_TO_SPACE_ND": 0, "BROADCAST_TO": 0, "DEPTH_TO_SPACE": 0, "EXPAND_DIMS": 0, "GATHER": 0,
    "GATHER_ND": 0, "MIRROR_PAD": 0, "RESHAPE": 0, "RESIZE_NEAREST_NEIGHBOR": 0,
    "REVERSE_SEQUENCE": 0, "REVERSE_V2": 0, "SLICE": 0, "SPACE_TO_BATCH_ND": 0, "SPACE_TO_DEPTH": 0,
    "SPLIT": 1, "SPLIT_V": 0, "SQUEEZE": 0, "STRIDED_SLICE": 0, "TILE": 0, "TRANSPOSE": 0,
    "UNPACK": 0,
}  # fmt: skip
# Below that fraction of a file it is not written again.
_LEAST = 0.01
# As the schema has it for weights.
_ALIGNMENT = 16


class _Reading(NamedTuple):
    node: Any  # what is replaced
    gather: Any  # the same, or what comes before it
    table: int  # the tensor to read
    result: int  # the tensor that results


def look_up(content: bytes) -> bytes:
    """Return a float file in which rows of constant tables are looked up, not gathered."""

    def choose(editor: Editor) -> Iterator[_Reading]:
        for node in editor.nodes("GATHER"):
            if editor.has_dtype(node.inputs[0], "FLOAT32"):
                yield _Reading(node, node, node.inputs[0], node.outputs[0])

    return _edited(content, choose)


def share_tied(content: bytes) -> bytes:
    """Return a file of int8 weights in which a tied embedding is stored once.

    Where one signature of several has no product with the table, it reads that of another.
    """

    def choose(editor: Editor) -> Iterator[_Reading]:
        kernels = editor.kernels()
        gathers = {node.outputs[0]: node for node in editor.nodes("GATHER")}
        for node in editor.nodes("DEQUANTIZE"):
            gather = gathers.get(node.inputs[0])
            if gather is None or not editor.has_dtype(gather.inputs[0], "INT8"):
                continue
            table = editor.graph.tensors[gather.inputs[0]]
            kernel = next((kernel for kernel in kernels if editor.is_same(table, kernel)), None)
            if kernel is not None:
                yield _Reading(node, gather, editor.index(kernel), node.outputs[0])

    return _edited(content, choose)


def _edited(content: bytes, choose: Callable[[Editor], Iterator[_Reading]]) -> bytes:
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    changed = False
    for graph in model.subgraphs:
        editor = Editor(model, graph)
        for reading in list(choose(editor)):
            changed |= editor.look_up(reading)
    if not changed:
        return content
    drop_unread(model)
    edited: bytes = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return edited


class Editor:
    """One subgraph of a file that is taken apart.

    Args:
        model: The whole file.
        graph: The subgraph.
    """

    def __init__(self, model: Any, graph: Any) -> None:
        from ai_edge_litert import schema_py_generated

        self._model, self.graph, self.schema = model, graph, schema_py_generated

    def nodes(self, operator: str) -> list[Any]:
        """Return the nodes of one kind."""
        return [node for kind, node in self.all_nodes() if kind == operator]

    def kernels(self) -> list[Any]:
        """Return the constant factors of products in int8, of this graph and then of others."""
        graphs = sorted(self._model.subgraphs, key=lambda graph: graph is not self.graph)
        found: dict[int, Any] = {}
        for graph in graphs:
            editor = Editor(self._model, graph)
            for index in {node.inputs[1] for node in editor.nodes("FULLY_CONNECTED")}:
                if editor.has_dtype(index, "INT8"):
                    found.setdefault(graph.tensors[index].buffer, graph.tensors[index])
        return list(found.values())

    def index(self, tensor: Any) -> int:
        """Return the index of a constant in this graph, which takes it from another if need be."""
        for index, own in enumerate(self.graph.tensors):
            if own is tensor or own.buffer == tensor.buffer:
                return index
        self.graph.tensors.append(copy.copy(tensor))
        return len(self.graph.tensors) - 1

    def all_nodes(self) -> Iterator[tuple[str, Any]]:
        """Yield the kind of each node, and the node."""
        kinds = {number: kind for kind, number in vars(self.schema.BuiltinOperator).items()}
        codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in self._model.operatorCodes]
        for node in self.graph.operators:
            yield kinds[codes[node.opcodeIndex]], node

    def has_dtype(self, index: int, dtype: str) -> bool:
        """Return whether a tensor is a constant table of a dtype."""
        tensor = self.graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        is_table = data is not None and len(tensor.shape) == 2
        return is_table and tensor.type == getattr(self.schema.TensorType, dtype)

    def is_same(self, first: Any, second: Any) -> bool:
        """Return whether two tensors of int8 are roundings of the same values."""
        if list(first.shape) != list(second.shape):
            return False
        (left, step), (right, other) = map(self._reals, (first, second))
        return bool((np.abs(left - right) <= _ROUNDED * (step + other)).all())

    def _reals(self, tensor: Any) -> tuple[Array, Array]:
        data = np.asarray(self._model.buffers[tensor.buffer].data).view(np.int8)
        affine = tensor.quantization
        scale, zero = (
            np.reshape(part, (-1, 1)).astype(np.float32)
            for part in (affine.scale, affine.zeroPoint)
        )
        return (data.reshape(tensor.shape) - zero) * scale, scale

    def look_up(self, reading: _Reading) -> bool:
        """Replace one operator by three; ``False`` where they cannot replace it."""
        node, gather, table, result = reading
        schema, tensors = self.schema, self.graph.tensors
        options, indices, given = gather.builtinOptions, gather.inputs[1], tensors[result]
        shape = list(map(int, sizes(given)))
        is_plain = options.axis == 0 and not options.batchDims and shape.count(-1) <= 1
        if not is_plain or tensors[indices].type != schema.TensorType.INT32:
            return False
        count = -1 if -1 in shape else int(np.prod(shape[:-1]))
        flat = self.tensor(given.name + b"/indices", [count], "INT32")
        rows = self.tensor(given.name + b"/rows", [count, shape[-1]], "FLOAT32")
        at = self.graph.operators.index(node)
        self.graph.operators[at : at + 1] = [
            self._reshape(indices, flat, [count]),
            self.node("EMBEDDING_LOOKUP", [flat, table], rows, _LOOKUP_VERSION),
            self._reshape(rows, result, shape),
        ]
        read = {i for other in self.graph.operators for i in other.inputs}
        if gather is not node and not read.intersection(gather.outputs):
            self.graph.operators.remove(gather)
        return True

    def _reshape(self, source: int, target: int, shape: list[int]) -> Any:
        options = self.schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        sizes = self.constant(
            self.graph.tensors[target].name + b"/shape", options.newShape, "INT32"
        )
        node = self.node("RESHAPE", [source, sizes], target)
        node.builtinOptionsType = self.schema.BuiltinOptions.ReshapeOptions
        node.builtinOptions = options
        return node

    def node(self, operator: str, inputs: list[int], output: int, version: int = 1) -> Any:
        """Return a new node, which is in no list of nodes yet."""
        number = getattr(self.schema.BuiltinOperator, operator)
        codes = self._model.operatorCodes
        known = [i for i, c in enumerate(codes) if c.builtinCode == number and c.version >= version]
        if not known:
            code = self.schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = number
            code.version = version
            known = [len(codes)]
            codes.append(code)
        node = self.schema.OperatorT()
        node.opcodeIndex, node.inputs, node.outputs = known[0], inputs, [output]
        return node

    def constant(self, name: bytes, array: Array, dtype: str) -> int:
        """Add a constant and return its index."""
        buffer = self.schema.BufferT()
        buffer.data = array.reshape(-1).view(np.uint8)
        self._model.buffers.append(buffer)
        return self.tensor(name, list(array.shape), dtype, len(self._model.buffers) - 1)

    def tensor(self, name: bytes, shape: list[int], dtype: str, buffer: int = 0) -> int:
        """Add a tensor, with the values of a buffer if it is a constant, and return its index."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.buffer = name, buffer
        tensor.type = getattr(self.schema.TensorType, dtype)
        tensor.shape = [abs(size) for size in shape]
        tensor.shapeSignature = shape if -1 in shape else None
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def sizes(tensor: Any) -> Any:
    signature = tensor.shapeSignature
    return tensor.shape if signature is None or not len(signature) else signature


def drop_unread(model: Any) -> None:
    """Empty the buffers of constants that no operator reads."""
    readers: Counter[int] = Counter()
    for graph in model.subgraphs:
        read = {i for node in graph.operators for i in [*node.inputs, *node.outputs]}
        read |= {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index in read:
                readers[tensor.buffer] += 1
            else:
                tensor.buffer = 0
    for index, buffer in enumerate(model.buffers):
        if not readers[index]:
            buffer.data = None


# Operators of a quantized LiteRT file that only move values, between tensors of other scales.
#
# Their kernels copy the integers as they are. TensorFlow's converter knows that of most of them,
# and gives what comes in and what goes out one scale; of others, such as REVERSE_V2 before a
# concatenation, it does not, and everything behind them is wrong.


def one_scale(content: bytes) -> bytes:
    """Return a file in which values are requantized before they are moved to another scale."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    changed = False
    for graph in model.subgraphs:
        editor = Editor(model, graph)
        for operator, position in _MOVES.items():
            for node in editor.nodes(operator):
                given, made = (graph.tensors[i] for i in (node.inputs[position], node.outputs[0]))
                if not _differ(given, made):
                    continue
                scaled = copy.copy(given)
                scaled.name, scaled.quantization = given.name + b"/scaled", made.quantization
                graph.tensors.append(scaled)
                at, index = graph.operators.index(node), len(graph.tensors) - 1
                graph.operators.insert(at, editor.node("QUANTIZE", [node.inputs[position]], index))
                node.inputs[position] = index
                changed = True
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content


def _differ(given: Any, made: Any) -> bool:
    """Return whether two tensors of integers have other scales or zero points, one each."""
    scales = [_scale(given), _scale(made)]
    return given.type == made.type and None not in scales and scales[0] != scales[1]


def _scale(tensor: Any) -> tuple[float, int] | None:
    affine = tensor.quantization
    if affine is None or affine.scale is None or len(affine.scale) != 1:
        return None
    return float(affine.scale[0]), int(affine.zeroPoint[0])


# Equal lists of a LiteRT file, stored once.
#
# The converter writes a zero point of eight bytes for each channel of every weight and bias, all of
# them zero: up to a tenth of an int8 file.


def write(path: Path, content: bytes | bytearray) -> None:
    """Write a LiteRT file whose tensors share zero points that are equal.

    One whose weights lie behind its tables, at fixed offsets, is written as it is.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    is_whole = not any(model.Buffers(i).Offset() for i in range(model.BuffersLength()))
    if is_whole and _repeated(model) >= _LEAST * len(content):
        content = pack(schema.ModelT.InitFromObj(model), len(content))
    path.write_bytes(content)


def pack(model: Any, size: int) -> bytearray:
    """Return the bytes of a file: constants as aligned as the schema wants, equal lists once.

    Args:
        model: The file as objects.
        size: About how many bytes it takes.
    """
    builder = _Sharing(size + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content: bytearray = builder.Output()
    return content


def _repeated(model: Any) -> int:
    """Return how many bytes of zero points are there before."""
    total, different = 0, set()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            affine = tensor.Quantization()
            if affine is not None and affine.ZeroPointLength():
                zeros = affine.ZeroPointAsNumpy()
                total += zeros.nbytes
                different.add(zeros.tobytes())
    return total - sum(map(len, different))


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._made: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> Any:  # noqa: N802 (called by generated code)
        key = x.dtype.str, hashlib.sha256(x.tobytes()).digest()
        if key not in self._made:
            if x.dtype.itemsize == 1:
                self.Prep(_ALIGNMENT, x.size)
            self._made[key] = super().CreateNumpyVector(x)
        return self._made[key]


# Constants in float16, but for those that it cannot hold.
#
# TensorFlow's own pass takes every constant, and clips what is beyond: a mask of -1e9 becomes
# -65504, beside which the scores of a row that sees nothing still count, and a mean of 300,000 is
# another. LiteRT computes in float32, so what stays in it is exact.

# Below it an operator and a tensor more take as much as is saved.
_FEWEST = 32
# The version of DEQUANTIZE that takes float16.
_DEQUANTIZE_VERSION = 3
# What offsets of 32 bits reach, less room for the tables.
_LARGEST_FILE = 2**31 - 2**27
_SUMS = {"ADD", "SUB", "SELECT", "SELECT_V2", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}
_PRODUCTS = {"MUL", "DIV", "POW", "FLOOR_DIV", "FLOOR_MOD"}


def to_float16(content: bytes, largest: int = _LARGEST_FILE) -> bytearray:
    """Return a float file whose constants are in float16 and are read through DEQUANTIZE.

    Args:
        content: The file, whose constants may lie behind its tables.
        largest: With more bytes of constants than that they lie there again.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    editors = [Editor(model, graph) for graph in model.subgraphs]
    held = _held(model, editors, schema.TensorType.FLOAT32)
    for number in held:
        buffer = model.buffers[number]
        buffer.data = buffer.data.view(np.float32).astype(np.float16).view(np.uint8)
    for editor in editors:
        _read_float16(editor, held)
    return _packed(model, largest)


def _held(model: Any, editors: list[Editor], float32: int) -> set[int]:
    """Return the buffers of float32 constants that are as good in float16."""
    readers: dict[int, set[str]] = defaultdict(set)
    others = {0}
    for editor in editors:
        kinds: dict[int, set[str]] = defaultdict(set)
        for kind, node in editor.all_nodes():
            for index in node.inputs:
                kinds[int(index)].add(kind)
        ends = {*map(int, editor.graph.inputs), *map(int, editor.graph.outputs)}
        for index, tensor in enumerate(editor.graph.tensors):
            readers[tensor.buffer] |= kinds[index]
            if tensor.type != float32 or tensor.isVariable or index in ends:
                others.add(tensor.buffer)
    return {
        number
        for number, kinds in readers.items()
        if number not in others and _is_held(model.buffers[number].data, kinds)
    }


def _is_held(data: Array | None, kinds: set[str]) -> bool:
    if data is None or data.size < np.float32().itemsize * _FEWEST:
        return False
    summed, multiplied = bool(kinds & _SUMS), bool(kinds & _PRODUCTS)
    return is_held(data.view(np.float32), summed=summed, multiplied=multiplied)


def _read_float16(editor: Editor, held: set[int]) -> None:
    made = []
    for index, tensor in enumerate(list(editor.graph.tensors)):
        if tensor.buffer in held:
            name, shape = tensor.name + b"/float16", list(map(int, tensor.shape))
            half = editor.tensor(name, shape, "FLOAT16", tensor.buffer)
            tensor.buffer = 0
            made.append(editor.node("DEQUANTIZE", [half], index, _DEQUANTIZE_VERSION))
    editor.graph.operators[:0] = made


def _packed(model: Any, largest: int) -> bytearray:
    """Return the file, with its constants behind the tables where these cannot hold them."""
    arrays = [buffer.data for buffer in model.buffers]
    total = sum(len(array) for array in arrays if array is not None)
    if total <= largest:
        return pack(model, total)
    for buffer, array in zip(model.buffers, arrays, strict=True):
        if array is not None:
            # Any number but the default of 0 takes space in the tables.
            buffer.data, buffer.offset, buffer.size = None, 1, len(array)
    end = len(pack(model, 0))
    for buffer in model.buffers:
        if buffer.offset:
            buffer.offset = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = buffer.offset + buffer.size
    content = pack(model, 0)
    content.extend(bytes(end - len(content)))
    for buffer, array in zip(model.buffers, arrays, strict=True):
        if buffer.offset:
            content[buffer.offset : buffer.offset + buffer.size] = array.data
    return content


# A cache in int8, made float32 by DEQUANTIZE.
#
# TensorFlow's converter makes it so by CAST, which XNNPACK leaves to LiteRT's own kernels, so that
# its graph falls apart at every layer. It leaves float16 to them in either way.


def dequantize_inputs(content: bytes) -> bytes:
    """Return a file whose inputs of int8 become float32 by DEQUANTIZE with a scale of 1."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    changed = False
    for graph in model.subgraphs:
        editor = Editor(model, graph)
        kinds, inputs = editor.schema.TensorType, set(map(int, graph.inputs))
        for node in editor.nodes("CAST"):
            index, output = int(node.inputs[0]), int(node.outputs[0])
            types = graph.tensors[index].type, graph.tensors[output].type
            if index in inputs and types == (kinds.INT8, kinds.FLOAT32):
                affine = editor.schema.QuantizationParametersT()
                affine.scale, affine.zeroPoint = np.ones(1, np.float32), np.zeros(1, np.int64)
                graph.tensors[index].quantization = affine
                at = graph.operators.index(node)
                graph.operators[at] = editor.node("DEQUANTIZE", [index], output)
                changed = True
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content
