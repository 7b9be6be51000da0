"""Checks of an entry point's import: lazy, silent, and without effect on anything else."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.conformance.checks import Check, FaultError
from zoo_registry.plugins import PluginEntry
from zoo_registry.trial import seconds_by_name
from zoo_system import processes
from zoo_system.errors import first_line, printable

_CHILD = "zoo.conformance.import_child"
_SHOWN = 200


@dataclass
class Import:
    """The import of an entry point, watched once in a process of its own.

    Args:
        entry: The entry point.
        builder: ``"module:attribute"`` of what it builds; empty if there is none beside.
        lazy: What an entry point of its kind holds so that nothing heavy is imported to list it.
    """

    entry: PluginEntry
    builder: str
    lazy: str

    @property
    def modules(self) -> str:
        """The modules that are imported, for messages."""
        targets = dict.fromkeys(t.partition(":")[0] for t in (self.entry.target, self.builder) if t)
        return " and ".join(f"'{name}'" for name in targets)

    @cached_property
    def found(self) -> dict[str, Any]:
        """What the child saw."""
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            words = (str(answer), self.entry.target, self.builder)
            done = processes.run(_CHILD, *words, time_limit=3 * seconds_by_name())
            if not answer.is_file():
                said = first_line(done.stderr) or f"exit code {done.returncode}"
                raise FaultError(f"The import of {self.modules} ended its process: {said}")
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def import_checks(watched: Import) -> tuple[Check, ...]:
    """Return the checks of the import of an entry point."""
    return (
        Check("import", lambda _: _imports(watched)),
        Check("lazy-import", lambda _: _is_lazy(watched), ("import",)),
        Check("quiet-import", lambda _: _is_quiet(watched), ("import",)),
        Check("clean-import", lambda _: _is_clean(watched), ("import",)),
    )


def _imports(watched: Import) -> str:
    error = watched.found["error"]
    if error:
        raise FaultError(f"{watched.modules} cannot be imported: {printable(error)}")
    return watched.modules


def _is_lazy(watched: Import) -> str:
    heavy = watched.found["heavy"]
    if heavy:
        raise FaultError(
            f"The entry point {watched.entry.target} imports {', '.join(heavy)} before anything is "
            f"built, so that every listing waits for it: {watched.lazy}"
        )
    return "imports nothing heavy"


def _is_quiet(watched: Import) -> str:
    printed = printable(watched.found["printed"]).strip()
    if printed:
        raise FaultError(
            f"The import of {watched.modules} writes {printed[:_SHOWN]!r}: output of commands is "
            "read by programs; take the print out, or log to logging.getLogger."
        )
    return "writes nothing"


def _is_clean(watched: Import) -> str:
    different = watched.found["changed"]
    if different:
        raise FaultError(
            f"The import of {watched.modules} changes {' and '.join(different)}, which belongs to "
            "the user's program: take it out, or do it in a function that is called."
        )
    return "changes nothing"
