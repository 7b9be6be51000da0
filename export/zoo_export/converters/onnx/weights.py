"""Weights of an ONNX model, kept beside its graph and written straight to the file.

A weight in a protocol buffer is a copy of the model's, and writing that buffer is another. Here
weights stay where Keras holds them until their bytes go to the disk.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from ml_dtypes import int4
from onnx import helper, numpy_helper

from zoo_export.converters.onnx.graph import Model, all_graphs, all_nodes, rename
from zoo_runtime.running.operators import fields
from zoo_runtime.tensors import Array

# What a converter puts between a weight and the operator that wants it in another layout.
_RELAYOUTS = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Identity"}
# What is computed of weights alone, as by a batch normalization; only of small ones, which may be
# read elsewhere too.
_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Neg", "Pow"}
_SMALL = 100_000
# A protocol buffer cannot exceed 2 GB; the rest of the graph needs some of it.
_LARGEST_FILE = 1_900_000_000
# Sizes, axes and other numbers that shapes are inferred from stay in the graph.
_SMALL_BYTES = 1024
# What a runtime may map into memory begins at a page.
_PAGE = 4096


def take_weights(model: Model) -> bool:
    """Take initializers, and inputs that stand for weights, out of the graph without a copy."""
    graph, constants = model.graph, model.weights
    used = {name for node in all_nodes(graph) for name in node.input}
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name in used}
    weights |= {name: array for name, array in constants.items() if name in used}
    kept = [value for value in graph.input if value.name not in constants]
    del graph.initializer[:], graph.input[:]
    graph.input.extend(kept)
    model.weights = weights
    return bool(weights)


def fold_weights(model: Model) -> bool:
    """Apply changes of layout to the weights themselves, where nothing else reads the weight.

    Small sums and products of weights are computed too. A tied embedding, read by a Gather and
    through a Transpose, stays one tensor.
    """
    graph, weights, changed = model.graph, model.weights, False
    readers = Counter(name for node in all_nodes(graph) for name in node.input)
    given = {value.name for inner in all_graphs(graph) for value in inner.output}
    for node in list(graph.node):
        name, output = next(iter(node.input), ""), next(iter(node.output), "")
        constant = all(name in weights for name in node.input)
        moves = node.op_type in _RELAYOUTS and readers[name] == 1
        if output in given or not constant or not (moves or _is_small_sum(node, weights)):
            continue
        folded = _evaluate(node, [weights[name] for name in node.input], model.proto.opset_import)
        if moves:
            rename(graph, {output: name})
            readers[name] = readers.pop(output, 0)
        weights[name if moves else output] = folded
        graph.node.remove(node)
        changed = True
    return changed


def _is_small_sum(node: Any, weights: Mapping[str, Array]) -> bool:
    return node.op_type in _ARITHMETIC and sum(weights[i].size for i in node.input) < _SMALL


def infer_shapes(proto: Any, weights: dict[str, Array]) -> Any:
    """Return the model with the shapes of all tensors; small weights move into its graph."""
    graph = proto.graph
    _keep_small(graph, weights)
    count = len(graph.input)
    for name, array in weights.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    del inferred.graph.input[count:]
    return inferred


def _keep_small(graph: Any, weights: dict[str, Array]) -> None:
    read = {name for node in all_nodes(graph) for name in node.input}
    for name in [name for name, array in weights.items() if array.nbytes <= _SMALL_BYTES]:
        tensor = numpy_helper.from_array(weights.pop(name), name)
        graph.initializer.extend([tensor] if name in read else [])


def save_whole(proto: Any, path: Path) -> None:
    """Write a model whose weights are in its graph, where :func:`save` would put them."""
    model = Model(proto, {})
    take_weights(model)
    _keep_small(proto.graph, model.weights)
    save(proto, model.weights, path)


def save(proto: Any, weights: Mapping[str, Array], path: Path) -> None:
    """Write a model and its weights: into one file, or beside it where they are too large.

    Args:
        proto: An ``onnx.ModelProto`` whose graph reads the weights.
        weights: Values by name.
        path: The file; larger weights go to ``PATH.data``.
    """
    read = {name for node in all_nodes(proto.graph) for name in node.input}
    kept = {name: array for name, array in weights.items() if name in read}
    if sum(map(_bytes_of, kept.values())) > _LARGEST_FILE:
        with path.with_name(f"{path.name}.data").open("wb") as file:
            proto.graph.initializer.extend(_beside(kept, file))
        path.write_bytes(proto.SerializeToString())
        return
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    heads = {name: _inside(name, array) for name, array in kept.items()}
    size = len(graph) + sum(len(head) + _bytes_of(kept[name]) for name, head in heads.items())
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + _field(onnx.ModelProto, "graph", size) + graph)
        for name, head in heads.items():
            file.write(head)
            _write(kept[name], file)


def share_weights(path: Path, whole: Path) -> None:
    """Let a file read from another what both hold.

    Args:
        path: An ONNX file; it is written anew, and keeps what the other does not have.
        whole: One in the same folder.
    """
    places = _places(whole)
    proto = onnx.load(str(path))
    for tensor in proto.graph.initializer:
        found = places.get(_identity(tensor, tensor.raw_data)) if tensor.raw_data else None
        if found is not None:
            tensor.ClearField("raw_data")
            _refer(tensor, *found)
    path.write_bytes(proto.SerializeToString())
    for part in path.parent.glob(f"{path.name}.*"):
        part.unlink()


def _places(path: Path) -> dict[bytes, tuple[str, int, int]]:
    """Return file, offset and length of each larger weight of an ONNX file, by its identity."""
    found = {}
    data = path.read_bytes()
    number = {m: m.DESCRIPTOR.fields_by_name for m in (onnx.ModelProto, onnx.GraphProto)}
    raw = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
    for graph, at, end in fields(data, 0, len(data)):
        if graph != number[onnx.ModelProto]["graph"].number:
            continue
        for kind, start, stop in fields(data, at, end):
            if kind != number[onnx.GraphProto]["initializer"].number:
                continue
            inside = [(a, b) for n, a, b in fields(data, start, stop) if n == raw]
            tensor = onnx.TensorProto.FromString(data[start:stop])
            if inside and tensor.raw_data and len(tensor.raw_data) > _SMALL_BYTES:
                first, last = inside[0]
                found[_identity(tensor, data[first:last])] = path.name, first, last - first
            elif tensor.data_location == onnx.TensorProto.EXTERNAL:
                about = {entry.key: entry.value for entry in tensor.external_data}
                first, size = int(about["offset"]), int(about["length"])
                with path.with_name(about["location"]).open("rb") as file:
                    file.seek(first)
                    content = file.read(size)
                found[_identity(tensor, content)] = about["location"], first, size
    return found


def _identity(tensor: Any, content: bytes) -> bytes:
    kind = f"{tensor.data_type} {list(tensor.dims)}".encode()
    return hashlib.sha256(kind + content).digest()


def _refer(tensor: Any, location: str, offset: int, length: int) -> None:
    """Let a tensor have its values in another file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _beside(weights: Mapping[str, Array], file: BinaryIO) -> Iterator[Any]:
    for name, array in weights.items():
        file.seek(-(-file.tell() // _PAGE) * _PAGE)
        tensor = _header(name, array)
        _refer(tensor, Path(file.name).name, file.tell(), _bytes_of(array))
        _write(array, file)
        yield tensor


def _inside(name: str, array: Array) -> bytes:
    """Return what stands in a GraphProto before the bytes of one initializer."""
    head: bytes = _header(name, array).SerializeToString()
    head += _field(onnx.TensorProto, "raw_data", _bytes_of(array))
    return _field(onnx.GraphProto, "initializer", len(head) + _bytes_of(array)) + head


def _header(name: str, array: Array) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.TensorProto(name=name, data_type=kind, dims=array.shape)


def _bytes_of(array: Array) -> int:
    """Return what an array takes in a file, where two integers of four bits are one byte."""
    return (array.size + 1) // 2 if array.dtype == int4 else array.nbytes


def _write(array: Array, file: BinaryIO) -> None:
    if array.dtype == int4:
        pairs = np.resize(array.astype(np.uint8) & 15, (_bytes_of(array), 2))
        array = pairs[:, 0] | pairs[:, 1] << 4
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    file.write(plain.reshape(-1).view(np.uint8).data)


def _field(message: Any, name: str, size: int) -> bytes:
    """Return how a protocol buffer begins a field of so many bytes: its number, then the size."""
    lengthy = 2  # the wire type of messages and bytes
    return _varint(message.DESCRIPTOR.fields_by_name[name].number << 3 | lengthy) + _varint(size)


def _varint(number: int) -> bytes:
    """Return a number in base 128, the last digits first.

    Example:
        >>> _varint(300).hex()
        'ac02'
    """
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _evaluate(node: Any, arrays: list[Array], opsets: Any) -> Array:
    from onnx.reference import ReferenceEvaluator

    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in zip(node.input, arrays, strict=True)
    ]
    result = helper.make_empty_tensor_value_info(node.output[0])
    graph = helper.make_graph([node], "fold", values, [result])
    model = helper.make_model(graph, opset_imports=opsets)
    evaluator = ReferenceEvaluator(model)
    folded: Array = evaluator.run(None, dict(zip(node.input, arrays, strict=True)))[0]
    return folded
