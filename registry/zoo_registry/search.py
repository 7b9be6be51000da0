"""Finding names by what their objects say about themselves."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from typing import Any

from zoo_registry.meanings import other_meanings
from zoo_registry.registry import Registry
from zoo_system.errors import UsageError, did_you_mean


def search(
    registry: Registry[Any],
    pattern: str = "*",
    *,
    at_most: Mapping[str, int | None] | None = None,
    sort: str | None = None,
    **wanted: str | None,
) -> list[str]:
    """Return the names that match a glob and whose objects have the wanted fields.

    A field that holds several values matches if one of them does. Plugins are imported only when
    a field is asked for, and in a process of their own; a broken one is recorded in
    ``registry.problems`` and left out.

    Args:
        registry: Where to look.
        pattern: A shell-style glob on names.
        at_most: Largest number by field, such as ``num_params``; what has none is left out.
        sort: Field to sort by, smallest first and what has none last; the name by default.
        wanted: Field and value, such as ``task="causal-lm"``; ``None`` asks for nothing.

    Raises:
        UsageError: A value that no object of the registry has.

    Example:
        >>> from zoo_registry import models
        >>> search(models, "*-nano", task="causal-lm", family="gpt")
        ['gpt-nano']
    """
    fields = {key: value for key, value in wanted.items() if value is not None}
    limits = {key: value for key, value in (at_most or {}).items() if value is not None}
    names = registry.names(pattern)
    if not fields and not limits and sort is None:
        return names
    found = registry.survey(names)
    for key, value in fields.items():
        if not any(_has(each, key, value) for each in found.values()):
            _check_known(registry, key, value)
    matching = [
        name
        for name, value in found.items()
        if all(_has(value, key, wanted) for key, wanted in fields.items())
        and all(_number(value, key) <= limit for key, limit in limits.items())
    ]
    return sorted(matching, key=lambda name: _number(found[name], sort)) if sort else matching


def _check_known(registry: Registry[Any], key: str, wanted: str) -> None:
    """Refuse a value that nothing has, whatever its name: an empty list would hide the mistake."""
    everything = registry.survey(registry.names()).values()
    if any(_has(value, key, wanted) for value in everything):
        return
    known = sorted({held for value in everything for held in _held(value, key)})
    other = other_meanings(wanted, key, registry.beside)
    hint = did_you_mean(wanted, known) or f" There are: {', '.join(known)}."
    raise UsageError(f"No {registry.kind} has the {key} '{wanted}'.{other}{hint}")


def _number(value: object, key: str) -> float:
    number = getattr(value, key, None)
    return math.inf if number is None else number


def _has(value: object, key: str, wanted: str) -> bool:
    return any(fnmatch.fnmatchcase(held, wanted) for held in _held(value, key))


def _held(value: object, key: str) -> tuple[str, ...]:
    # `task` is asked for, and a spec has `tasks`.
    held: Any = getattr(value, key, None) or getattr(value, f"{key}s", ())
    return (held,) if isinstance(held, str) else tuple(held)
