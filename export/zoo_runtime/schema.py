"""Untrusted JSON into frozen dataclasses, with nothing but the standard library.

A device that reads a bundle has no pydantic; the few kinds of field that a manifest has fit here.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union

from zoo_registry import UsageError, did_you_mean

T = TypeVar("T")


class MisfitError(UsageError):
    """A value of the wrong type.

    Args:
        where: What messages call its position.
        wanted: What belongs there.
        value: What is there.
        key: Its path in the document, the keys and indices joined by dots.
    """

    def __init__(self, where: str, wanted: str, value: object, key: str) -> None:
        super().__init__(f"{where} must be {wanted}, not {_kind(value)}.")
        self.value = value
        self.key = key


@dataclasses.dataclass(frozen=True)
class _Position:
    where: str
    key: str
    lenient: bool

    def inside(self, key: object, text: str) -> _Position:
        return _Position(self.where + text, f"{self.key}.{key}".lstrip("."), self.lenient)

    def misfit(self, wanted: str, value: object) -> MisfitError:
        return MisfitError(self.where, wanted, value, self.key)


def read(kind: type[T], data: object, where: str, *, lenient: bool = False) -> T:
    """Return ``data``, plain JSON, as the dataclass ``kind``.

    Args:
        kind: A dataclass whose fields are JSON types, tuples, mappings or such dataclasses.
        data: What ``json.loads`` returned.
        where: What messages call the document.
        lenient: Whether unknown keys are left out.

    Raises:
        UsageError: A missing or unknown key, or a value of the wrong type (:class:`MisfitError`).

    Example:
        >>> from zoo_runtime.tensors import Tensor
        >>> read(Tensor, {"name": "x", "dtype": "float32", "shape": ["batch", 8]}, "inputs[0]")
        Tensor(name='x', dtype='float32', shape=('batch', 8))
    """
    return _read(kind, data, _Position(where, "", lenient))


def _read(kind: type[T], data: object, position: _Position) -> T:
    if not isinstance(data, Mapping):
        raise position.misfit("an object", data)
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for key in () if position.lenient else data:
        if key not in known:
            hint = did_you_mean(key, known)
            raise UsageError(f"{position.where} has an unknown key '{key}'.{hint}")
    for key, field in known.items():
        no_default = field.default is field.default_factory is dataclasses.MISSING
        if no_default and key not in data:
            raise UsageError(f"{position.where} has no '{key}'.")
    given = [key for key in known if key in data]
    values = {key: _value(hints[key], data[key], position.inside(key, f".{key}")) for key in given}
    return kind(**values)


def _value(hint: Any, data: Any, position: _Position) -> Any:
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast(type, hint), data, position)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, Union}:
        return _union(args, data, position)
    if origin is tuple:
        _expect(isinstance(data, list | tuple), "a list", data, position)
        items = enumerate(data)
        return tuple(_value(args[0], item, position.inside(i, f"[{i}]")) for i, item in items)
    if origin is not None:
        _expect(isinstance(data, Mapping), "an object", data, position)
        rows = data.items()
        return {
            key: _value(args[1], item, position.inside(key, f"['{key}']")) for key, item in rows
        }
    return _scalar(hint, data, position)


def _union(kinds: tuple[Any, ...], data: Any, position: _Position) -> Any:
    others = [kind for kind in kinds if kind is not types.NoneType]
    if position.lenient and len(others) == 1 and data is not None:
        return _value(others[0], data, position)
    for kind in kinds:
        try:
            return None if kind is data is None else _value(kind, data, position)
        except UsageError:
            continue
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise position.misfit(names.replace("NoneType", "null"), data)


def _scalar(kind: type, data: Any, position: _Position) -> Any:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    fits = isinstance(data, accepted) and (kind is bool or not isinstance(data, bool))
    fits = fits and not (kind is float and isinstance(data, float) and not math.isfinite(data))
    _expect(fits, f"a value of type {kind.__name__}", data, position)
    return data


def _expect(condition: bool, wanted: str, data: Any, position: _Position) -> None:
    if not condition:
        raise position.misfit(wanted, data)


def _kind(data: object) -> str:
    return "null" if data is None else f"{type(data).__name__} {str(data)[:40]!r}"
