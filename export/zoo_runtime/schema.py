"""Untrusted JSON into frozen dataclasses, with nothing but the standard library.

A device that reads a bundle has no pydantic; the few kinds of field that a manifest has fit here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union

from zoo_registry import UsageError, did_you_mean

T = TypeVar("T")


def read(kind: type[T], data: object, where: str) -> T:
    """Return ``data``, plain JSON, as the dataclass ``kind``.

    Args:
        kind: A dataclass whose fields are JSON types, tuples, mappings or such dataclasses.
        data: What ``json.loads`` returned.
        where: How messages call the place.

    Raises:
        UsageError: A missing or unknown key, or a value of the wrong type.

    Example:
        >>> from zoo_runtime.tensors import Tensor
        >>> read(Tensor, {"name": "x", "dtype": "float32", "shape": ["batch", 8]}, "inputs[0]")
        Tensor(name='x', dtype='float32', shape=('batch', 8))
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{where} must be an object, not {_kind(data)}.")
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for key in data:
        if key not in known:
            raise UsageError(f"{where} has an unknown key '{key}'.{did_you_mean(key, known)}")
    for key, field in known.items():
        no_default = field.default is field.default_factory is dataclasses.MISSING
        if no_default and key not in data:
            raise UsageError(f"{where} has no '{key}'.")
    values = {key: _value(hints[key], data[key], f"{where}.{key}") for key in data}
    return kind(**values)


def _value(hint: Any, data: Any, where: str) -> Any:
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), data, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, Union}:
        return _union(args, data, where)
    if origin is tuple:
        _expect(isinstance(data, list | tuple), "a list", data, where)
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is not None:
        _expect(isinstance(data, Mapping), "an object", data, where)
        return {key: _value(args[1], item, f"{where}['{key}']") for key, item in data.items()}
    return _scalar(hint, data, where)


def _union(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return None if kind is data is None else _value(kind, data, where)
        except UsageError:
            continue
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise UsageError(f"{where} must be {names.replace('NoneType', 'null')}, not {_kind(data)}.")


def _scalar(kind: type, data: Any, where: str) -> Any:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    fits = isinstance(data, accepted) and (kind is bool or not isinstance(data, bool))
    _expect(fits, f"a value of type {kind.__name__}", data, where)
    return data


def _expect(condition: bool, wanted: str, data: Any, where: str) -> None:
    if not condition:
        raise UsageError(f"{where} must be {wanted}, not {_kind(data)}.")


def _kind(data: object) -> str:
    return "null" if data is None else f"{type(data).__name__} {str(data)[:40]!r}"
