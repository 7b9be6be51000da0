"""The training loop: ``keras.Model.fit`` step by step, so that it can stop and go on anywhere.

It is made of the public parts of Keras, and gives the weights that ``fit`` gives but for the order
in which gradients are added: a step gives the same bits whenever it runs.

TensorFlow adds the gradients of a tensor that is used three times or more with one ``AddN``, which
begins with the summand whose memory it may write the sum to: the first that no other operator still
reads. Which that is depends on how far other threads have come, and so does the last digit.
``tf.config.experimental.enable_op_determinism`` does not know of it. So gradients are added two at
a time here, whose order does not matter, and Grappler may not make one sum of several.
"""

from __future__ import annotations

import itertools
import math
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo_models.saved import fed
from zoo_recipes.arrays.sources import ArraySource, batches_of
from zoo_recipes.compiling.components import penalty
from zoo_recipes.compiling.keras_names import CLASS_LOSSES, bare_name
from zoo_recipes.configs import CompileConfig, Component
from zoo_recipes.distributed.cluster import Ranks
from zoo_recipes.recipe import Recipe
from zoo_recipes.training.batches import Batch, Batches
from zoo_recipes.training.checkpoints import Checkpoint, Position, Saver, restore, variables_of
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_runtime.run_info import resuming

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# With it Grappler marks the sums that it has been at, and lets such be. Without its other changes
# of arithmetic a transformer would take a quarter longer.
_SEEN = {"_grappler_ArithmeticOptimizer_AddOpsRewriteStage": tf.compat.v1.AttrValue(b=True)}
_FOR_CLASSES = {
    "compile.loss": CLASS_LOSSES,
    "compile.metrics": ("accuracy", "sparse_top_k_categorical_accuracy"),
}
# What Keras computes with class indices too, as if the batch were the classes.
_ONE_HOT = {"categoricalaccuracy", "onehotiou", "onehotmeaniou"}


def build_training(model: Any, source: ArraySource, config: CompileConfig) -> None:
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
    step: Callable[[Batch], Any],
    epochs: int,
    validation: ArraySource | None,
    checkpoint: Checkpoint | None,
    ranks: Ranks | None = None,
) -> None:
    """Train a model in place.

    Args:
        model: As :func:`build_training` left it.
        batches: Of the training split.
        callbacks: A ``keras.callbacks.CallbackList``.
        saver: Writes checkpoints.
        step: Trains on a batch and returns the metrics, as :func:`train_step` makes it.
        epochs: Times the training split is gone through.
        validation: Looked at after each epoch.
        checkpoint: Where to go on, or ``None``.
        ranks: The processes that train together, of which this is one.

    Raises:
        ZooError: The loss became infinite or not a number.
        KeyboardInterrupt: It was asked to stop, and has saved a checkpoint.
    """
    test = tf.function(model.test_step, jit_compile=model.jit_compile)
    model.stop_training = False
    callbacks.on_train_begin()
    start = Position()
    if checkpoint is not None:
        restore(checkpoint, model, saver.callbacks)
        start = checkpoint.position
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
                _check_finite(logs, Position(epoch, number + 1), saver)
                callbacks.on_train_batch_end(number, logs)
                stop.or_save(Position(epoch, number + 1))
            results = _as_floats(model.get_metrics_result())
            with _averaged(model):
                if validation is not None:
                    results |= _validate(model, test, validation, ranks)
                callbacks.on_epoch_end(epoch, results)
            stop.or_save(Position(epoch + 1))
    model.optimizer.finalize_variable_values(model.trainable_variables)
    callbacks.on_train_end()


def _validate(model: Any, test: Any, source: ArraySource, ranks: Ranks | None) -> dict[str, float]:
    model.reset_metrics()
    parts = list(batches_of(source))
    for indices in parts[ranks.rank :: ranks.size] if ranks else parts:
        inputs, targets = source.take(indices)
        test((fed(model, inputs), targets))
    if ranks:
        ranks.add_up(model.metrics_variables)
    results = _as_floats(model.get_metrics_result())
    # Early stopping and the best weights go by the loss of the examples alone.
    results["loss"] -= penalty(model)
    return {f"val_{name}": value for name, value in results.items()}


def _as_floats(logs: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}


