"""``zoo train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

import click

from zoo.cli.options import (
    OfRecipe,
    as_columns,
    column,
    data_dir,
    download,
    image_size,
    names_of,
    sequence_length,
)
from zoo.cli.output import as_json, next_step, print_fields, print_json, print_table
from zoo_recipes.distributed import LOCAL
from zoo_recipes.trackers import COUNTRY_VARIABLE

# Of a table of folds: as many as 80 columns hold.
MOST_METRICS = 5
energy = click.option("--energy", is_flag=True, help="Measure energy, with codecarbon.")
country = click.option(
    "--country",
    envvar=COUNTRY_VARIABLE,
    metavar="DEU",
    help=f"With --energy: of whose grid it comes [{COUNTRY_VARIABLE}].",
)
mlflow = click.option(
    "--mlflow", metavar="URI|FOLDER", help="Log to this MLflow store, or a new one."
)
track = click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="NAME[:ARGUMENT]",
    help="Follow it with a tracker, such as a plugin's (zoo trackers).",
)


@click.command(cls=OfRecipe)
@click.argument("recipe", required=False, shell_complete=names_of("recipe"))
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with a run that stopped.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="fit.epochs=3; none takes a key out.",
)
@image_size
@sequence_length
@click.option("--seed", type=int, help="Another seed than the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [runs/RECIPE].")
@click.option("--force", is_flag=True, help="Replace an existing run folder.")
@click.option("--data", type=click.Path(path_type=Path), help="Your own file or folder of data.")
@column
@click.option(
    "--on-bad-record",
    type=click.Choice(["error", "report"]),
    help="Refuse your own data if it has bad records, or leave these out and list them [error].",
)
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Least time between two checkpoints.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Cross-validation on your own data: train so many times, each tested on another part.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes that train together [1].")
@click.option(
    "--launcher",
    metavar="NAME",
    default=LOCAL,
    show_default=True,
    help="Who starts the workers: this machine, ray on a cluster, or a plugin (zoo launchers).",
)
@click.option(
    "--worker-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds until all workers must be up.",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How often all start again from the last checkpoint when a worker is lost.",
)
@energy
@country
@mlflow
@track
@data_dir
@download
@as_json
def train(
    *,
    recipe: str | None,
    resume: Path | None,
    overrides: tuple[str, ...],
    image_size: tuple[int, ...] | None,
    sequence_length: int | None,
    seed: int | None,
    out: Path | None,
    force: bool,
    data: Path | None,
    columns: tuple[str, ...],
    on_bad_record: Literal["error", "report"] | None,
    folds: int | None,
    workers: int | None,
    launcher: str,
    worker_timeout: float,
    restarts: int,
    energy: bool,
    country: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a recipe, given by name or as a TOML file, into a run folder.

    What was interrupted or killed goes on with --resume RUN, and ends with the same weights. With
    --set, --resume trains a finished run further, into a run of its own.
    """
    from zoo_recipes.distributed.cluster import Workers

    options["verbose"] = not as_json
    options["workers"] = Workers(workers or 0, launcher, worker_timeout, restarts)
    options["energy"] = country_of(energy=energy, country=country)
    if resume is not None:
        given: dict[str, Any] = {
            "recipe": recipe,
            "overrides": overrides,
            "out": out,
            "force": force,
            "seed": seed,
        }
        given |= {"folds": folds, "image_size": image_size, "sequence_length": sequence_length}
        if _is_folds(resume):
            _go_on_with_folds(resume, data, given, options, as_json=as_json)
            return
        run = _gone_on(resume, data, given, options)
        # Whether it began as the recipe promises, nobody knows any more.
        _print_run(run, as_json=as_json, changed=True)
        return
    if recipe is None:
        raise click.UsageError("Give a recipe (`zoo recipes` lists them), or --resume RUN.")
    from zoo_recipes.custom_data.choosing import overridden
    from zoo_recipes.recipe import resolve_recipe
    from zoo_recipes.sizes import sized
    from zoo_recipes.training.training import train as train_recipe

    named, resolved = as_columns(columns), resolve_recipe(recipe)
    overrides = (*sized(resolved, image_size, sequence_length), *overrides)
    chosen = overridden(resolved, overrides, data, named)
    options |= {"out": out, "seed": seed, "force": force}
    options |= {"columns": named, "on_bad_record": on_bad_record}
    if folds is not None:
        from zoo_recipes.training.repeating import cross_validate

        _print_folds(cross_validate(chosen, folds=folds, **options), as_json=as_json)
        return
    run = train_recipe(chosen, **options)
    _print_run(run, as_json=as_json, changed=bool(overrides))


