"""Train a recipe with several seeds and print mean and spread of its metrics.

    python benchmarks/recipe_seeds.py digits-cnn --seeds 0 1 2 3 4

This is the command behind the numbers that the recipes promise.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console
from rich.table import Table

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    recipe = with_overrides(resolve_recipe(arguments.recipe), arguments.set)
    rows = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            run = train(
                recipe,
                out=Path(folder) / "run",
                seed=seed,
                data_dir=arguments.data_dir,
                download=arguments.download,
            )
            cost = run.info["cost"]
            # On a machine that does other work too, processor time says more than the clock.
            times = {name: cost[name] for name in ("seconds", "cpu_seconds")}
            rows.append({**run.metrics, **times})
    table = Table("seed", *rows[0], title=" ".join([recipe.name, *arguments.set]))
    for seed, row in zip(arguments.seeds, rows, strict=True):
        table.add_row(str(seed), *(f"{value:.4f}" for value in row.values()))
    columns = list(zip(*(row.values() for row in rows), strict=True))
    table.add_section()
    table.add_row("mean", *(f"{mean(column):.4f}" for column in columns))
    if len(rows) > 1:
        table.add_row("spread", *(f"{stdev(column):.4f}" for column in columns))
        table.add_row("range", *(f"{min(column):.4f}..{max(column):.4f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
