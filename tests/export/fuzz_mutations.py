"""Mutations of files: blind ones of bytes, and ones that know JSON, zip, flatbuffers, protobuf.

Every mutation is a pure function of its input and a seeded generator.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

_WORDS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**16, 255)
_NAMES = ("", "..", "../secret", "/etc/passwd", "C:x", "a\\b", "a\0b", "x" * 300, "ø")
_VALUES = (*_NAMES, None, True, 0, -1, 1, 2**31, 2**63, 1e308, -0.5, [], {}, [[]], [1], {"a": 1})


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, overwrite, splice, delete or insert."""
    kinds = (_cut, _flip, _overwrite, _word, _word, _splice, _delete_or_insert)
    return bytes(rng.choice(kinds)(bytearray(data), rng))


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Change, drop or add one value anywhere in a JSON document."""
    document = json.loads(data)
    places = list(_places(document))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0 and isinstance(holder, dict):
            holder.pop(key, None)
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(_NAMES)] = holder.get(key)
        elif kind == 2 and isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), rng.choice(_VALUES))
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = _other(holder.get(key) if isinstance(holder, dict) else holder[key], rng)
    return json.dumps(document).encode()


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    """Rename, repeat, drop, swell or change one entry of an archive whose checksums stay right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [[info.filename, archive.read(info), 0] for info in archive.infolist()]
    at = rng.randrange(len(entries))
    kind = rng.randrange(7)
    if kind == 0:
        entries[at][0] = rng.choice((*_NAMES, f"../{entries[at][0]}", f"{entries[at][0]}/"))
    elif kind == 1:
        entries.append(list(entries[at]))
    elif kind == 2:
        del entries[at]
    elif kind == 3:
        entries[at][2] = rng.choice((0xA1ED0000, 0x41ED0000, 0x11ED0000))  # link, folder, pipe
    elif kind == 4:
        entries.append([rng.choice(("extra", "assets/bomb")), bytes(rng.choice((1, 10**7))), 0])
    else:
        entries[at][1] = mutate_bytes(entries[at][1], rng) if entries[at][1] else b"x"
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return result.getvalue()


def mutate_flatbuffer(data: bytes, rng: random.Random) -> bytes:
    """Change one to three fields of a LiteRT model and write a well-formed flatbuffer again."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    places = list(_places(model))
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(places)
        _change(holder, key, rng)
    builder = flatbuffers.Builder(len(data))
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:  # a value that its field cannot hold
        return mutate_bytes(data, rng)
    return bytes(builder.Output())


def mutate_protobuf(data: bytes, rng: random.Random) -> bytes:
    """Change one to three fields of an ONNX model and write a well-formed message again."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    messages = list(_messages(model))
    for _ in range(rng.choice((1, 1, 2, 3))):
        message = rng.choice(messages)
        fields = [field for field, _ in message.ListFields()]
        if fields:
            _change_field(message, rng.choice(fields), rng)
    return bytes(model.SerializeToString())


def mutate_operator(data: bytes, rng: random.Random) -> bytes:
    """Have one node of a SavedModel read a file; some of the places are its name, not its kind."""
    places = [at for at in range(len(data)) if data.startswith(b"Identity", at)]
    at = rng.choice(places)
    return data[:at] + b"ReadFile" + data[at + 8 :]


# -- bytes ----------------------------------------------------------------------------------------


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _overwrite(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 2, 4))):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return data


def _word(data: bytearray, rng: random.Random) -> bytearray:
    at = rng.randrange(max(1, len(data) // 4)) * 4
    if at + 4 > len(data):
        return _cut(data, rng)
    (value,) = struct.unpack_from("<i", data, at)
    near = (value + 1, value - 1, value + 4, value - 4, value * 2, -value, rng.randrange(len(data)))
    struct.pack_into("<I", data, at, rng.choice((*_WORDS, *near)) & 0xFFFFFFFF)
    return data


def _splice(data: bytearray, rng: random.Random) -> bytearray:
    count = rng.randrange(1, 64)
    start, end = (rng.randrange(max(1, len(data) - count)) for _ in range(2))
    data[start : start + count] = data[end : end + count]
    return data


def _delete_or_insert(data: bytearray, rng: random.Random) -> bytearray:
    at, count = rng.randrange(len(data)), rng.randrange(1, 64)
    if rng.random() < 0.5:
        del data[at : at + count]
    else:
        data[at:at] = rng.randbytes(count)
    return data


# -- fields ---------------------------------------------------------------------------------------


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every holder and key in a tree of mappings, lists and flatbuffer objects."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        items = list(vars(value).items()) if hasattr(value, "__dict__") else []
    for key, inner in items:
        yield (value if isinstance(value, dict | list) else vars(value)), key
        yield from _places(inner)


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice((value + 1, value - 1, -value, *_WORDS))
    if isinstance(value, str) and value and rng.random() < 0.3:
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    return rng.choice(_VALUES)


def _change(holder: Any, key: Any, rng: random.Random) -> None:
    if isinstance(holder, list) and key >= len(holder):
        return
    value = holder[key]
    if isinstance(value, np.ndarray) and value.size:
        holder[key] = _changed_array(value, rng)
    elif isinstance(value, list) and value:
        at = rng.randrange(len(value))
        holder[key] = rng.choice(
            ([], value[:at], [*value, value[at]], value[:at] + value[at + 1 :])
        )
    elif isinstance(value, bytes):
        holder[key] = rng.choice((b"", value[:-1], value + b"x", b"\xff", b"serving_default"))
    elif isinstance(value, int | float):
        near = (value + 1, value - 1, -value, value * 2)
        holder[key] = rng.choice((*near, *near, *_WORDS, 10, 127, 128, 200))
    elif value is not None and rng.random() < 0.3:
        holder[key] = None


def _changed_array(value: Any, rng: random.Random) -> Any:
    changed = value.copy()
    if rng.random() < 0.3:
        at = rng.randrange(len(changed))
        return rng.choice((changed[:at], np.concatenate([changed, changed[at:]]), changed[:0]))
    info = np.iinfo(changed.dtype) if changed.dtype.kind in "iu" else None
    limits = (info.min, info.max) if info is not None else (np.inf, np.nan)
    at = rng.randrange(len(changed))
    chosen = rng.choice((*limits, 0, 1, -1 if info is None or info.min < 0 else 2, 100))
    changed[at] = chosen
    return changed


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if _is_repeated(field) else [value]:
                yield from _messages(inner)


def _change_field(message: Any, field: Any, rng: random.Random) -> None:
    value = getattr(message, field.name)
    try:
        if _is_repeated(field):
            at = rng.randrange(len(value))
            if field.message_type is not None or rng.random() < 0.4:
                rng.choice((lambda: value.pop(at), lambda: value.append(value[at])))()
            else:
                value[at] = _scalar(value[at], rng)
        elif field.message_type is None:
            setattr(message, field.name, _scalar(value, rng))
        else:
            message.ClearField(field.name)
    except (ValueError, TypeError):  # a number that its field cannot hold
        message.ClearField(field.name)


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _scalar(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bytes):
        return mutate_bytes(value, rng) if value else b"x"
    if isinstance(value, str):
        return rng.choice((*_NAMES[:-2], value + "x", value[:-1], "Add", "Gather", "Loop"))
    return rng.choice((value + 1, value - 1, -value, value * 2, *_WORDS, 2**62, -(2**62)))
