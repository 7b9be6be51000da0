"""Messages of protocol buffers, read by hand: a device has no parser of theirs."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

Buffer = bytes | mmap.mmap
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    r"""Yield number, start and end of each field of a message that holds bytes.

    Args:
        data: What the message lies in.
        at: Its first byte.
        end: The byte after its last.

    Raises:
        ValueError: It is no message, or cut short.

    Example:
        >>> list(fields(b"\x12\x02hi", 0, 4))
        [(2, 2, 4)]
    """
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
            if at > end:
                raise ValueError("a number is cut short")
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