def _gone_on(run: Path, data: Path | None, given: dict[str, Any], options: dict[str, Any]) -> Any:
    """Go on with a run that stopped or, with ``--set``, train a finished one further."""
    others = any(value not in (None, (), False) for value in given.values())
    if given["recipe"] or (others and not given["overrides"]):
        raise click.UsageError(
            "--resume goes on as the run began: give the run alone, or with --data where its own "
            "data are now. A finished run is trained further with --set, such as fit.epochs=5."
        )
    for key in ("folds", "image_size", "sequence_length"):
        del given[key]
    if given["overrides"]:
        from zoo_recipes.training.repeating import train_further

        del given["recipe"]
        return train_further(run, data=data, **given, **options)
    from zoo_recipes.training.training import resume

    return resume(run, data=data, **options)


def _is_folds(path: Path) -> bool:
    from zoo_recipes.training.repeating import is_cross_validation

    return is_cross_validation(path)


def _go_on_with_folds(
    folder: Path,
    data: Path | None,
    given: dict[str, Any],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from zoo_recipes.training.repeating import go_on

    if any(value not in (None, (), False) for value in given.values()):
        raise click.UsageError(
            "--resume goes on with all folds as they began: give their folder alone, or with "
            "--data where the data are now."
        )
    _print_folds(go_on(folder, data=data, **options), as_json=as_json)


def _print_folds(found: Any, *, as_json: bool) -> None:
    if as_json:
        metrics = {name: {"mean": m, "sd": sd} for name, (m, sd) in found.metrics.items()}
        runs = [{"run": str(run.path), "metrics": run.metrics} for run in found.runs]
        print_json({"folds": str(found.path), "metrics": metrics, "runs": runs})
        return
    names = [*found.metrics][:MOST_METRICS]
    rows = [(run.path.name, *(f"{run.metrics[name]:.4f}" for name in names)) for run in found.runs]
    print_table(("FOLD", *(name.upper() for name in names)), rows, right=names)
    click.echo()
    print_fields(
        {f"test {name}": f"{mean:.4f} ± {sd:.4f}" for name, (mean, sd) in found.metrics.items()}
    )
    next_step(f"zoo evaluate {shlex.quote(str(found.runs[0].path))}")


def _print_run(run: Any, *, as_json: bool, changed: bool) -> None:
    if as_json:
        print_json({"run": str(run.path), **run.info})
        return
    print_fields({f"test {name}": f"{value:.4f}" for name, value in run.metrics.items()})
    promised = run.recipe.expected
    if promised and not changed:
        source = f": {promised.published}; not reproduced here" if promised.published else ""
        click.echo(f"expected: {promised}{source}")
    next_step(f"zoo export {shlex.quote(str(run.path))} --to tflite,onnx,saved_model")


def country_of(*, energy: bool, country: str | None) -> str | None:
    """Return the country of ``--energy --country DEU``; ``None`` where no energy is measured."""
    if energy and country is None:
        raise click.UsageError(
            "--energy needs the country of whose grid it comes: --country DEU, or "
            f"{COUNTRY_VARIABLE}=DEU in the environment."
        )
    return country if energy else None
