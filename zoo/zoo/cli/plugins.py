"""``zoo plugins``, ``check``, ``new-plugin`` and ``doctor``: what works here, and what does not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import zoo_registry
from zoo.cli.options import names_of
from zoo.cli.output import as_json, next_step, print_json, print_table
from zoo_registry import ZooError
from zoo_registry import plugins as discovery
from zoo_registry.trial import Outcome, try_plugins
from zoo_runtime.formats import find

if TYPE_CHECKING:
    from zoo.conformance import Result


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
@click.option("--build/--no-build", default=True, help="Also build models and data sets.")
@as_json
def plugins(build: bool, as_json: bool) -> None:
    """List plugins, import each one and build its models, and show what is broken.

    All of that happens in a process of its own: whatever a plugin does, this one goes on. The
    import of one entry point may take 20 seconds; ZOO_PLUGIN_SECONDS sets another limit.

    The environment variable ZOO_PLUGINS says which distributions are imported at all:
    all (the default), none, or a list of names with commas.
    """
    others = [e for e in discovery.installed() if e.distribution != discovery.OWN_DISTRIBUTION]
    rows = _statuses(others, build=build)
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


def _statuses(entries: Sequence[discovery.PluginEntry], *, build: bool) -> list[Status]:
    """Import what entry points name in a process of their own, and say how it went."""
    wanted = [entry for entry in entries if discovery.wanted(entry.distribution)]
    outcomes = dict(zip(wanted, try_plugins(wanted, build=build), strict=True))
    return [_checked(entry, outcomes.get(entry)) for entry in entries]


def _checked(entry: discovery.PluginEntry, outcome: Outcome | None) -> Status:
    facts = (entry.group, entry.name, entry.distribution, entry.version)
    if outcome is None:
        return Status(*facts, "left out", f"{discovery.ENVIRONMENT_VARIABLE} leaves it out")
    if outcome.reason:
        return Status(*facts, "broken", outcome.reason, outcome.traceback)
    is_catalog = entry.group == zoo_registry.models.catalogs
    groups = {registry.group: registry for registry in zoo_registry.REGISTRIES}
    registry = zoo_registry.models if is_catalog else groups[entry.group]
    name = f"{entry.distribution}/{entry.name}"
    problem = registry.refused(entry)
    if problem and (is_catalog or name not in registry):
        return Status(*facts, "broken", problem.reason, problem.traceback)
    if is_catalog:
        return Status(*facts, "ok", f"{len(outcome.facts)} models")
    if name in registry.names():  # listed with its owner: somebody else has the bare name too
        return Status(*facts, "shared name", f"say {name}")
    return Status(*facts, "ok")


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


@click.command()
@click.argument(
    "name", shell_complete=names_of("model", "recipe", "dataset", "format", "tracker", "launcher")
)
@click.option(
    "--kind",
    type=click.Choice([registry.kind for registry in zoo_registry.REGISTRIES]),
    help="Of what has that name [all].",
)
@click.option("--task", help="Of models: the head [the first].")
@click.option("--full-size", is_flag=True, help="Models as they are named, not reduced for tests.")
@click.option(
    "--to",
    "wanted",
    shell_complete=names_of("format"),
    help="Of models: formats with commas, or none [those that it claims, else all built-in ones].",
)
@as_json
def check(
    *,
    name: str,
    kind: str | None,
    task: str | None,
    full_size: bool,
    wanted: str | None,
    as_json: bool,
) -> None:
    """Try out what a model, recipe, data set, format, tracker or launcher promises.

    NAME may be a pattern, such as 'acme-zoo/*' for all that a plugin brings. Every declared fact is
    compared with what is built, exported or trained; data sets are prepared and recipes trained on
    a few examples. Each fault says what to change. `pytest --zoo-check NAME` does the same.
    """
    from zoo.conformance import check

    to = None if wanted is None else [] if wanted == "none" else wanted.split(",")
    to = to and [find(word).name for word in to]

    def show(result: Result) -> None:
        state = "ok" if result.ok else "FAILED"
        click.echo(f"{result.subject}: {result.name}: {state}", err=True)

    options: dict[str, Any] = {"kind": kind, "task": task, "full_size": full_size, "formats": to}
    results = check(name, **options, on_result=show)
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        _print_results(results)
    failed = [f"{result.name} of {result.subject}" for result in results if not result.ok]
    if failed:
        raise ZooError(f"To be corrected: {', '.join(failed)}.")
    if not as_json and name in zoo_registry.models:
        next_step(f"zoo export {name} --to tflite")


def _print_results(results: Sequence[Result]) -> None:
    for subject in dict.fromkeys(result.subject for result in results):
        click.echo(click.style(f"\n{subject}", bold=True))
        print_table(
            ("CHECK", "RESULT", "SECONDS", "DETAIL"),
            [
                (r.name, "ok" if r.ok else "FAILED", f"{r.seconds:.1f}", r.detail)
                for r in results
                if r.subject == subject
            ],
            right=("SECONDS",),
        )


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    help="What it brings: model, dataset, recipe, format, tracker, with commas "
    "[model,dataset,recipe].",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where its folder is made [here].",
)
@as_json
def new_plugin(*, name: str, kinds: str | None, folder: Path, as_json: bool) -> None:
    """Write a package that brings models, data or formats of your own.

    It is complete: a small model with its spec, a recipe, a data set, a card, tests that run the
    conformance kit, and the settings of CI, ruff and mypy. Change what is inside.
    """
    from zoo.scaffold import USUAL, new_plugin

    wanted = USUAL if kinds is None else [word.strip() for word in kinds.split(",")]
    written = new_plugin(name, kinds=wanted, parent=folder)
    if as_json:
        print_json(written)
        return
    home = folder / name
    print_table(("FILE", "WHAT"), [(str(home / path), what) for path, what in written.items()])
    install = f"python -m pip install --editable {shlex.quote(f'{home}[test]')}"
    next_step(f"{install}, then zoo check '{discovery.normalized(name)}/*'")


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what on this machine may keep Kerazoo from working, and how to fix it.

    Looks at versions, packages that hide each other, processor, memory, disk, folders, Keras'
    settings and plugins. Exits with 1 if there is a problem.
    """
    from zoo.doctor import examine

    found = examine()
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        print_table(
            ("WHAT", "STATE", "FOUND"),
            [
                (each.what, each.state, f"{each.said}. {each.fix}." if each.fix else each.said)
                for each in found
            ],
        )
    problems = [each.what for each in found if each.state == "problem"]
    if problems:
        raise ZooError(f"To be fixed: {', '.join(problems)}.")
    if not as_json:
        next_step("zoo demo")
