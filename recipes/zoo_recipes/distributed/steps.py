"""A step of training shared out: each rank has a part of the batch, all make the same change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo_recipes.distributed.cluster import Ranks
from zoo_recipes.training.batches import Batch
from zoo_recipes.training.loop import gradients_of, loss_tracker


def shared_step(model: Any, ranks: Ranks) -> Callable[[Batch], Any]:
    """Return what takes a whole batch, trains on this rank's part of it, and returns the metrics.

    The gradients of all ranks are added up before the optimizer sees them, so clipping,
    accumulation and the scale of mixed precision mean what they mean in one process. It is made of
    the parts of ``keras.Model.train_step``, whose optimizer clips first and adds up afterwards.

    Args:
        model: Compiled and built.
        ranks: Those that train together.
    """
    variables = model.trainable_variables
    tracker = loss_tracker(model)
    own = {id(variable) for variable in tracker.variables}
    counts = [v.value for v in model.metrics_variables if id(v) not in own]

    def on_replica(data: Batch, weight: Any, fraction: Any, asked: Any) -> Any:
        before = [tf.identity(count) for count in counts]
        for count in counts:
            count.assign(tf.zeros_like(count))
        # Keras has divided by the number of ranks.
        found, loss = gradients_of(model, data, weight * ranks.size)
        gradients = {at: tf.convert_to_tensor(g) for at, g in enumerate(found) if g is not None}
        changes = [count * tf.cast(fraction, count.dtype) for count in counts]
        gradients, changes, loss, asked = tf.distribute.get_replica_context().all_reduce(
            "SUM", [gradients, changes, loss, tf.identity(asked)]
        )
        for count, old, change in zip(counts, before, changes, strict=True):
            count.assign(old + change)
        return gradients, loss, asked

    # A graph for each size of the whole batch: ranks that traced at different times would wait
    # for each other for ever. Not XLA, which knows no collectives.
    def run(data: Batch, weight: Any, fraction: Any, asked: Any, size: int) -> Any:
        gradients, loss, asked = ranks.strategy.run(
            on_replica, args=(data, weight, fraction, asked)
        )
        # Of a variable that the loss does not need, Keras expects None.
        ordered = [(gradients.get(index), v) for index, v in enumerate(variables)]
        model.optimizer.apply_gradients(ordered)
        tracker.update_state(loss, sample_weight=size)
        return model.get_metrics_result(), asked

    run = tf.function(run, autograph=False)
    ignored = getattr(model.loss, "ignore_class", None)

    def step(batch: Batch) -> Any:
        part, weight, fraction = part_of(batch, ranks.rank, ranks.size, ignored)
        logs, asked = run(part, weight, fraction, np.float32(ranks.asked), len(batch[1]))
        ranks.agreed = bool(asked > 0)
        return logs

    return step


def part_of(
    batch: Batch, rank: int, size: int, ignored: int | None = None
) -> tuple[Batch, np.float32, np.float32]:
    """Return a rank's part of a batch, what its mean loss weighs, and what its metrics count.

    A batch with fewer examples than ranks is trained on by all of them, and each counts as one of
    so many.

    Args:
        batch: Inputs, targets, and weights of the examples where there are such.
        rank: From 0 on.
        size: How many ranks there are.
        ignored: The class that the loss leaves out of its mean.

    Example:
        >>> part, weight, _ = part_of((np.arange(5), np.arange(5)), 0, 2)
        >>> part[0].tolist(), f"{weight:.1f}"
        ([0, 1, 2], '0.6')
    """
    number = len(batch[1])
    if number < size:
        return batch, np.float32(1 / size), np.float32(1 / size)
    start, end = (-(-number * at // size) for at in (rank, rank + 1))
    part = keras.tree.map_structure(lambda array: array[start:end], batch)
    counted, every = (_counted(each[1], ignored) for each in (part, batch))
    return part, np.float32(counted / max(1, every)), np.float32(1)


def _counted(targets: Any, ignored: int | None) -> int:
    return len(targets) if ignored is None else int((targets != ignored).sum())


@contextmanager
def together(model: Any, ranks: Ranks | None) -> Iterator[None]:
    """Let batch normalization use the mean and the variance of the whole batch, not of a part."""
    layers = _normalizations(model) if ranks else []
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def _normalizations(model: Any) -> list[Any]:
    """Return the layers that are not synchronized by themselves, those of models inside too."""
    found = []
    for layer in getattr(model, "layers", []):
        found += _normalizations(layer)
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized:
            found.append(layer)
    return found
