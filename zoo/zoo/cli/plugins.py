"""``zoo plugins``, ``zoo check`` and ``zoo doctor``: what works here, and what does not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

import zoo_registry
from zoo.cli.options import names_of
from zoo.cli.output import as_json, next_step, print_json, print_table
from zoo_registry import ZooError, formats
from zoo_registry import plugins as discovery
from zoo_registry.trial import Outcome, try_plugins


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
@click.argument("name", shell_complete=names_of("model"))
@click.option("--task", help="Head [the model's first].")
@click.option("--full-size", is_flag=True, help="As the model is named, not reduced for tests.")
@click.option(
    "--to",
    "wanted",
    shell_complete=names_of("format"),
    help="Formats with commas, or none [all that are built in].",
)
@as_json
def check(
    *, name: str, task: str | None, full_size: bool, wanted: str | None, as_json: bool
) -> None:
    """Try out what every model promises: build, run, save, clone, train, export."""
    from zoo.conformance import Step, check

    to = None if wanted is None else [] if wanted == "none" else wanted.split(",")
    to = to and [formats.get(word.strip()).name for word in to]

    def show(step: Step) -> None:
        click.echo(f"{step.name}: {'ok' if step.ok else 'FAILED'}", err=True)

    steps = check(name, task=task, full_size=full_size, formats=to, on_step=show)
    if as_json:
        print_json([asdict(step) for step in steps])
    else:
        print_table(
            ("STEP", "RESULT", "SECONDS", "DETAIL"),
            [(s.name, "ok" if s.ok else "FAILED", f"{s.seconds:.1f}", s.detail) for s in steps],
            right=("SECONDS",),
        )
    failed = [step.name for step in steps if not step.ok]
    if failed:
        raise ZooError(f"Model '{name}' failed: {', '.join(failed)}.")
    if not as_json:
        next_step(f"zoo export {name} --to tflite")


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
