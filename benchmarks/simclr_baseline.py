"""Metrics of what `mnist5k-simclr` learns: nearest neighbours, and few digits with a class.

    python benchmarks/simclr_baseline.py [RUN]

The nearest other digit by pixels, by the untrained network and by the run; then `mnist5k-cnn` on
200 digits, from fresh weights and from those of the run. Without a run, the recipe is trained.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import zoo
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.metrics.resampling import point
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.tasks.views import neighbors
from zoo_recipes.training.training import train

RECIPE = "mnist5k-simclr"
SEEDS = (0, 1, 2)
# The network of the run, and as few digits with a class.
FEW = (
    *("model.overrides.padding=valid", "model.overrides.hidden_dim=128"),
    *("dataset.train=train[:5%]", "fit.epochs=30"),
)


def neighbor_accuracy(rows: Any, labels: Any) -> float:
    flat = rows.reshape(len(rows), -1)
    return point(neighbors(flat / np.linalg.norm(flat, axis=1, keepdims=True), labels))[
        "neighbor_accuracy"
    ]


def untrained(images: Any, seed: int) -> Any:
    overrides = resolve_recipe(RECIPE).model.overrides
    keras.utils.set_random_seed(seed)
    return zoo.get_model("cnn", task="features", **overrides).predict(images, verbose=0)


def accuracy(settings: Sequence[str], seed: int, **options: Any) -> float:
    recipe = with_overrides(resolve_recipe("mnist5k-cnn"), [*FEW, *settings])
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, out=Path(folder) / "run", seed=seed, verbose=False, **options)
    return run.metrics["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run; else one is trained")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    options = {"data_dir": arguments.data_dir}
    test = read_split(open_dataset("mnist5k", **options), "test", input="image", label="label")
    images = np.stack(test.raws).astype(np.float32)
    run = arguments.run or train(RECIPE, **options).path
    table = Table("", *(f"seed {seed}" for seed in SEEDS), "mean", title=f"{len(images)} digits")

    def add(name: str, values: Sequence[float]) -> None:
        table.add_row(name, *(f"{value:.3f}" for value in values), f"{mean(values):.3f}")

    add("nearest, pixels", [neighbor_accuracy(images, test.labels)] * len(SEEDS))
    add(
        "nearest, untrained",
        [neighbor_accuracy(untrained(images, seed), test.labels) for seed in SEEDS],
    )
    trained = zoo.evaluate(run, **options).metrics["neighbor_accuracy"]
    add(f"nearest, {RECIPE} (this run)", [trained] * len(SEEDS))
    for name, settings in (("fresh", []), (RECIPE, [f"model.weights={run}"])):
        add(f"200 with a class, {name}", [accuracy(settings, seed, **options) for seed in SEEDS])
    Console().print(table)


if __name__ == "__main__":
    main()
