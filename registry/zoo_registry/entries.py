"""A name, its owner, and how to get what it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar, cast

from zoo_registry.plugins import (
    OURS,
    OWN_DISTRIBUTION,
    RUNTIME_DISTRIBUTION,
    PluginEntry,
    version_of,
)
from zoo_registry.specs import Origin
from zoo_system.errors import UnknownNameError

T = TypeVar("T")
BUILTIN_OWNER = OWN_DISTRIBUTION


@dataclass(frozen=True)
class Elsewhere:
    """In a table of built-in names: another distribution of this project brings the value.

    Args:
        distribution: As in ``pip install``.
    """

    distribution: str


@dataclass(frozen=True)
class Entry:
    """One registered name, its value not yet read.

    Args:
        name: The name without its owner.
        owner: The distribution that brings it.
        load: Returns the value; may import the owner.
        version: Returns the owner's version.
        key: What identifies the value without importing it.
        trusted: Whether a failure is ours, not a plugin's.
        catalog: The distribution whose catalog it is in: it is known as ``owner/name`` only, the
            owner being the catalog's prefix.
        plugin: The entry point that stands for the name, if one does.
        absent: Whether its owner is not installed: the name is reserved, and is not listed.
    """

    name: str
    owner: str
    load: Callable[[], object]
    version: Callable[[], str]
    key: object
    trusted: bool
    catalog: str | None = None
    plugin: PluginEntry | None = None
    absent: bool = False

    @property
    def qualified(self) -> str:
        """``owner/name``, which is never ambiguous."""
        return f"{self.owner}/{self.name}"

    @property
    def origin(self) -> Origin:
        """The distribution and version it came from."""
        return Origin(self.catalog or self.owner, self.version())

    def stamp(self, value: T) -> T:
        """Return ``value`` with its ``origin`` filled in, where it has such a field."""
        if getattr(value, "origin", ...) is None:
            stamped: T = replace(cast(Any, value), origin=self.origin)
            return stamped
        return value


def builtin_entry(name: str, value: object, kind: str) -> Entry:
    """Return the entry of a name from our own tables.

    Args:
        name: The name.
        value: What it stands for, or :class:`Elsewhere`.
        kind: The word used in messages.
    """
    if isinstance(value, Elsewhere):
        return _absent_entry(name, value.distribution, kind)
    return Entry(name, BUILTIN_OWNER, lambda: value, own_version, value, trusted=True)


def _absent_entry(name: str, owner: str, kind: str) -> Entry:
    def load() -> object:
        raise UnknownNameError(
            f"{kind.capitalize()} '{name}' comes with the package '{owner}', which is not "
            f"installed: pip install {owner}."
        )

    return Entry(name, owner, load, lambda: "", None, trusted=True, absent=True)


def plugin_entry(plugin: PluginEntry) -> Entry:
    """Return the entry of a name from package metadata."""
    return Entry(
        plugin.name,
        plugin.distribution,
        plugin.load,
        lambda: plugin.version,
        plugin.target,
        trusted=plugin.distribution in OURS,
        plugin=plugin,
    )


def catalog_entry(plugin: PluginEntry, name: str) -> Entry:
    """Return the entry of one name of a catalog: its entry point is the prefix of all of them.

    Args:
        plugin: Of the group ``zoo.catalogs``; its value is a mapping of name to value.
        name: A key of the mapping.
    """

    def load() -> object:
        table: Any = plugin.load()
        return table[name]

    return Entry(
        name,
        plugin.name,
        load,
        lambda: plugin.version,
        f"{plugin.target}[{name}]",
        trusted=plugin.distribution == BUILTIN_OWNER,
        catalog=plugin.distribution,
    )


def local_entry(name: str, value: object, owner: str, version: str) -> Entry:
    """Return the entry of a name added in this process."""
    return Entry(name, owner, lambda: value, lambda: version, value, trusted=True)


@cache
def own_version() -> str:
    """Return the version of the installed kerazoo.

    It is asked of the distribution that this file is in, which a device has without the other.
    """
    return version_of(RUNTIME_DISTRIBUTION)
