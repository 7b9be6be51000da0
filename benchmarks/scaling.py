"""How several workers would scale: a model from one measured step, not a measurement.

    python benchmarks/scaling.py digits-cnn g2p-transformer pydoc-gpt

A step of the recipe is timed here, in one process. To it is added what a ring all-reduce of the
gradients takes (Patarasuk and Yuan, 2009, https://doi.org/10.1016/j.jpdc.2008.09.002): each of N
workers sends and receives 2 (N - 1) / N times their bytes, in 2 (N - 1) messages one after the
other. Efficiency is the time of computing over the time of computing and exchanging. The two are
taken one after the other, as our step does them; no worker is ever late. "Same batch" shares the
recipe's batch out, and computing is taken to shrink by N; "batch each" gives every worker as much
as one process has (`fit.scale_with_workers`).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

WORKERS = (2, 8, 64)
GIGABITS = (1.0, 10.0, 100.0)
BYTES = 4  # of a gradient, float32
WARM_UP, STEPS = 5, 30


def exchange_seconds(size: float, workers: int, gigabits: float, latency: float) -> float:
    """Return how long a ring all-reduce takes.

    Args:
        size: Bytes of the gradients.
        workers: How many take part.
        gigabits: Of the slowest link, a second.
        latency: Seconds a message.
    """
    sent = 2 * (workers - 1) / workers * size
    return sent * 8 / (gigabits * 1e9) + 2 * (workers - 1) * latency


def measure(name: str, data_dir: str | None) -> tuple[float, int, int]:
    """Return the seconds of a step in one process, the parameters trained and the batch size."""
    import numpy as np
    import tensorflow as tf

    import zoo_registry
    from zoo_models.saved import fed
    from zoo_recipes.compiling.components import compile_arguments
    from zoo_recipes.datasets.loading import open_dataset
    from zoo_recipes.overrides import with_overrides
    from zoo_recipes.recipe import resolve_recipe
    from zoo_recipes.tasks.objectives import label_feature
    from zoo_recipes.training.batches import Batches
    from zoo_recipes.training.execution import make_run_tokenizer, make_sources, read_examples
    from zoo_recipes.training.fitting import build, size_of
    from zoo_recipes.training.loop import build_training
    from zoo_recipes.training.recording import data_info

    recipe = with_overrides(resolve_recipe(name), ["dataset.train=train[:20%]"])
    task = recipe.model.task or zoo_registry.models.get(recipe.model.name).tasks[0]
    builder = open_dataset(recipe.dataset.name, data_dir=data_dir)
    label = label_feature(recipe, task)
    examples = read_examples(recipe, builder, label)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "assets").mkdir()
        tokenizer = make_run_tokenizer(recipe, examples["train"], Path(folder))
        names, _ = data_info(recipe, builder, label, examples)
        model = build(recipe, task, names, tokenizer)
        source = make_sources(recipe, task, examples, Path(folder), model)[0]["train"]
    model.compile(**compile_arguments(recipe.compile, steps=1000))
    build_training(model, source, recipe.compile)
    batches: Any = Batches(
        source,
        batch_size=recipe.fit.batch_size,
        seed=recipe.seed,
        feed=lambda inputs: fed(model, inputs),
    )
    batch = next(batches.of_epoch(0))
    step = tf.function(model.train_step, jit_compile=model.jit_compile)
    seconds = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        np.asarray(step(batch)["loss"])
        seconds.append(time.perf_counter() - began)
    trained = size_of(model.trainable_variables)
    return statistics.median(seconds[WARM_UP:]), trained, recipe.fit.batch_size


def rows(seconds: float, size: float, batch: int, latency: float) -> list[str]:
    """Return lines of a table: one for each bandwidth, columns for each number of workers."""
    lines = []
    for gigabits in GIGABITS:
        cells = [f"{gigabits:g}"]
        for workers in WORKERS:
            exchange = exchange_seconds(size, workers, gigabits, latency)
            computing = seconds / workers
            same = f"{computing / (computing + exchange):.0%}" if workers <= batch else "-"
            cells += [f"{exchange * 1000:.2f}", same, f"{seconds / (seconds + exchange):.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data-dir")
    parser.add_argument("--latency", type=float, default=50.0, help="microseconds a message")
    given = parser.parse_args()
    columns = [f"{n}: exchange, ms | same batch | batch each" for n in WORKERS]
    for name in given.recipes:
        seconds, trained, batch = measure(name, given.data_dir)
        sent = ", ".join(f"{2 * (n - 1) / n * trained * BYTES / 1e6:.2f} ({n})" for n in WORKERS)
        print(
            f"\n### {name}\n\nA step of {batch} examples takes {seconds * 1000:.1f} ms in one "
            f"process (median of {STEPS}); {trained:,} parameters are trained. Each worker sends "
            f"{sent} MB a step. {given.latency:g} µs a message.\n"
        )
        print(f"| Gbit/s | {' | '.join(columns)} |")
        print("|---" * (1 + 3 * len(WORKERS)) + "|")
        print("\n".join(rows(seconds, trained * BYTES, batch, given.latency / 1e6)))


if __name__ == "__main__":
    main()
