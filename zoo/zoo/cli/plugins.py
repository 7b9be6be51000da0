"""``zoo plugins``: what is installed, and what of it is broken."""

from __future__ import annotations

import os
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import click

import zoo_registry
from zoo.cli.listing import as_json
from zoo.cli.output import next_step, print_json, print_table
from zoo_registry import PluginError, Registry
from zoo_registry import plugins as discovery
from zoo_registry.build import get_model


@dataclass(frozen=True)
class Status:
    """One entry point and whether it can be used."""

    group: str
    name: str
    distribution: str
    version: str
    status: str
    reason: str = ""
    traceback: str = ""


@click.command()
@click.option("--build/--no-build", default=True, help="Also build each plugin's models.")
@as_json
def plugins(build: bool, as_json: bool) -> None:
    """List plugins, import each one and build its models, and show what is broken.

    The environment variable ZOO_PLUGINS says which distributions are imported at all:
    all (the default), none, or a list of names with commas.
    """
    others = [e for e in discovery.installed() if e.distribution != discovery.OWN_DISTRIBUTION]
    rows = [check(entry, build) for entry in others]
    if as_json:
        print_json([asdict(row) for row in rows])
    elif not rows:
        click.echo("No plugins are installed.")
    else:
        print_table(
            ("GROUP", "NAME", "FROM", "VERSION", "STATUS"),
            [(r.group, r.name, r.distribution, r.version, _status(r)) for r in rows],
        )
        for row in (r for r in rows if r.traceback):
            click.echo(f"\n{row.distribution} {row.version}, {row.group} {row.name}:")
            click.echo(row.traceback.rstrip())
    _warn_of_absent(discovery.installed())
    if not as_json:
        next_step("zoo models")


def check(entry: discovery.PluginEntry, build: bool) -> Status:
    """Import what an entry point names, build it if it is a model, and say how it went."""
    facts = (entry.group, entry.name, entry.distribution, entry.version)
    if not discovery.wanted(entry.distribution):
        return Status(*facts, "left out", f"{discovery.ENVIRONMENT_VARIABLE} leaves it out")
    if entry.group == zoo_registry.models.catalogs:
        return _check_catalog(entry, facts)
    registry = _registry_of(entry.group)
    name = f"{entry.distribution}/{entry.name}"
    try:
        registry.get(name)
        if build and registry is zoo_registry.models:
            get_model(name)
    except PluginError as error:
        cause = error.__cause__ or error
        text = "".join(traceback.format_exception(cause))
        return Status(*facts, "broken", f"{type(cause).__name__}: {cause}", text)
    except zoo_registry.UnknownNameError:
        # Its name is outside the grammar: the registry recorded that when it read the metadata.
        problem = next(p for p in registry.problems if p.name == entry.name)
        return Status(*facts, "broken", problem.reason, problem.traceback)
    if name in registry.names():  # listed with its owner: somebody else has the bare name too
        return Status(*facts, "shared name", f"say {name}")
    return Status(*facts, "ok")


def _check_catalog(entry: discovery.PluginEntry, facts: tuple[str, str, str, str]) -> Status:
    names = zoo_registry.models.names(f"{entry.name}/*")
    problems = [p for p in zoo_registry.models.problems if p.name == entry.name]
    if problems:
        return Status(*facts, "broken", problems[0].reason, problems[0].traceback)
    return Status(*facts, "ok", f"{len(names)} models")


def _registry_of(group: str) -> Registry[Any]:
    registries: tuple[Registry[Any], ...] = (
        zoo_registry.models,
        zoo_registry.recipes,
        zoo_registry.datasets,
        zoo_registry.formats,
    )
    return next(registry for registry in registries if registry.group == group)


def _status(row: Status) -> str:
    return f"{row.status}: {row.reason}" if row.reason else row.status


def _warn_of_absent(entries: tuple[discovery.PluginEntry, ...]) -> None:
    choice = os.environ.get(discovery.ENVIRONMENT_VARIABLE, "all")
    present = {entry.distribution for entry in entries} | {"all", "none", ""}
    for name in (discovery.normalized(part.strip()) for part in choice.split(",")):
        if name not in present:
            click.echo(
                f"warning: {discovery.ENVIRONMENT_VARIABLE} names '{name}', "
                "which is not installed or has no plugin.",
                err=True,
            )
