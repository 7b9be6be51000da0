"""Requests of the Open Inference Protocol for tensors, and the answers to them.

https://github.com/kserve/open-inference-protocol, with its extension for tensors as bytes behind
the JSON (https://github.com/triton-inference-server/server, ``binary_tensor_data``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean
from zoo_runtime.errors import BundleError
from zoo_runtime.schema import read
from zoo_runtime.serving.bodies import as_json, parse_object
from zoo_runtime.tensors import Array, Arrays, Tensor

BINARY = "binary_tensor_data"
# Where the JSON of a body ends that has bytes behind it.
LENGTH_HEADER = "inference-header-content-length"
_SIZE = "binary_data_size"
_LENGTH_BYTES = 4
# The protocol's name of a dtype; it has others, which no model of ours takes.
_DATATYPES = {
    "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16)},
    **{f"{kind}{bits}": f"{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (32, 64)},
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
# What has no size of its own: texts and files.
BYTES = "BYTES"
_DTYPES = {datatype: dtype for dtype, datatype in _DATATYPES.items()} | {BYTES: "object"}
# Kinds of numbers in JSON that are values of a dtype of a kind.
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


@dataclass(frozen=True)
class GivenTensor:
    """A tensor of a request.

    Args:
        name: Of the input.
        shape: Its sizes, the batch first.
        datatype: Such as ``FP32``.
        data: Its values row by row, flat or in lists of lists; ``None`` where bytes are.
        parameters: ``binary_data_size`` where its values are behind the JSON.
    """

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WantedTensor:
    """An output that is asked for.

    Args:
        name: Of the output.
        parameters: ``binary_data`` where its values are wanted behind the JSON.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InferRequest:
    """A body of ``/v2/models/NAME/infer``.

    Args:
        inputs: What the model is run on.
        outputs: What is wanted; all by default.
        id: Comes back with the response.
        parameters: ``binary_data_output`` where all values are wanted behind the JSON.
    """

    inputs: tuple[GivenTensor, ...]
    outputs: tuple[WantedTensor, ...] = ()
    id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_request(content: bytes, length: str | None) -> tuple[InferRequest, dict[str, Array]]:
    """Return a request, and its inputs by name.

    Args:
        content: The body.
        length: What the header :data:`LENGTH_HEADER` says, where bytes are behind the JSON.

    Raises:
        RequestError: A body that is not JSON.
        UsageError: A field of another type, or values that are not those of a tensor's datatype
            and shape.
    """
    end = _json_end(content, length)
    request = read(InferRequest, parse_object(content[:end]), "The request")
    arrays: dict[str, Array] = {}
    for tensor in request.inputs:
        if tensor.name in arrays:
            raise UsageError(f"Input '{tensor.name}' is there twice.")
        size = tensor.parameters.get(_SIZE)
        dtype = _dtype(tensor)
        if size is None:
            arrays[tensor.name] = _of_json(tensor, dtype)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(content) - end:
            raise UsageError(f"Input '{tensor.name}': {_SIZE} is {size!r}, and there are fewer.")
        arrays[tensor.name] = _of_bytes(tensor, dtype, content[end : end + size])
        end += size
    if end != len(content):
        raise UsageError(f"{len(content) - end} bytes behind the JSON belong to no input.")
    return request, arrays


def _json_end(content: bytes, length: str | None) -> int:
    if length is None:
        return len(content)
    if not length.isdecimal() or int(length) > len(content):
        raise UsageError(
            f"{LENGTH_HEADER} is {length!r}, which is not where the JSON of {len(content)} bytes "
            "ends."
        )
    return int(length)


def _dtype(tensor: GivenTensor) -> np.dtype[Any]:
    if tensor.datatype not in _DTYPES:
        hint = did_you_mean(tensor.datatype, _DTYPES)
        raise UsageError(
            f"Input '{tensor.name}' has the datatype '{tensor.datatype}'.{hint} There are: "
            f"{', '.join(_DTYPES)}."
        )
    return np.dtype(_DTYPES[tensor.datatype])


def _of_json(tensor: GivenTensor, dtype: np.dtype[Any]) -> Array:
    if not isinstance(tensor.data, list):
        raise UsageError(f"Input '{tensor.name}' has no list of values ('data').")
    if tensor.datatype == BYTES:
        return _shaped(tensor, _objects(_texts(tensor.name, tensor.data)))
    try:
        values = np.array(tensor.data)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"Input '{tensor.name}' has lists of different lengths.") from error
    if values.size and values.dtype.kind not in _KINDS[dtype.kind]:
        raise UsageError(
            f"Input '{tensor.name}' is of datatype {tensor.datatype}, and its data has other "
            "values."
        )
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, values):
        raise UsageError(f"Input '{tensor.name}' holds numbers that {tensor.datatype} cannot hold.")
    if values.ndim > 1 and values.shape != tensor.shape:
        raise UsageError(
            f"Input '{tensor.name}' has the shape {list(tensor.shape)}, and its data "
            f"{list(values.shape)}."
        )
    return _shaped(tensor, cast.reshape(-1))


