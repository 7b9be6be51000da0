"""Names and the objects they stand for."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zoo_registry import plugins
from zoo_registry.entries import (
    BUILTIN_OWNER,
    Entry,
    builtin_entry,
    catalog_entry,
    local_entry,
    plugin_entry,
)
from zoo_registry.meanings import Names, other_meanings
from zoo_registry.plugins import LOCAL_OWNER
from zoo_registry.specs import Origin, load_target
from zoo_system.errors import (
    DuplicateNameError,
    PluginError,
    UnknownNameError,
    UsageError,
    as_sentence,
    did_you_mean,
)

if TYPE_CHECKING:
    from zoo_registry.trial import Outcome

T = TypeVar("T")


class Registry(Generic[T]):
    """Objects of one kind by name: built-in, from plugins, and added in this process.

    Args:
        kind: The word used in messages, such as ``"model"``.
        group: The entry-point group where plugins add names.
        builtin: ``"module:TABLE"``, a mapping of name to value, read on first use; ``None`` where
            our own names come from entry points too.
        coerce: ``"module:function"`` that turns a value and its name into the public type and
            raises ``TypeError`` for anything else.
        verify: ``"module:function"`` that tries what a value stands for and raises whatever fails,
            for ``zoo plugins``; ``None`` if there is nothing more to try.
        separator: Characters that may stand between the words of a name.
        catalogs: The entry-point group whose values are tables, each name in them prefixed with
            that of the entry point; ``None`` if there is none.

    Example:
        >>> from zoo_registry import models
        >>> models.get("bert-tiny").family
        'bert'
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str,
        builtin: str | None = None,
        coerce: str,
        verify: str | None = None,
        separator: str = "-",
        catalogs: str | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._builtin = builtin
        self.catalogs = catalogs
        self._coerce = coerce
        self._verify = verify
        words = f"[a-z0-9]+([{re.escape(separator)}.][a-z0-9]+)*"
        self._grammar = re.compile(rf"{words}(@([2-9]|[1-9]\d+))?")
        self._separator = separator
        self._aliases: dict[str, str] = {}
        self._values: dict[str, T] = {}
        # Where a name that is not known here may be known.
        self.beside: Sequence[Names] = (self,)
        # What is known of plugins that were not imported here, and which of them are broken.
        self._facts: dict[str, T] = {}
        self._broken: set[str] = set()
        # Of each catalog, by its prefix.
        self._tables: dict[str, dict[str, Entry]] = {}
        self.problems: list[plugins.PluginProblem] = []

    # -- what is there ---------------------------------------------------------------------

    @cached_property
    def _own(self) -> dict[str, Entry]:
        """The names of our own table, and of those that it leaves to other packages of ours."""
        found = {}
        for name, value in (load_target(self._builtin) if self._builtin else {}).items():
            found[name] = builtin_entry(name, value, self.kind)
            self._aliases |= dict.fromkeys(getattr(value, "aliases", ()), name)
            if found[name].absent:  # as it was called when it was of kerazoo itself
                self._aliases[f"{BUILTIN_OWNER}/{name}"] = name
        return found

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        found = {name: [entry] for name, entry in self._own.items()}
        for plugin in plugins.discover(self.group):
            entry = plugin_entry(plugin)
            if not self._grammar.fullmatch(entry.name):
                self.record_problem(entry.name, entry.origin, UsageError(self._bad(entry.name)))
                continue
            others = found.setdefault(entry.name, [])
            if others and others[0].absent and others[0].owner == entry.owner:
                others.clear()  # who the name is reserved for is here
            if others and others[0].owner in plugins.OURS:
                taken = DuplicateNameError(self._taken(entry, others[0]))
                self.record_problem(entry.name, entry.origin, taken)
            others.append(entry)
        return found

    def cataloged(self) -> list[str]:
        """Return the names in catalogs, read from their tables."""
        return [name for catalog in self._catalogs.values() for name in self._table(catalog)]

    def _in_catalog(self, name: str) -> Entry | None:
        """Return the entry of a name in the catalog of its prefix; no other is read."""
        catalog = self._catalogs.get(name.partition("/")[0])
        return None if catalog is None else self._table(catalog).get(name)

    @cached_property
    def _catalogs(self) -> dict[str, plugins.PluginEntry]:
        """The catalogs by prefix, none imported; a prefix that is taken stays with the first."""
        found: dict[str, plugins.PluginEntry] = {}
        for plugin in plugins.discover(self.catalogs) if self.catalogs else ():
            word, origin = plugin.name, Origin(plugin.distribution, plugin.version)
            if not self._grammar.fullmatch(word):
                error: UsageError = UsageError(self._bad(word))
            elif word in found:
                error = DuplicateNameError(
                    f"prefix '{word}' is already that of '{found[word].distribution}': "
                    f"'{plugin.distribution}' must choose another."
                )
            else:
                found[word] = plugin
                continue
            self.record_problem(word, origin, error, plugin.group)
        return found

    def _table(self, plugin: plugins.PluginEntry) -> dict[str, Entry]:
        if plugin.name not in self._tables:
            table = self._tables[plugin.name] = {}
            ours = plugin.distribution == BUILTIN_OWNER
            rows: Any = plugin.load() if ours else self._tried(plugin)
            for name in rows:
                entry = catalog_entry(plugin, name)
                table[entry.qualified] = entry
                if not ours and rows[name] is not None:
                    self._facts[entry.qualified] = entry.stamp(self.read(rows[name], name))
        return self._tables[plugin.name]

    def _tried(self, plugin: plugins.PluginEntry) -> Mapping[str, Any]:
        """Return a catalog's rows as plain data, none if it is broken."""
        from zoo_registry.trial import try_plugins

        (outcome,) = try_plugins([plugin])
        if outcome.reason:
            self._record(
                plugin.group, plugin.name, Origin(plugin.distribution, plugin.version), outcome
            )
        rows: Mapping[str, Any] = outcome.facts or {}
        return rows

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names that match a glob, sorted; an ambiguous one stands once an owner.

        Args:
            pattern: A shell-style glob such as ``"bert-*"`` or ``"*/resnet*"``.
        """
        own = [
            entry.name if entry is _holder(entries) else entry.qualified
            for entries in self._entries.values()
            for entry in entries
            if not entry.absent
            if fnmatch.fnmatchcase(entry.name, pattern)
            or fnmatch.fnmatchcase(entry.qualified, pattern)
        ]
        return sorted([*own, *fnmatch.filter(self.cataloged(), pattern)])

    def absent(self) -> Mapping[str, str]:
        """Return the names that a package of ours would bring which is not installed, with it."""
        entries = (entry for found in self._entries.values() for entry in found)
        return {entry.name: entry.owner for entry in entries if entry.absent}

    def view(self) -> Mapping[str, str]:
        """Return a read-only mapping of every name to its owner; nothing is imported."""
        return MappingProxyType({name: self.owner(name) for name in self.names()})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.removesuffix("@1") in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    # -- look up ---------------------------------------------------------------------------

    def get(self, name: str) -> T:
        """Return the object that ``name`` or ``owner/name`` stands for.

        Raises:
            UnknownNameError: Nobody registered the name; the message has the closest one.
            DuplicateNameError: Two owners claim the name.
            PluginError: The plugin that owns it is broken.
        """
        entry = self._find(name)
        if entry.qualified not in self._values:
            self._values[entry.qualified] = self._load(entry)
        value = self._values[entry.qualified]
        successor = getattr(value, "deprecated_by", None)
        if successor:
            removed_in = getattr(value, "removed_in", None)
            until = f" '{entry.owner}' {removed_in} will not have it." if removed_in else ""
            warnings.warn(
                f"{self.kind} '{name}' is deprecated: use '{successor}'.{until}",
                FutureWarning,
                stacklevel=3,
            )
        return value

    def peek(self, name: str) -> T | None:
        """Return the object if that needs no import of a plugin, else ``None``; never warns."""
        entry = self._find(name)
        if entry.absent:
            return None
        if entry.trusted and entry.qualified not in {*self._values, *self._broken}:
            try:
                self._values[entry.qualified] = self._load(entry)
            except PluginError:  # a package of ours that does not go with this Kerazoo
                self._broken.add(entry.qualified)
        return self._values.get(entry.qualified) or self._facts.get(entry.qualified)

    def survey(self, names: Iterable[str]) -> dict[str, T]:
        """Return what names stand for, without importing any plugin in this process.

        Plugins are imported in a child process, which says what they are as data; those that are
        broken are left out and recorded in ``problems``.

        Args:
            names: Registered names.
        """
        from zoo_registry.trial import try_plugins

        entries = {name: self._find(name) for name in names}
        unknown = {
            entry.plugin: entry
            for name, entry in entries.items()
            if entry.plugin and entry.qualified not in self._broken and self.peek(name) is None
        }
        for entry, outcome in zip(unknown.values(), try_plugins(list(unknown)), strict=True):
            if outcome.reason:
                self._broken.add(entry.qualified)
                self._record(self.group, entry.name, entry.origin, outcome)
            elif outcome.facts is not None:
                self._facts[entry.qualified] = entry.stamp(self.read(outcome.facts, entry.name))
        found = {name: self.peek(name) for name in entries}
        return {name: value for name, value in found.items() if value is not None}

    def read(self, value: object, name: str) -> T:
        """Return a value as the public type.

        Args:
            value: What a table or an entry point holds.
            name: The name that stands for it.

        Raises:
            TypeError: It is of another type.
        """
        coerce: Callable[[object, str], T] = load_target(self._coerce)
        return coerce(value, name)

    def verify(self, value: T) -> None:
        """Try what a value stands for, such as build a model; what fails is raised."""
        if self._verify is not None:
            load_target(self._verify)(value)

    def refused(self, plugin: plugins.PluginEntry) -> plugins.PluginProblem | None:
        """Return why the name of an entry point is not taken, read from metadata alone.

        Args:
            plugin: Of this registry's group, or of that of its catalogs.
        """
        _ = self._entries, self._catalogs  # reading them records what is wrong with names
        wanted = (plugin.group, plugin.name, plugin.distribution)
        found = (p for p in self.problems if (p.group, p.name, p.distribution) == wanted)
        return next(found, None)

    def plugin(self, name: str) -> plugins.PluginEntry | None:
        """Return the entry point that stands for a name; ``None`` if it comes from elsewhere."""
        return self._find(name).plugin

    def owner(self, name: str) -> str:
        """Return the distribution that ``name`` comes from, without its version."""
        return self._find(name).owner

    def origin(self, name: str) -> Origin:
        """Return the distribution and version that ``name`` came from."""
        return self._find(name).origin

    # -- add -------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        value: object,
        *,
        owner: str = LOCAL_OWNER,
        version: str = "",
        replace: bool = False,
    ) -> T:
        """Register a value for this process and return it as the public type.

        Args:
            name: Lower case, words joined by a separator, no owner.
            value: What :meth:`get` will return, once turned into the public type.
            owner: The distribution that adds it.
            version: The version of that distribution.
            replace: Take the place of what the same owner added before.

        Raises:
            UsageError: A name outside the grammar.
            DuplicateNameError: Another object has the name; the same one again is no error.
            TypeError: A value of the wrong type.
        """
        if not self._grammar.fullmatch(name):
            raise UsageError(self._bad(name))
        entry = local_entry(name, value, owner, version)
        for other in self._entries.get(name, []):
            if other.key is value:
                return self.get(other.qualified)
            if _is_its_own(other, value):
                # Registered by the module that an entry point names too: it stands for itself.
                return self.read(value, name)
            if not (replace and other.owner == owner):
                raise DuplicateNameError(self._taken(entry, other))
        loaded = self._load(entry)
        self._entries[name] = [entry]
        self._own.pop(name, None)
        self._values[entry.qualified] = loaded
        return loaded

    def alias(self, alias: str, name: str) -> None:
        """Let ``alias`` stand for ``name``.

        Raises:
            UnknownNameError: Nobody registered ``name``.
            DuplicateNameError: ``alias`` already stands for something else.
        """
        owner = self._find(name).owner
        current = self._aliases.get(alias)
        if alias in self._entries or current not in {None, name}:
            taken = self._entries[alias][0].owner if alias in self._entries else current
            raise DuplicateNameError(
                f"{self.kind} '{alias}' is already taken by '{taken}'; "
                f"'{owner}' cannot use it as an alias of '{name}'."
            )
        self._aliases[alias] = name

    # -- the parts -------------------------------------------------------------------------

    def _known(self) -> set[str]:
        qualified = {e.qualified for entries in self._entries.values() for e in entries}
        return qualified | set(self._entries) | set(self._aliases) | set(self.cataloged())

    def _find(self, name: str) -> Entry:
        own = self._own  # reading it makes the built-in aliases known
        name = name.removesuffix("@1")  # the first version is the name itself
        owner, _, bare = self._aliases.get(name, name).rpartition("/")
        if bare in own and not own[bare].absent and owner in {"", BUILTIN_OWNER}:
            return own[bare]  # no plugin can hide it: none is looked for
        entries = [e for e in self._entries.get(bare, []) if not owner or e.owner == owner]
        holder = _holder(entries) or self._in_catalog(name)
        if holder:
            return holder
        if entries:
            owners = " and ".join(f"'{e.owner}'" for e in entries)
            choices = " or ".join(f"'{e.qualified}'" for e in entries)
            raise DuplicateNameError(f"{self.kind} '{name}' is claimed by {owners}: say {choices}.")
        self._refuse_of_broken_catalog(name)
        meanings = other_meanings(name, self.kind, self.beside)
        hint = meanings or did_you_mean(name, self._known())
        raise UnknownNameError(
            f"There is no {self.kind} '{name}'.{hint} `zoo {self.kind}s` lists all."
        )

    def _refuse_of_broken_catalog(self, name: str) -> None:
        catalog = self._catalogs.get(name.partition("/")[0])
        for problem in self.problems:
            wanted = (problem.group, problem.name, problem.distribution)
            if catalog and wanted == (catalog.group, catalog.name, catalog.distribution):
                raise PluginError(
                    f"{self.kind} '{name}' is not known, as catalog '{problem.name}' of plugin "
                    f"'{problem.distribution}' {problem.version} cannot be used: "
                    f"{as_sentence(problem.reason)} `zoo plugins` shows the traceback."
                )

    def _load(self, entry: Entry) -> T:
        if entry.trusted and entry.plugin is None:
            return entry.stamp(self.read(entry.load(), entry.name))
        from zoo_registry.trial import guarded, one_line, seconds_by_name

        seconds = seconds_by_name()
        try:
            with guarded(entry.owner, seconds=seconds):
                return entry.stamp(self.read(entry.load(), entry.name))
        except Exception as error:
            self.record_problem(entry.name, entry.origin, error)
            raise PluginError(
                f"{self.kind} '{entry.name}' of plugin '{entry.owner}' {entry.version()} "
                f"cannot be used: {as_sentence(one_line(error))} "
                "`zoo plugins` shows the traceback."
            ) from error

    def record_problem(
        self, name: str, origin: Origin, error: Exception, group: str | None = None
    ) -> None:
        """Note that what ``name`` stands for failed; ``zoo plugins`` shows it."""
        from zoo_registry.trial import Outcome, one_line, where

        # Our own messages say what they are about.
        reason = str(error) if isinstance(error, UsageError) else one_line(error)
        outcome = Outcome(None, reason, where(error))
        self._record(group or self.group, name, origin, outcome)

    def _record(self, group: str, name: str, origin: Origin, outcome: Outcome) -> None:
        owner = (origin.distribution, origin.version)
        problem = plugins.PluginProblem(group, name, *owner, outcome.reason, outcome.traceback)
        self.problems.append(problem)

    def _taken(self, entry: Entry, by: Entry) -> str:
        return (
            f"{self.kind} '{entry.name}' is already registered by '{by.owner}': "
            f"'{entry.owner}' must choose another name, or be called '{entry.qualified}'."
        )

    def _bad(self, name: str) -> str:
        between = " or ".join(f"'{each}'" for each in self._separator)
        return (
            f"'{name}' is not a {self.kind} name: use lower-case letters and digits, with "
            f"{between} between words and '.' within a number; later versions end in '@2', '@3'..."
        )


def _holder(entries: list[Entry]) -> Entry | None:
    """Return who holds the bare name: the only owner, or us, whom no plugin can hide."""
    if len(entries) == 1 or (entries and entries[0].owner in plugins.OURS):
        return entries[0]
    return None


def _is_its_own(entry: Entry, value: object) -> bool:
    """Return whether a value comes from the package that an entry point is of."""
    module = str(getattr(value, "target", None) or getattr(value, "__module__", ""))
    packages = [str(text).partition(":")[0].partition(".")[0] for text in (entry.key, module)]
    return entry.plugin is not None and packages[0] == packages[1]