def _check_finite(logs: Mapping[str, Any], position: Position, saver: Saver) -> None:
    loss = float(logs["loss"])
    if not math.isfinite(loss):
        last = f"The last checkpoint is of {saver.last}. " if saver.last else ""
        raise ZooError(
            f"The loss became {loss} at {position}. {last}Lower compile.optimizer.learning_rate or "
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

    A second one stops it immediately. Only the main thread of Python gets signals.
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

    def or_save(self, position: Position) -> None:
        """Write a checkpoint if it is time for one, or if it is time to stop."""
        # Several processes stop after the same step.
        if not (self.ranks.agreed if self.ranks else self.asked):
            self.saver.save_if_due(position)
            return
        self.saver.save(position)
        raise KeyboardInterrupt(
            f"saved at {position}. Go on with `{resuming(self.saver.folder.parent)}`"
        )


def train_step(model: Any) -> Callable[[Batch], Any]:
    """Return what trains on a batch and returns the metrics, as ``keras.Model.train_step`` does.

    Args:
        model: Compiled and built.
    """
    tracker = loss_tracker(model)

    def run(data: Batch) -> Any:
        gradients, loss = gradients_of(model, data)
        model.optimizer.apply_gradients(
            list(zip(gradients, model.trainable_variables, strict=True))
        )
        size = tf.shape(keras.tree.flatten(data[0])[0])[0]
        tracker.update_state(loss, sample_weight=size)
        return model.get_metrics_result()

    # No `reduce_retracing`: a graph for batches of any size rounds otherwise than one for this
    # size, and a training that goes on would not know which of them had been used.
    step: Callable[[Batch], Any] = tf.function(run, jit_compile=model.jit_compile, autograph=False)
    return step


def loss_tracker(model: Any) -> Any:
    """Return the metric that holds the mean loss of an epoch."""
    return next(metric for metric in model.metrics if metric.name == "loss")


def gradients_of(model: Any, data: Batch, factor: Any = None) -> tuple[list[Any], Any]:
    """Return the gradient of each trained variable, and the loss; the metrics are updated.

    Args:
        model: Compiled and built.
        data: Inputs, targets, and weights of the examples where there are such.
        factor: The loss is multiplied by it.

    Returns:
        ``None`` is in place of a gradient that the loss does not need. The gradients are scaled as
        the optimizer wants them, the loss is not.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    # TensorFlow has no public API for it.
    with tf.compat.v1.get_default_graph()._attr_scope(_SEEN):
        outputs = model(x, training=True)
        loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
        if factor is not None:
            loss *= tf.cast(factor, loss.dtype)
        gradients = tf.gradients(
            model.optimizer.scale_loss(loss),
            [variable.value for variable in model.trainable_variables],
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
    model.compute_metrics(x, y, outputs, sample_weight=weights)
    return gradients, loss


@contextmanager
def fitting(key: str, named: Sequence[Component], targets: Any, outputs: Any) -> Iterator[None]:
    """Say what targets and outputs are where Keras cannot compute with them.

    Args:
        key: Of the recipe.
        named: What it has there.
        targets: Of a batch; by name of the output where there are several.
        outputs: Of the model for it.

    Raises:
        UsageError: In place of what Keras or TensorFlow raises.
    """
    try:
        if _are_classes(targets, outputs):
            _check_one_hot(named)
        yield
    except (ValueError, TypeError, AssertionError, tf.errors.InvalidArgumentError) as error:
        names = ", ".join(f'"{component.name}"' for component in named)
        # TensorFlow frames its messages in the names of its kernels.
        reason = re.sub(r"{{.*?}} *| *\[Op:.*", "", str(error)).partition("\n")[0]
        fits = ""
        if _are_classes(targets, outputs):
            fits = f" Class indices go with: {', '.join(_FOR_CLASSES[key])}."
        raise UsageError(
            f"{key} = {names} does not fit targets of {_described(targets)} and outputs of "
            f"{_described(outputs)}: {reason.rstrip('.')}.{fits}"
        ) from error


def check_watched(recipe: Recipe, callbacks: Sequence[Any], metrics: Sequence[str]) -> None:
    """Refuse to watch a metric that the training does not have.

    Args:
        recipe: Says where the metric is named.
        callbacks: Of Keras; what those that have a ``monitor`` watch.
        metrics: Those of an epoch.

    Raises:
        UsageError: The closest of them, or all.
    """
    best = "fit.early_stopping.monitor" if recipe.fit.early_stopping else "fit.keep_best"
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if name is not None and name not in metrics:
            is_best = isinstance(callback, keras.callbacks.EarlyStopping)
            key = best if is_best else "fit.callbacks.monitor"
            hint = did_you_mean(name, metrics) or f" There are: {', '.join(metrics)}."
            raise UsageError(f'{key} = "{name}": the training has no such metric.{hint}')


def _are_classes(targets: Any, outputs: Any) -> bool:
    return not isinstance(targets, dict) and targets.dtype.kind in "iu" and outputs.shape[-1] > 1


def _check_one_hot(named: Sequence[Component]) -> None:
    for component in named:
        if bare_name(component.name) in _ONE_HOT:
            raise ValueError(f"{component.name} takes a 0 or 1 for each class")


def _described(arrays: Any) -> str:
    """Return dtype and shape of each, such as ``int32 (batch,)``."""
    found = []
    for array in keras.tree.flatten(arrays):
        sizes = ", ".join(["batch", *map(str, array.shape[1:])])
        comma = "," if len(array.shape) == 1 else ""
        found.append(f"{keras.backend.standardize_dtype(array.dtype)} ({sizes}{comma})")
    return ", ".join(found)
