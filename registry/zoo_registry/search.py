"""Finding names by what their objects say about themselves."""

from __future__ import annotations

import fnmatch
import warnings
from typing import Any

from zoo_registry.errors import PluginError
from zoo_registry.registry import Registry


def search(registry: Registry[Any], pattern: str = "*", **wanted: str | None) -> list[str]:
    """Return the names that match a glob and whose objects have the wanted fields.

    A field that holds several values matches if one of them does. Plugins are imported only when
    a field is asked for; a broken one is recorded in ``registry.problems`` and left out.

    Args:
        registry: Where to look.
        pattern: A shell-style glob on names.
        wanted: Field and value, such as ``task="causal-lm"``; ``None`` asks for nothing.

    Example:
        >>> from zoo_registry import models
        >>> search(models, "*-nano", task="causal-lm", family="gpt")
        ['gpt-nano']
    """
    fields = {key: value for key, value in wanted.items() if value is not None}
    names = registry.names(pattern)
    return [name for name in names if not fields or _matches(registry, name, fields)]


def _matches(registry: Registry[Any], name: str, fields: dict[str, str]) -> bool:
    try:
        with warnings.catch_warnings():
            # A deprecated name is worth a warning when it is used, not when it is listed.
            warnings.simplefilter("ignore", FutureWarning)
            value = registry.get(name)
    except PluginError:
        return False
    return all(_has(value, key, wanted) for key, wanted in fields.items())


def _has(value: object, key: str, wanted: str) -> bool:
    # `task` is asked for, and a spec has `tasks`.
    held: Any = getattr(value, key, None) or getattr(value, f"{key}s", ())
    return fnmatch.fnmatchcase(held, wanted) if isinstance(held, str) else wanted in held
