"""Where an ONNX file says that its weights are; read by hand, a device has no onnx package."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from zoo_export.errors import BundleError
from zoo_export.files import safe_path

Buffer = bytes | mmap.mmap
# Message -> number of the field -> message inside, on the ways from a model to its tensors.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_external_data(path: Path) -> None:
    """Refuse an ONNX file that takes weights from outside its own folder.

    Raises:
        BundleError: A location that leads out or is a link, or a file that is cut short.
    """
    if path.stat().st_size == 0:
        raise BundleError(f"'{path}' is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            locations = set(external_locations(data))
        except (IndexError, ValueError) as error:
            raise BundleError(f"'{path}' is no ONNX file: {error}.") from error
    for location in sorted(locations):
        if safe_path(path.parent, location).is_symlink():
            raise BundleError(f"'{path}' keeps weights in '{location}', which is a link.")


def external_locations(data: Buffer) -> Iterator[str]:
    """Yield every file name that the tensors of an ONNX model refer to.

    Args:
        data: The serialised model.

    Raises:
        ValueError: It is no protobuf message, or cut short.
    """
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, start, end = waiting.pop()
        if kind == "entry":
            pair = {number: data[at:stop] for number, at, stop in _fields(data, start, end)}
            if pair.get(1) == b"location":
                yield pair.get(2, b"").decode()
            continue
        for number, at, stop in _fields(data, start, end):
            if number in _INSIDE[kind]:
                waiting.append((_INSIDE[kind][number], at, stop))


def _fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field of a message that holds bytes."""
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError("a field is longer than the file")
            yield number, at, at + size
            at += size
        elif wire in {_FIXED32, _FIXED64}:
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire}")


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is cut short")
