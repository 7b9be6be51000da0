"""Train a recipe with several seeds and print mean and spread of its metrics.

    python benchmarks/recipe_seeds.py digits-cnn --seeds 0 1 2 3 4

This is the command behind the results that the recipes promise.
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
    # A row for each metric: there are more of them than there are seeds.
    table = Table("seed", *map(str, arguments.seeds), "mean", "spread")
    table.title = " ".join([recipe.name, *arguments.set])
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = shown(stdev(values)) if len(values) > 1 else "unknown"
        table.add_row(name, *map(shown, values), shown(mean(values)), spread)
    Console().print(table)


def shown(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
