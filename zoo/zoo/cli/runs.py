"""``zoo runs``, ``zoo runs compare``, ``zoo reproduce``, ``zoo report`` and ``zoo card``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import data_dir, download, names_of
from zoo.cli.output import as_json, next_step, print_json, print_table
from zoo_recipes.reporting import SORTED_BY
from zoo_registry import ZooError
from zoo_system.errors import first_line

if TYPE_CHECKING:
    from zoo_recipes.reporting.comparing import RunRow

STATES = ("complete", "running", "interrupted", "failed", "unreadable")


@click.group(invoke_without_command=True)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the runs are; folders inside are searched too.",
)
@click.option("--recipe", default="*", metavar="GLOB", help="Only those of such recipes.")
@click.option("--status", type=click.Choice(STATES), help="Only those in this state.")
@click.option(
    "--sort",
    type=click.Choice(SORTED_BY),
    default="started",
    show_default=True,
    help="Newest first, by name, best first, or shortest first.",
)
@as_json
@click.pass_context
def runs(
    ctx: click.Context,
    *,
    root: Path,
    recipe: str,
    status: str | None,
    sort: str,
    as_json: bool,
) -> None:
    """List runs with their results; `zoo runs compare A B` shows how they differ."""
    from zoo_recipes.reporting.comparing import list_runs

    if ctx.invoked_subcommand is not None:
        return
    rows = list_runs(root, recipe=recipe, status=status, sort=sort)
    if as_json:
        print_json([{**asdict(row), "path": str(row.path)} for row in rows])
        return
    if not rows:
        click.echo(f"There is no such run in '{root}'.")
        next_step("zoo train digits-cnn")
        return
    print_table(
        ("RUN", "RECIPE", "STATUS", "SEED", "METRIC", "VALUE", "PARAMETERS", "SECONDS", "STARTED"),
        [_cells(row) for row in rows],
        right=("SEED", "VALUE", "PARAMETERS", "SECONDS"),
    )
    for row in rows:
        if row.error:
            click.echo(f"{row.path}: {first_line(row.error)}")
    done = [shlex.quote(str(row.path)) for row in rows if row.status == "complete"]
    if len(done) > 1:
        next_step(f"zoo runs compare {done[0]} {done[1]}")
    elif done:
        next_step(f"zoo export {done[0]}")


def _cells(row: RunRow) -> tuple[str, ...]:
    return (
        str(row.path),
        row.recipe,
        row.status,
        "" if row.seed is None else str(row.seed),
        row.metric,
        "" if row.value is None else f"{row.value:.4f}",
        "" if row.num_params is None else f"{row.num_params:,}",
        "" if row.seconds is None else f"{row.seconds:,.0f}",
        row.started.replace("T", " ")[:16],
    )


@runs.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=names_of("run"),
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="A PNG of curves.")
@as_json
def compare(*, paths: Sequence[Path], plot: Path | None, as_json: bool) -> None:
    """Show in what complete runs differ: settings, data, versions and results."""
    from zoo_recipes.reporting.comparing import differences
    from zoo_recipes.reporting.report import draw_side_by_side
    from zoo_recipes.run import load_run

    if len(paths) < 2:
        raise click.UsageError("Name two runs or more.")
    _refuse_twice(paths)
    found = {str(path): load_run(path) for path in paths}
    unequal = differences(list(found.values()))
    metrics = {name: run.metrics for name, run in found.items()}
    if plot is not None:
        draw_side_by_side({name: run.history for name, run in found.items()}, plot)
    if as_json:
        print_json({"differences": unequal, "metrics": metrics})
        return
    _print_comparison(unequal, metrics)
    if plot is not None:
        click.echo(f"\nCurves: {plot}")
    else:
        next_step(f"zoo runs compare {shlex.join(found)} --plot curves.png")


def _refuse_twice(paths: Sequence[Path]) -> None:
    known: dict[Path, Path] = {}
    for path in paths:
        before = known.setdefault(path.resolve(), path)
        if before is not path:
            raise click.UsageError(
                f"'{before}' and '{path}' are the same run: name each run once, and two or more."
            )


def _print_comparison(
    unequal: Mapping[str, Sequence[str]], metrics: Mapping[str, Mapping[str, float]]
) -> None:
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    if not unequal:
        click.echo("Same recipe, data, seed and versions.\n")
    rows = [[key, *values] for key, values in unequal.items()]
    rows += [
        [name, *(f"{values[name]:.4f}" if name in values else "-" for values in metrics.values())]
        for name in names
    ]
    print_table(["", *metrics], rows)


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=names_of("run"))
@click.option("--out", type=click.Path(path_type=Path), help="Keep the new run here.")
@click.option("--data", type=click.Path(path_type=Path), help="Where your own data are now.")
@data_dir
@download
@as_json
def reproduce(*, run: Path, as_json: bool, **options: Any) -> None:
    """Train a run again and compare the weights; exits with 1 if they are not the same."""
    from zoo_recipes.training.repeating import reproduce as train_again

    found = train_again(run, verbose=not as_json, **options)
    if as_json:
        print_json({**asdict(found), "path": str(found.path)})
    else:
        _print_comparison(found.changed, {"recorded": found.metrics, "again": found.again})
    if not found.equal:
        raise ZooError(f"Run '{run}' did not come out the same again: {_unequal(found.largest)}.")
    if not as_json:
        click.echo("\nThe weights are the same, bit for bit.")


def _unequal(largest: float | None) -> str:
    if largest is None:
        return "its weights have other shapes"
    return f"its weights differ by up to {largest:.2g}"


run = click.argument("run", type=click.Path(path_type=Path), shell_complete=names_of("run"))


@click.command()
@run
@click.option("--out", type=click.Path(path_type=Path), help="The file [RUN/report.html].")
def report(*, run: Path, out: Path | None) -> None:
    """Write a page about a run: what was trained, what came of it, what it took."""
    from zoo_recipes.reporting.report import report as write_report

    click.echo(write_report(run, out=out))
    next_step(f"zoo card {shlex.quote(str(run))}")


@click.command()
@run
@click.option("--out", type=click.Path(path_type=Path), help="The file [RUN/README.md].")
def card(*, run: Path, out: Path | None) -> None:
    """Write a run's model card, as the Hugging Face hub reads it."""
    from zoo_recipes.reporting.card import card as write_card

    click.echo(write_card(run, out=out))
    next_step(f"zoo export {shlex.quote(str(run))}")