def _texts(name: str, data: Any) -> list[str]:
    found: list[str] = []
    for each in data:
        if not isinstance(each, list | str):
            kind = type(each).__name__
            raise UsageError(
                f"Input '{name}' is of datatype {BYTES}: its data is text, not {kind}."
            )
        found += _texts(name, each) if isinstance(each, list) else [each]
    return found


def _objects(values: Sequence[str | bytes]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _split(tensor: GivenTensor, content: bytes) -> list[bytes]:
    """Return values each of which has its length before it, in four bytes."""
    found, start = [], 0
    while start < len(content):
        begin = start + _LENGTH_BYTES
        start = begin + int.from_bytes(content[start:begin], "little")
        if begin > len(content) or start > len(content):
            raise UsageError(f"Input '{tensor.name}': its bytes end in the middle of a value.")
        found.append(content[begin:start])
    return found


def _of_bytes(tensor: GivenTensor, dtype: np.dtype[Any], content: bytes) -> Array:
    if tensor.datatype == BYTES:
        return _shaped(tensor, _objects(_split(tensor, content)))
    if len(content) % dtype.itemsize:
        raise UsageError(f"Input '{tensor.name}': {len(content)} bytes are no {tensor.datatype}s.")
    return _shaped(tensor, np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype))


def _shaped(tensor: GivenTensor, values: Array) -> Array:
    if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) != values.size:
        raise UsageError(
            f"Input '{tensor.name}' has the shape {list(tensor.shape)}, and its data "
            f"{values.size:,} values."
        )
    return values.reshape(tensor.shape)


def check_wanted(request: InferRequest, known: Sequence[str]) -> None:
    """Refuse a request for an output that there is not.

    Args:
        request: What was asked for.
        known: Names of outputs.

    Raises:
        UsageError: With the closest one.
    """
    for wanted in request.outputs:
        if wanted.name not in known:
            hint = did_you_mean(wanted.name, known)
            raise UsageError(
                f"There is no output '{wanted.name}'.{hint} Outputs: {', '.join(known)}."
            )


def response(model: str, request: InferRequest, outputs: Arrays) -> tuple[bytes, dict[str, str]]:
    """Return the body of a response, and its headers.

    Args:
        model: The model's name.
        request: What was asked for.
        outputs: Arrays by name.

    Raises:
        BundleError: An output has a value that JSON has no number for.
    """
    wanted = request.outputs or tuple(WantedTensor(name) for name in outputs)
    of_all = bool(request.parameters.get("binary_data_output"))
    rows, behind = [], b""
    for each in wanted:
        array = outputs[each.name]
        row: dict[str, Any] = {
            "name": each.name,
            "datatype": _DATATYPES.get(array.dtype.name, BYTES),
            "shape": list(array.shape),
        }
        if each.parameters.get("binary_data", of_all):
            content = _content(array)
            row["parameters"] = {_SIZE: len(content)}
            behind += content
        else:
            row["data"] = _numbers(each.name, array)
        rows.append(row)
    about = {"model_name": model, **({} if request.id is None else {"id": request.id})}
    head = as_json({**about, "outputs": rows})
    if not behind:
        return head, {"content-type": "application/json"}
    return head + behind, {
        "content-type": "application/octet-stream",
        LENGTH_HEADER: str(len(head)),
    }


def _content(array: Array) -> bytes:
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<")).tobytes()
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in array.flat)


def _numbers(name: str, array: Array) -> list[Any]:
    if array.dtype.kind == "O":
        return [each.decode() for each in array.flat]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BundleError(
            f"Output '{name}' holds NaN or an infinity, which JSON has no number for: ask for it "
            "as bytes (binary_data)."
        )
    found: list[Any] = array.reshape(-1).tolist()
    return found


def described(tensors: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Return inputs or outputs as the protocol describes them; an open size is -1.

    Example:
        >>> described([Tensor("image", "float32", (1, 8, 8))])
        [{'name': 'image', 'datatype': 'FP32', 'shape': [-1, 8, 8]}]
    """
    return [
        {
            "name": tensor.name,
            "datatype": _DATATYPES.get(tensor.dtype, tensor.dtype.upper()),
            "shape": [-1, *(-1 if isinstance(size, str) else size for size in tensor.shape[1:])],
        }
        for tensor in tensors
    ]
