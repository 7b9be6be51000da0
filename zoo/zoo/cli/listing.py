"""``zoo models``, ``show``, ``recipes``, ``recipe``, ``datasets``, ``formats`` and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import click

import zoo_registry
from zoo.api import SORTED_BY, list_models
from zoo.cli.options import names_of
from zoo.cli.output import (
    NUMBER,
    as_json,
    as_options,
    count,
    next_step,
    print_fields,
    print_json,
    print_table,
    warn_of_broken_plugins,
)
from zoo_registry import ModelSpec, Registry

pattern_argument = click.argument("pattern", default="*", metavar="[GLOB]")


@click.command()
@pattern_argument
@click.option(
    "--task", shell_complete=names_of("task"), help="Only models with this head, such as causal-lm."
)
@click.option("--family", help="Only this family, such as bert.")
@click.option("--tag", help="Only models with this tag.")
@click.option("--max-params", type=NUMBER, help="At most so many parameters, such as 5M.")
@click.option("--max-macs", type=NUMBER, help="At most so many multiply-adds, such as 500M.")
@click.option("--sort", type=click.Choice(list(SORTED_BY)), default="name", show_default=True)
@as_json
def models(*, pattern: str, as_json: bool, **filters: Any) -> None:
    """List models by name; a plugin's details are read when asked for by name or filter."""
    names = list_models(pattern, **filters)
    _read_plugins(zoo_registry.models, pattern, names)
    if as_json:
        warn_of_broken_plugins()
        print_json([_model_row(name) for name in names])
        return
    limits = {key: value for key, value in filters.items() if value and key != "sort"}
    asked = pattern != "*" or limits
    # Hundreds of names of other libraries would bury ours.
    hidden = set() if asked else set(zoo_registry.models.cataloged()).intersection(names)
    rows = [_model_row(name) for name in names if name not in hidden]
    print_table(
        ("NAME", "FAMILY", "PARAMETERS", "MULT-ADDS", "TASKS", "SUMMARY"),
        [
            (
                row["name"],
                row["family"] or "",
                f"{row['num_params']:,}" if row["num_params"] else "",
                count(row["macs"]) if row["macs"] else "",
                _first_tasks(row["tasks"]),
                row["summary"] or f"(plugin {row['owner']})",
            )
            for row in rows
        ],
        right=("PARAMETERS", "MULT-ADDS"),
    )
    _count(rows, "model", pattern, as_options(limits))
    for prefix, number in sorted(Counter(name.partition("/")[0] for name in hidden).items()):
        click.echo(f"And {number} of {prefix}: zoo models '{prefix}/*'")
    warn_of_broken_plugins()
    if rows:
        next_step(f"zoo show {rows[0]['name']}")


def _first_tasks(tasks: Sequence[str]) -> str:
    # A long list would push names and numbers out of the table; `zoo show` has it.
    shown = [*tasks[:2], f"+{len(tasks) - 2}"] if len(tasks) > 3 else tasks
    return ", ".join(shown)


def _model_row(name: str) -> dict[str, Any]:
    spec = zoo_registry.models.peek(name)
    return {
        "name": name,
        "owner": zoo_registry.models.owner(name),
        "family": spec.family if spec else None,
        "tasks": list(spec.tasks) if spec else [],
        "num_params": spec.num_params if spec else None,
        "macs": spec.macs if spec else None,
        "summary": spec.summary if spec else None,
    }


@click.command()
@click.argument("name", shell_complete=names_of("model"))
@click.option("--task", help="The head that is sized [the first].")
@click.option("--batch", type=int, help="Examples at a time [1].")
@click.option("--seq-len", "sequence_length", type=int, help="Tokens or steps of an example [128].")
@click.option("--image-size", type=int, help="Height and width in pixels [the model's own].")
@as_json
def show(name: str, as_json: bool, **sizes: Any) -> None:
    """Show what is known about a model; with --batch or another size, what it costs as well.

    Costs are multiply-adds and memory, from the model's graph: no weight is allocated.
    """
    from zoo.cli.sizing import cost_data, print_cost
    from zoo_models.sizing import size

    spec = zoo_registry.models.get(name)
    given = {key: value for key, value in sizes.items() if value is not None}
    cost = size(spec, **given) if given else None
    if as_json:
        print_json({**spec.to_dict(), **({"size": cost_data(cost)} if cost else {})})
        return
    print_fields(
        {
            "name": name,
            "summary": spec.summary,
            "family": spec.family,
            "parameters": f"{spec.num_params:,}" if spec.num_params else "",
            "multiply-adds": f"{count(spec.macs)} an example" if spec.macs else "",
            "inputs": "\n".join(map(str, spec.inputs)),
            "tasks": ", ".join(spec.tasks),
            "defaults": "\n".join(f"{key} = {value}" for key, value in spec.defaults.items()),
            "paper": spec.paper,
            "license": spec.license,
            "weights": spec.weights or "",
            "tags": ", ".join(spec.tags),
            "builder": spec.target,
            "from": f"{spec.origin.distribution} {spec.origin.version}" if spec.origin else "",
            "exports to": ", ".join(spec.exports),
            "use instead": spec.deprecated_by or "",
            "removed in": spec.removed_in or "",
            "in Python": _snippet(name, spec),
        }
    )
    if cost is None:
        next_step(f"zoo show {name} --batch 1, or zoo export {name} --to tflite")
    else:
        print_cost(cost)
        next_step(f"zoo export {name} --to tflite")


