"""What the input pipeline of recipes costs, beside their training steps and plain iteration.

    python benchmarks/pipeline.py digits-cnn mnist5k-cnn language-id-transformer pydoc-gpt

For each recipe, in turns in one process: how many times as many examples a second `Batches` gives
as a loop over the prepared data set that reads and prepares one example after the other, without
and with the recipe's augmentation; and the fraction of an epoch that is spent waiting for batches,
measured inside of a real training: the time in which the loop asks for a batch and has none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import tensorflow_datasets as tfds
from rich.console import Console
from rich.table import Table

import zoo_recipes.training.fitting
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.batches import Batches
from zoo_recipes.training.training import train
from zoo_runtime.preprocess import Preprocessor

TURNS = 5
NAIVE_EXAMPLES = 500


class Watched(Batches):
    """Batches that note how long each was waited for, and how long the epochs took."""

    waited: list[float] = []  # noqa: RUF012  (of all epochs of one training)
    epochs: list[float] = []  # noqa: RUF012

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Return the batches."""
        began, waited = time.perf_counter(), 0.0
        coming = super().of_epoch(epoch, first)
        while True:
            asked = time.perf_counter()
            batch = next(coming, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        Watched.waited.append(waited)
        Watched.epochs.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    table = Table(
        "recipe", "plain iteration", "batches", "augmented", "waiting, fraction of an epoch"
    )
    for name in arguments.recipes:
        table.add_row(name, *_row(name, arguments.epochs, download=arguments.download))
    Console().print(table)


def _row(name: str, epochs: int, *, download: bool) -> tuple[str, ...]:
    recipe = resolve_recipe(name)
    recipe = replace(recipe, fit=replace(recipe.fit, epochs=epochs))
    source, assets, inputs = _trained(recipe, download)
    # The first epoch traces the graph.
    fractions = [w / e for w, e in zip(Watched.waited[1:], Watched.epochs[1:], strict=True)]
    plain = {"source": source, "batch_size": recipe.fit.batch_size, "seed": 0}
    naive, bare, augmented = [], [], []
    for _ in range(TURNS):
        naive.append(_naive_rate(recipe, assets, inputs))
        bare.append(_rate(Batches(**plain)))
        changed = Batches(**plain, augmentation=recipe.augmentation)
        augmented.append(_rate(changed) if recipe.augmentation else bare[-1])
    ratios = (median(rates) / median(naive) for rates in (bare, augmented))
    return ("1.0", *(f"{ratio:.1f}" for ratio in ratios), f"{median(fractions):.1%}")


def _trained(recipe: Any, download: bool) -> tuple[Any, Path, list[str]]:
    """Train for real, and return the training examples, the assets and the names of the inputs."""
    kept: dict[str, Any] = {}

    class Kept(Watched):
        def __init__(self, source: Any, **options: Any) -> None:
            super().__init__(source, **options)
            kept["source"] = source

    Watched.waited.clear()
    Watched.epochs.clear()
    before, zoo_recipes.training.fitting.Batches = zoo_recipes.training.fitting.Batches, Kept
    folder = Path(tempfile.mkdtemp()) / "run"
    try:
        run = train(recipe, out=folder, verbose=False, download=download)
    finally:
        zoo_recipes.training.fitting.Batches = before
    return kept["source"], run.assets, [tensor.name for tensor in run.model().inputs]


def _rate(batches: Batches) -> float:
    began, count = time.perf_counter(), 0
    for inputs, *_ in batches.of_epoch(1):
        count += len(next(iter(inputs.values())))
    return count / (time.perf_counter() - began)


def _naive_rate(recipe: Any, assets: Path, inputs: list[str]) -> float:
    builder = open_dataset(recipe.dataset.name)
    preprocessor = Preprocessor(recipe.preprocessing, assets, inputs)
    rows = tfds.as_numpy(builder.as_dataset(split=recipe.dataset.train))
    began, count = time.perf_counter(), 0
    for row in rows:
        raw = row[recipe.dataset.input]
        preprocessor.batch([raw.decode() if isinstance(raw, bytes) else raw])
        count += 1
        if count == NAIVE_EXAMPLES:
            break
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
