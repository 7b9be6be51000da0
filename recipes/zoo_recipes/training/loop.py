"""The training loop: ``keras.Model.fit`` step by step, so that it can stop and go on anywhere.

It is made of the public parts of Keras, and gives the weights that ``fit`` gives but for the order
in which gradients are added.
"""

from __future__ import annotations

import itertools
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo_models.saved import fed
from zoo_recipes.arrays.sources import Source, batches_of
from zoo_recipes.compiling.components import penalty
from zoo_recipes.configs import CompileConfig
from zoo_recipes.distributed.ranks import Ranks
from zoo_recipes.distributed.steps import shared_step
from zoo_recipes.training.batches import Batches
from zoo_recipes.training.checkpoints import Checkpoint, Place, Saver, restore, variables_of
from zoo_recipes.training.metric_checks import fitting
from zoo_recipes.training.steps import train_step
from zoo_registry import ZooError
from zoo_runtime.run_info import resuming

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def build_training(model: Any, source: Source, config: CompileConfig) -> None:
    """Make the variables of optimizer, loss and metrics, which Keras makes in the first step.

    Args:
        model: Compiled.
        source: A few of its examples are looked at.
        config: What it was compiled with.

    Raises:
        UsageError: A loss or metrics that do not take such targets and outputs.
    """
    inputs, targets = source.take(np.arange(_telling_size(model)) % len(source))
    inputs = fed(model, inputs)
    model.optimizer.build(model.trainable_variables)
    outputs = model(inputs, training=False)
    with fitting("compile.loss", [config.loss], targets, outputs):
        model.compute_loss(x=inputs, y=targets, y_pred=outputs)
    with fitting("compile.metrics", config.metrics, targets, outputs):
        model.compute_metrics(inputs, targets, outputs)
    model.reset_metrics()


def _telling_size(model: Any) -> int:
    """Return how many examples tell whether shapes fit: 1 or a size of the outputs may by luck."""
    sizes = {size for output in model.outputs for size in output.shape}
    return next(number for number in itertools.count(2) if number not in sizes)


def train_epochs(
    model: Any,
    batches: Batches,
    callbacks: Any,
    saver: Saver,
    *,
    epochs: int,
    validation: Source | None,
    checkpoint: Checkpoint | None,
    ranks: Ranks | None = None,
) -> None:
    """Train a model in place.

    Args:
        model: As :func:`build_training` left it.
        batches: Of the training split.
        callbacks: A ``keras.callbacks.CallbackList``.
        saver: Writes checkpoints.
        epochs: Times the training split is gone through.
        validation: Looked at after each epoch.
        checkpoint: Where to go on, or ``None``.
        ranks: The processes that train together, of which this is one.

    Raises:
        ZooError: The loss became infinite or not a number.
        KeyboardInterrupt: It was told to stop, and has saved where it was.
    """
    step = shared_step(model, ranks) if ranks else train_step(model)
    test = tf.function(model.test_step, jit_compile=model.jit_compile)
    model.stop_training = False
    callbacks.on_train_begin()
    start = Place()
    if checkpoint is not None:
        restore(checkpoint, model, saver.callbacks)
        start = checkpoint.place
    if ranks:
        ranks.begin(model, variables_of(model), start)
    with _Stop(saver, ranks) as stop:
        for epoch in range(start.epoch, epochs):
            if model.stop_training:
                break
            first = start.step if epoch == start.epoch else 0
            if not first:
                model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            for number, batch in enumerate(batches.of_epoch(epoch, first), first):
                callbacks.on_train_batch_begin(number)
                logs = step(batch)
                _check_finite(logs, Place(epoch, number + 1), saver)
                callbacks.on_train_batch_end(number, logs)
                stop.or_save(Place(epoch, number + 1))
            results = _as_floats(model.get_metrics_result())
            with _averaged(model):
                if validation is not None:
                    results |= _validate(model, test, validation, ranks)
                callbacks.on_epoch_end(epoch, results)
            stop.or_save(Place(epoch + 1))
    model.optimizer.finalize_variable_values(model.trainable_variables)
    callbacks.on_train_end()


def _validate(model: Any, test: Any, source: Source, ranks: Ranks | None) -> dict[str, float]:
    model.reset_metrics()
    parts = list(batches_of(source))
    for numbers in parts[ranks.rank :: ranks.size] if ranks else parts:
        inputs, targets = source.take(numbers)
        test((fed(model, inputs), targets))
    if ranks:
        ranks.add_up(model.metrics_variables)
    results = _as_floats(model.get_metrics_result())
    # What is stopped for, and kept, is what the model is worth on examples.
    results["loss"] -= penalty(model)
    return {f"val_{name}": value for name, value in results.items()}


def _as_floats(logs: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}


def _check_finite(logs: Mapping[str, Any], place: Place, saver: Saver) -> None:
    loss = float(logs["loss"])
    if not math.isfinite(loss):
        last = f"The last checkpoint is of {saver.last}. " if saver.last else ""
        raise ZooError(
            f"The loss became {loss} at {place}. {last}Lower compile.optimizer.learning_rate or "
            "set compile.optimizer.global_clipnorm=1.0, and train again."
        )


@contextmanager
def _averaged(model: Any) -> Iterator[None]:
    """Put the moving average in place of the weights, where the optimizer keeps one."""
    # Mixed precision puts an optimizer around the optimizer.
    if not getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
        yield
        return
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    try:
        yield
    finally:
        swap.on_test_end()


class _Stop:
    """Turns Ctrl-C, and the SIGTERM of a machine that is taken away, into an end between steps.

    A second one is heard at once. Outside of the main thread Python knows no signals.
    """

    def __init__(self, saver: Saver, ranks: Ranks | None) -> None:
        self.saver = saver
        self.ranks = ranks
        self.asked = False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self.ranks:
            self.ranks.asked = True

    def or_save(self, place: Place) -> None:
        """Write a checkpoint if it is time for one, or if it is time to stop."""
        # Several processes stop after the same step.
        if not (self.ranks.agreed if self.ranks else self.asked):
            self.saver.save_if_due(place)
            return
        self.saver.save(place)
        raise KeyboardInterrupt(
            f"saved at {place}. Go on with `{resuming(self.saver.folder.parent)}`"
        )