def _snippet(name: str, spec: ModelSpec) -> str:
    task = f', task="{spec.tasks[0]}"' if len(spec.tasks) > 1 else ""
    return f'import zoo; model = zoo.get_model("{name}"{task})'


@click.command()
@pattern_argument
@as_json
def recipes(pattern: str, as_json: bool) -> None:
    """List recipes and what each promises; a plugin's details are read when asked for by name."""
    names = zoo_registry.recipes.names(pattern)
    _read_plugins(zoo_registry.recipes, pattern, names)
    rows = [_recipe_row(name, zoo_registry.recipes.peek(name)) for name in names]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NAME", "MODEL", "DATASET", "EXPECTED", "SUMMARY"),
        [
            (row["name"], row["model"], row["dataset"], row["expected"], row["summary"])
            for row in rows
        ],
    )
    _count(rows, "recipe", pattern)
    _count_absent(zoo_registry.recipes, pattern)
    if rows:
        next_step(f"zoo train {rows[0]['name']}")


def _read_plugins(registry: Registry[Any], pattern: str, names: Sequence[str]) -> None:
    """Have what plugins say of the names that were asked for; all of them would take too long."""
    if pattern != "*":
        registry.survey(names)


def _recipe_row(name: str, recipe: Any) -> dict[str, Any]:
    expected = recipe.expected if recipe else None
    return {
        "name": name,
        "owner": zoo_registry.recipes.owner(name),
        "model": recipe.model.name if recipe else "",
        "dataset": recipe.dataset.name if recipe else "",
        "expected": str(expected or ""),
        "summary": recipe.summary if recipe else f"(plugin {zoo_registry.recipes.owner(name)})",
    }


@click.command()
@click.argument("name", shell_complete=names_of("recipe"))
@as_json
def recipe(name: str, as_json: bool) -> None:
    """Print a recipe as TOML, to copy and change."""
    from zoo_recipes.recipe import resolve_recipe

    found = resolve_recipe(name)
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(found.to_toml(), nl=False)


@click.command()
@pattern_argument
@as_json
def datasets(pattern: str, as_json: bool) -> None:
    """List the data sets that Kerazoo and its plugins add to those of TensorFlow Datasets."""
    _list_owners(zoo_registry.datasets, pattern, as_json)


@click.command()
@pattern_argument
@as_json
def trackers(pattern: str, as_json: bool) -> None:
    """List what can follow a training: zoo train ... --track NAME:ARGUMENT."""
    _list_owners(zoo_registry.trackers, pattern, as_json)


@click.command()
@pattern_argument
@as_json
def launchers(pattern: str, as_json: bool) -> None:
    """List who can start the workers of a training: zoo train ... --workers 2 --launcher NAME."""
    _list_owners(zoo_registry.launchers, pattern, as_json)


@click.command()
@pattern_argument
@as_json
def formats(pattern: str, as_json: bool) -> None:
    """List the formats that a model can be exported to, and their quantization schemes."""
    registry = zoo_registry.formats
    rows = [_format_row(name, registry.peek(name)) for name in registry.names(pattern)]
    if as_json:
        print_json(rows)
        return
    lines = []
    for row in rows:
        lines.append((row["name"], row["owner"], "", row["summary"]))
        for scheme in row["schemes"]:
            needs = "calibration" if scheme["calibrated"] else ""
            lines.append(
                (f"{row['name']}:{scheme['name']}", row["owner"], needs, scheme["summary"])
            )
    print_table(("NAME", "FROM", "NEEDS", "SUMMARY"), lines)
    _count(rows, registry.kind, pattern)
    if rows:
        schemes = [scheme["name"] for scheme in rows[-1]["schemes"][:1]]
        next_step(f"zoo export RUN --to {':'.join([rows[-1]['name'], *schemes])}")


def _format_row(name: str, row: Any) -> dict[str, Any]:
    # A plugin's format is not imported to be listed.
    kept = ("name", "dtype", "calibrated", "summary")
    return {
        "name": name,
        "owner": zoo_registry.formats.owner(name),
        "summary": getattr(row, "summary", ""),
        "schemes": [
            {key: getattr(scheme, key) for key in kept} for scheme in getattr(row, "schemes", ())
        ],
    }


def _list_owners(registry: Registry[Any], pattern: str, as_json: bool) -> None:
    rows = [
        {
            "name": name,
            "owner": registry.owner(name),
            "summary": getattr(registry.peek(name), "summary", ""),
        }
        for name in registry.names(pattern)
    ]
    if as_json:
        print_json(rows)
        return
    print_table(("NAME", "FROM", "SUMMARY"), [(r["name"], r["owner"], r["summary"]) for r in rows])
    _count(rows, registry.kind, pattern)
    _count_absent(registry, pattern)


def _count_absent(registry: Registry[Any], pattern: str) -> None:
    """Say how many names a package of ours would bring that is not installed."""
    absent = [owner for name, owner in registry.absent().items() if fnmatchcase(name, pattern)]
    for owner, number in Counter(absent).items():
        click.echo(f"And {number} of {owner}: pip install {owner}")


def _count(rows: list[dict[str, Any]], kind: str, pattern: str, limits: str = "") -> None:
    if not rows:
        shown = f"'{pattern}'{f' with{limits}' if limits else ''}"
        click.echo(f"No {kind} matches {shown}.{zoo_registry.meaning_of(pattern, kind)}")
