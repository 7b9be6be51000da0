"""Discovery of plugins from package metadata: nothing of theirs is imported here."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from zoo_system.errors import UsageError

# Where only what is built in is asked for, nothing of this is: it loads the parser of e-mails.
if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUPS = (
    *("zoo.models", "zoo.recipes", "zoo.datasets", "zoo.formats", "zoo.catalogs"),
    *("zoo.trackers", "zoo.launchers"),
)
OWN_DISTRIBUTION, RUNTIME_DISTRIBUTION = "kerazoo", "kerazoo-runtime"
# Distributions of this project: their code is as trusted as our own, and nobody hides their names.
OURS = (OWN_DISTRIBUTION, RUNTIME_DISTRIBUTION, "kerazoo-data")
# Of what this process registers itself.
LOCAL_OWNER = "local"
ENVIRONMENT_VARIABLE = "ZOO_PLUGINS"


@dataclass(frozen=True)
class PluginEntry:
    """One entry point of an installed distribution, not yet imported."""

    group: str
    name: str
    target: str
    distribution: str
    source: Distribution

    @cached_property
    def version(self) -> str:
        """The version of the distribution."""
        return self.source.version

    def load(self) -> object:
        """Import what the entry point names."""
        return load_entry(self.group, self.name, self.target)


def load_entry(group: str, name: str, target: str) -> object:
    """Import what an entry point names.

    Raises:
        UsageError: It is not written as ``module:attribute``.
    """
    from importlib.metadata import EntryPoint

    if not EntryPoint.pattern.match(target):
        raise UsageError(f"'{target}' is not 'package.module:attribute'.")
    return EntryPoint(name, target, group).load()


@dataclass(frozen=True)
class PluginProblem:
    """Why something of a plugin cannot be used: in a line, and where it went wrong."""

    group: str
    name: str
    distribution: str
    version: str
    reason: str
    traceback: str


def normalized(distribution: str) -> str:
    """Return a distribution name as package indexes compare it.

    Example:
        >>> normalized("My_Zoo.Models")
        'my-zoo-models'
    """
    return re.sub(r"[-_.]+", "-", distribution).lower()


def wanted(distribution: str) -> bool:
    """Return whether ``ZOO_PLUGINS`` lets this distribution take part."""
    choice = os.environ.get(ENVIRONMENT_VARIABLE, "all").strip()
    if choice in {"all", ""} or distribution in OURS:
        return True
    return distribution in {normalized(part.strip()) for part in choice.split(",")} - {"none"}


def discover(group: str) -> list[PluginEntry]:
    """Return the entries of one group that ``ZOO_PLUGINS`` lets in, ours before others."""
    found = [entry for entry in installed() if entry.group == group and wanted(entry.distribution)]
    return sorted(found, key=lambda entry: entry.distribution not in OURS)


@cache
def installed() -> tuple[PluginEntry, ...]:
    """Return every plugin entry on ``sys.path``, wanted or not, read from metadata alone."""
    from importlib.metadata import distributions

    found: dict[tuple[str, str, str], PluginEntry] = {}
    for source in distributions():
        for entry in _readable_entries(source):
            # The first on sys.path is the one that would be imported.
            found.setdefault((entry.distribution, entry.group, entry.name), entry)
    return tuple(found[key] for key in sorted(found))


def _readable_entries(source: Distribution) -> list[PluginEntry]:
    try:
        return list(_entries(source))
    except Exception as error:  # whatever a damaged installation brings, the others go on
        # Public functions only say in which folder of packages it is.
        location = getattr(source, "_path", source.locate_file(""))
        warnings.warn(
            f"A plugin's metadata cannot be read: {location}: {type(error).__name__}: {error}. "
            "Install that package again, or remove it.",
            stacklevel=2,
        )
        return []


def _entries(source: Distribution) -> Iterator[PluginEntry]:
    # Most distributions have no entry point of ours: one substring test costs far less
    # than parsing the file, and the name is read only for those that have.
    text = source.read_text("entry_points.txt")
    if not text or "zoo." not in text:
        return
    owner = normalized(source.name)
    for entry in source.entry_points:
        if entry.group in GROUPS:
            yield PluginEntry(entry.group, entry.name, entry.value, owner, source)


def version_of(distribution: str) -> str:
    """Return the version of a distribution, ``""`` if it is not installed.

    The folder where it says so has it in its name: the standard library reads what is inside, with
    the parser of e-mails, which takes as long as a small model.

    Example:
        >>> import numpy as np
        >>> version_of("numpy") == np.__version__, version_of("no-such-package")
        (True, '')
    """
    name = normalized(distribution)
    for place in sys.path:
        with contextlib.suppress(OSError):
            for folder in os.listdir(place or "."):  # noqa: PTH208 - names alone
                found, _, version = folder.removesuffix(".dist-info").partition("-")
                if folder.endswith(".dist-info") and normalized(found) == name:
                    return version
    return _version_elsewhere(distribution)


def _version_elsewhere(distribution: str) -> str:
    """Return the version of what is not in a folder, such as in a zip."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
