"""``zoo tune``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import OfRecipe, as_columns, column, data_dir, download, names_of
from zoo.cli.output import as_json, console, next_step, print_json, print_table
from zoo.cli.training import country, country_of, energy, mlflow, track
from zoo_system.errors import first_line
from zoo_system.processes import interruptible

if TYPE_CHECKING:
    from zoo_recipes.tuning.space import Trial, Tuning

_SHOWN = 10


@click.command(cls=OfRecipe)
@click.argument("recipe", shell_complete=names_of("recipe"))
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=VALUES",
    help="What to search: compile.optimizer.learning_rate=1e-4..1e-2:log, fit.batch_size=32,64.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="fit.epochs=3")
@click.option("--out", type=click.Path(path_type=Path), help="Folder [tunings/RECIPE].")
@click.option("--force", is_flag=True, help="Delete a search that is there, and begin anew.")
@click.option("--data", type=click.Path(path_type=Path), help="Your own file or folder of data.")
@column
@energy
@country
@mlflow
@track
@data_dir
@download
@as_json
def tune(
    *,
    recipe: str,
    trials: int,
    search: tuple[str, ...],
    overrides: tuple[str, ...],
    out: Path | None,
    data: Path | None,
    columns: tuple[str, ...],
    energy: bool,
    country: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search better settings of a recipe on its validation split.

    A search that was interrupted goes on when it is asked for again; with more --trials it goes
    further. The best settings become a recipe of their own.
    """
    from zoo_recipes.custom_data.choosing import overridden
    from zoo_recipes.recipe import resolve_recipe
    from zoo_recipes.tuning.space import draw_trials, parse_ranges
    from zoo_recipes.tuning.study import BEST
    from zoo_recipes.tuning.study import tune as tune_recipe
    from zoo_system.durable import write

    named = as_columns(columns)
    with _kept_when_interrupted(), _progress(trials, shown=not as_json) as on_trial:
        found = tune_recipe(
            overridden(resolve_recipe(recipe), overrides, data, named),
            trials=trials,
            out=out,
            space=parse_ranges(search),
            columns=named,
            on_trial=on_trial,
            energy=country_of(energy=energy, country=country),
            **options,
        )
    plot = found.path / "trials.png"
    write(plot, lambda path: draw_trials(found, path))
    if as_json:
        print_json({**asdict(found), "path": str(found.path), "best": asdict(found.ranked[0])})
        return
    _print(found)
    click.echo(f"\nPlot: {plot}")
    next_step(f"zoo train {shlex.quote(str(found.path / BEST))}")


@contextmanager
def _kept_when_interrupted() -> Iterator[None]:
    """Say how to go on with the search, where the training of a trial would speak of its run."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as error:
        again = shlex.join(["zoo", *(word for word in sys.argv[1:] if word != "--force")])
        raise KeyboardInterrupt(f"the search is kept. Go on with `{again}`") from error


@contextmanager
def _progress(trials: int, *, shown: bool) -> Iterator[Callable[[Trial], None] | None]:
    if not shown:
        yield None
        return
    screen = console(stderr=True)
    with screen.status(f"searching: {trials} trials"):
        yield lambda trial: screen.print(_line(trial), soft_wrap=True)


def _line(trial: Trial) -> str:
    value = f"{trial.value:.4f}" if trial.value is not None else first_line(trial.error)
    settings = "  ".join(f"{key.rpartition('.')[2]} {_cell(v)}" for key, v in trial.values.items())
    return f"trial {trial.number}: {trial.state} {value}  {settings}"


def _print(found: Tuning) -> None:
    ranked = found.ranked
    keys = list(found.importances or ranked[0].values)
    names = [key.rpartition(".")[2].upper() for key in keys]
    rows = [
        (
            f"{trial.number}{' (recipe)' if trial.own else ''}",
            f"{trial.value:.4f}",
            str(trial.epochs),
            *(_cell(trial.values[key]) for key in keys),
        )
        for trial in ranked
        if trial in ranked[:_SHOWN] or trial.own
    ]
    goal = found.metric.replace("val_", "VALIDATION ").upper()
    print_table(("TRIAL", goal, "EPOCHS", *names), rows, right=(goal, "EPOCHS", *names))
    states = [trial.state for trial in found.trials]
    counts = (f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    click.echo(f"\n{len(states)} trials: {', '.join(counts)}.")
    if found.importances:
        fractions = (f"{key} {part:.0%}" for key, part in found.importances.items())
        click.echo(f"What matters: {', '.join(fractions)}.")
    _print_tests(found)


def _print_tests(found: Tuning) -> None:
    """Show what the test split says, which the search has not seen."""
    best, *others = found.ranked
    for trial in (best, *(other for other in others if other.own)):
        metrics = "  ".join(f"{k} {v:.4f}" for k, v in found.run(trial).metrics.items())
        name = "the recipe's own settings" if trial.own else "the best"
        click.echo(f"Test split, {name} (trial {trial.number}): {metrics}")


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
