"""Plain data from dataclasses and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def plain(value: Any, flat: type) -> Any:
    """Return dataclasses as dicts and tuples as lists; fields left at ``None`` or empty go.

    Args:
        value: A dataclass, a mapping, a sequence or a plain value.
        flat: Dataclass of ``name`` and ``arguments`` that is written as one table.
    """
    if isinstance(value, flat):
        fields_of: Any = value
        return {"name": fields_of.name, **plain(fields_of.arguments, flat)}
    if is_dataclass(value):
        kept = [field for field in fields(value) if not _unset(field, getattr(value, field.name))]
        return {field.name: plain(getattr(value, field.name), flat) for field in kept}
    if isinstance(value, Mapping):
        return {key: plain(item, flat) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, flat) for item in value]
    return value


def _unset(field: Field[Any], value: Any) -> bool:
    # Other defaults are written out: a run must not change when a default does.
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return value is None or (value in ({}, (), "") and value == default)
