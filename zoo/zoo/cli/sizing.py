"""What a model costs, as a table, and ``zoo choose``."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.options import names_of
from zoo.cli.output import (
    NUMBER,
    as_json,
    count,
    next_step,
    print_fields,
    print_json,
    print_table,
    size,
    warn_of_broken_plugins,
)
from zoo_models.sizing import BYTES, Size

DTYPES = tuple(BYTES)
ROWS = {
    "weights": "weights",
    "inference": "inference: weights and results in memory together",
    "training": "training: Adam, all results; float16 is mixed precision",
    "cache": "key/value cache",
}


def cost_data(cost: Size) -> dict[str, Any]:
    """Return a model's cost as JSON takes it."""
    return {
        "task": cost.task,
        "inputs": {name: list(shape) for name, shape in cost.inputs.items()},
        "num_params": cost.num_params,
        "macs": cost.macs,
        "bytes": {row: {dtype: getattr(cost, row)(dtype) for dtype in DTYPES} for row in ROWS},
    }


def print_cost(cost: Size) -> None:
    """Print multiply-adds and memory, a column a dtype."""
    click.echo()
    print_fields(
        {
            "cost of": ", ".join(f"{name} {list(shape)}" for name, shape in cost.inputs.items()),
            "task": cost.task,
            "parameters": f"{cost.num_params:,}",
            "multiply-adds": f"{cost.macs:,} ({count(cost.macs)})",
        }
    )
    click.echo()
    lines = [
        (*(_bytes(getattr(cost, row)(dtype)) for dtype in DTYPES), text)
        for row, text in ROWS.items()
        if row != "cache" or cost.cache_bytes
    ]
    print_table((*DTYPES, "MEMORY"), lines, right=DTYPES)


def _bytes(number: int | None) -> str:
    return "" if number is None else size(number)


@click.command()
@click.option(
    "--task",
    required=True,
    shell_complete=names_of("task"),
    help="What it is to do, such as text-classification.",
)
@click.option("--max-mb", type=float, help="Largest file, in MB of its weights.")
@click.option("--max-macs", type=NUMBER, help="Most multiply-adds an example, such as 500M.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), default="float32", help="Of the file's weights."
)
@click.option("--examples", type=int, help="How many labelled examples there are to train with.")
@as_json
def choose(*, as_json: bool, **wanted: Any) -> None:
    """Rank the models that fit a task and its limits, each with the reason."""
    from zoo.choosing import choose as choose_models

    found = choose_models(**wanted)
    warn_of_broken_plugins()
    if as_json:
        print_json([choice.to_dict() for choice in found])
        return
    print_table(
        ("", "NAME", "PARAMETERS", f"MB ({wanted['dtype']})", "MULT-ADDS", "WHY"),
        [
            (
                str(rank),
                choice.name,
                f"{choice.num_params:,}",
                f"{choice.megabytes:.2f}",
                count(choice.macs) if choice.macs else "",
                choice.reason,
            )
            for rank, choice in enumerate(found, 1)
        ],
        right=("", "PARAMETERS", f"MB ({wanted['dtype']})", "MULT-ADDS"),
    )
    next_step(found[0].next_step)
