"""The process that plugins are tried in: ``python -m zoo_registry.trial_child FD``."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial

# By name: a plugin may replace what modules hold.
from json import dumps, loads
from typing import Any

import zoo_registry
from zoo_registry.plugins import load_entry
from zoo_registry.trial import one_line, where
from zoo_system.errors import UsageError
from zoo_system.quiet import quiet_tensorflow

# Words of other libraries' names, none of which is a step up in a path.
NAME_IN_CATALOG = re.compile(r"\w[\w.+@-]*(/\w[\w.+@-]*)*", re.ASCII)
Say = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Answer one line of JSON for every entry point asked for, then end without any clean-up."""
    replies = int(sys.argv[1])
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    faulthandler.enable()
    quiet_tensorflow()
    warnings.simplefilter("ignore")
    request = loads(sys.stdin.buffer.read())
    for group, name, target in request["tasks"]:
        say = partial(_say, replies)
        say(_tried(group, name, target, say if request["build"] else None))
    os._exit(0)


def _say(replies: int, answer: Mapping[str, Any]) -> None:
    left = dumps(answer, default=str).encode() + b"\n"
    while left:
        left = left[os.write(replies, left) :]


def _tried(group: str, name: str, target: str, build: Say | None) -> dict[str, Any]:
    try:
        return {"facts": _facts(group, name, target, build)}
    except BaseException as error:
        return {"reason": one_line(error), "traceback": where(error)}


def _facts(group: str, name: str, target: str, build: Say | None) -> Any:
    value = load_entry(group, name, target)
    if build:
        build({"imported": True})
    if group == zoo_registry.models.catalogs:
        return _catalog(value, whole=build is not None)
    registry = next(known for known in zoo_registry.REGISTRIES if known.group == group)
    found = registry.read(value, name)
    if build:
        registry.verify(found)
    return found.to_dict() if hasattr(found, "to_dict") else None


def _catalog(table: Any, *, whole: bool) -> dict[str, Any]:
    """Return a catalog's rows; one that is wrong has no facts, or is an error of the whole."""
    if not isinstance(table, Mapping):
        raise TypeError(f"it is a {type(table).__name__}, not a mapping of names to models")
    facts: dict[str, Any] = {}
    for name in table:
        if not isinstance(name, str) or not NAME_IN_CATALOG.fullmatch(name):
            raise UsageError(f"{name!r} is not a name: use letters, digits and '.', '-', '_', '/'.")
        try:
            facts[name] = zoo_registry.models.read(table[name], name).to_dict()
        except Exception:
            if whole:
                raise
            facts[name] = None
    return facts


if __name__ == "__main__":
    main()
