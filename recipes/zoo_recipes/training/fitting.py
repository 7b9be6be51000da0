"""Building, compiling and fitting the model of a recipe, and what is shown of it."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import zoo_registry
from zoo_models.build import SCALING, get_model
from zoo_models.calling import accepted_overrides, load_builder
from zoo_models.finetuning import merge_lora
from zoo_models.quantization import quantization_aware
from zoo_models.saved import fed
from zoo_recipes.arrays.sources import ArraySource
from zoo_recipes.augmentation.changes import TextMarks
from zoo_recipes.compiling.components import (
    compile_arguments,
    make_callback,
    precision,
    usual_numbers,
)
from zoo_recipes.compiling.keras_names import is_cost
from zoo_recipes.distributed.cluster import Ranks
from zoo_recipes.distributed.steps import shared_step, together
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import HISTORY, OnEpoch, write_json
from zoo_recipes.tasks.contrasting import with_projection
from zoo_recipes.training.batches import Batches, class_weights, make_teaching
from zoo_recipes.training.checkpoints import Checkpoint, Saver
from zoo_recipes.training.checks import check_vocabulary
from zoo_recipes.training.loop import build_training, check_watched, train_epochs, train_step
from zoo_registry.specs import is_regression
from zoo_runtime.run_info import ModelInfo, WeightsInfo
from zoo_runtime.trained import Trained
from zoo_system import folders
from zoo_system.durable import write_text


@usual_numbers()
def build(
    recipe: Recipe,
    task: str,
    labels: Sequence[str] | None,
    tokenizer: Any,
    sizes: Mapping[str, Any] | None = None,
) -> Any:
    """Return the recipe's model with fresh weights that follow from its seed.

    Args:
        recipe: The recipe.
        task: The head.
        labels: Names of the classes; their number is ``num_classes`` where the recipe has none.
        tokenizer: Its size is ``vocab_size`` where the recipe has none.
        sizes: Other arguments that follow from the data where the recipe has none.
    """
    spec = zoo_registry.models.get(recipe.model.name)
    overrides = dict(recipe.model.overrides)
    accepted = accepted_overrides(load_builder(spec))
    taken = {*accepted, *(SCALING if is_regression(task) else ())}
    overrides = {k: v for k, v in (sizes or {}).items() if k in taken} | overrides
    if "num_classes" not in accepted or overrides.get("num_classes") not in (None, _count(labels)):
        labels = None  # targets without an output are reported by check_targets
    fresh = recipe.model.weights is None
    if tokenizer is not None and fresh and "vocab_size" in accepted:
        overrides.setdefault("vocab_size", tokenizer.get_vocab_size())
    if tokenizer is not None and "vocab_size" in accepted:
        known = overrides.get("vocab_size", spec.defaults.get("vocab_size"))
        check_vocabulary(spec.name, known, tokenizer.get_vocab_size())
    keras.utils.set_random_seed(recipe.seed)
    with _precision(recipe.compile.precision):
        model = get_model(
            spec,
            task=task or None,
            weights=recipe.model.weights,
            trainable=recipe.model.trainable,
            labels=labels,
            **overrides,
        )
        return quantization_aware(model) if recipe.compile.quantization_aware else model


def _count(labels: Sequence[str] | None) -> int | None:
    return None if labels is None else len(labels)


def model_info(recipe: Recipe, model: Any) -> ModelInfo:
    """Return what ``run.json`` records of the model, before it is trained."""
    saved = [v for v in model.weights if not v.name.startswith("lora_")]
    loaded = getattr(model, "zoo_weights", None)
    weights = WeightsInfo(source=loaded.source, sha256=dict(loaded.sha256)) if loaded else None
    return ModelInfo(
        name=recipe.model.name,
        num_params=size_of(saved),
        num_trained=size_of(model.trainable_variables),
        precision=precision(recipe.compile.precision),
        weights=weights,
    )


@usual_numbers()
def fit(
    model: Any,
    recipe: Recipe,
    sources: Mapping[str, ArraySource],
    folder: Path,
    *,
    labels: Sequence[str] | None,
    marks: TextMarks,
    verbose: bool,
    checkpoint_seconds: float,
    teacher: Trained | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    ranks: Ranks | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Train a model in place and return the metrics of each epoch.

    Args:
        model: As :func:`build` returned it.
        recipe: The recipe.
        sources: Those of ``train`` and, where there is one, ``validation``.
        folder: Of the run.
        labels: Names of the classes.
        marks: What the tokenizer puts into every text.
        verbose: Whether progress is shown.
        checkpoint_seconds: Least time between two checkpoints.
        teacher: Whom the recipe's distillation names.
        checkpoint: Where to go on.
        on_epoch: Called with the index and the metrics of each epoch.
        ranks: The processes that train together, of which this is one.
        on_step: Called after each step.

    Raises:
        UsageError: A loss or metrics that do not go with the targets, or a metric that is watched
            and does not exist.
        ZooError: The loss became infinite or not a number.
    """
    distillation, contrastive = recipe.distillation, recipe.contrastive
    if contrastive is not None:
        # It has the layers of the model, which are what is trained and saved.
        model = with_projection(model, contrastive, recipe.seed)
    batches = Batches(
        sources["train"],
        batch_size=recipe.fit.batch_size,
        seed=recipe.seed,
        augmentation=recipe.augmentation,
        marks=marks,
        feed=lambda inputs: fed(model, inputs),
        class_weights=_class_weights(recipe, sources["train"], labels),
        sampling=recipe.fit.sampling,
        num_classes=model.outputs[0].shape[-1],
        teach=make_teaching(teacher, distillation, model, labels, folder / folders.ASSETS)
        if teacher and distillation
        else None,
    )
    steps = recipe.fit.epochs * len(batches)
    model.compile(
        **compile_arguments(recipe.compile, steps, model.output_names, distillation, contrastive)
    )
    build_training(model, sources["train"], recipe.compile)
    counting = _counting(recipe, folder)
    check_watched(recipe, counting, _metrics_of_an_epoch(model, sources))
    # After building, which draws as many numbers as the model has layers.
    keras.utils.set_random_seed(recipe.seed)
    history = checkpoint.history if checkpoint else {}
    watching = keras.callbacks.LambdaCallback(
        on_epoch_end=on_epoch, on_train_batch_end=lambda batch, logs: on_step()
    )
    with _progress(verbose, model, checkpoint) as shown, together(model, ranks):
        callbacks = keras.callbacks.CallbackList(
            [*counting, Recorder(history, folder), *shown, watching],
            model=model,
            epochs=recipe.fit.epochs,
            steps=len(batches),
        )
        train_epochs(
            model,
            batches,
            callbacks,
            Saver(folder, model, counting, history, checkpoint_seconds),
            step=shared_step(model, ranks) if ranks else train_step(model),
            epochs=recipe.fit.epochs,
            validation=sources.get("validation"),
            checkpoint=checkpoint,
            ranks=ranks,
        )
    if verbose:
        _say_which_epoch(counting, len(history["loss"]))
    return history


def _say_which_epoch(callbacks: Sequence[Any], epochs: int) -> None:
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.best is not None:
            kept = f"{callback.best_epoch + 1} of {epochs}, {callback.monitor} {callback.best:.4f}"
            Console(stderr=True).print(f"kept: epoch {kept}", highlight=False, soft_wrap=True)


def save_model(model: Any, path: Path) -> None:
    """Write a trained model without its optimizer, which weighs twice as much as the weights.

    It has the plain architecture, and nothing of it is frozen; ``model`` is not frozen after it.
    """
    merged = merge_lora(model)
    for layer in merged.layers:
        layer.trainable = True  # a clone's variables keep what they were made with
    final = keras.models.clone_model(merged)
    final.set_weights(merged.get_weights())
    final.save(path)


def size_of(variables: Iterable[Any]) -> int:
    """Return how many numbers variables hold."""
    return sum(math.prod(variable.shape) for variable in variables)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _progress(verbose: bool, model: Any, checkpoint: Checkpoint | None) -> Iterator[list[Any]]:
    if not verbose:
        yield []
        return
    console = Console(stderr=True)
    trained, total = size_of(model.trainable_variables), size_of(model.weights)
    trainable = f"{trained:,} of {total:,} parameters ({trained / total:.1%})"
    where = f", going on at {checkpoint.position}" if checkpoint else ""
    console.print(f"training {trainable}{where}", highlight=False, soft_wrap=True)
    shown = ProgressBar(console) if console.is_terminal else ProgressLines(console)
    try:
        yield [shown]
    finally:
        shown.close()


def _class_weights(recipe: Recipe, source: ArraySource, labels: Sequence[str] | None) -> Any:
    setting = recipe.fit.class_weight
    return None if setting is None else class_weights(setting, source.targets, labels)


def _metrics_of_an_epoch(model: Any, sources: Mapping[str, ArraySource]) -> list[str]:
    names = [*model.get_metrics_result()]
    return [*names, *(f"val_{name}" for name in names if "validation" in sources)]


def _counting(recipe: Recipe, folder: Path) -> list[Any]:
    """Return the callbacks that count epochs, with the direction of what they monitor."""
    found = [*_keep_best(recipe), *(make_callback(c, folder) for c in recipe.fit.callbacks)]
    for callback in found:
        # Keras knows it of few metrics, and of none of a single output among several.
        if getattr(callback, "mode", None) == "auto":
            callback.mode = "min" if is_cost(callback.monitor) else "max"
    return found


def _keep_best(recipe: Recipe) -> list[Any]:
    stopping, best = recipe.fit.early_stopping, recipe.fit.keep_best
    if stopping is not None:
        monitor, patience = stopping.monitor, stopping.patience
    elif best is not None:
        monitor, patience = best, recipe.fit.epochs
    else:
        return []
    return [
        keras.callbacks.EarlyStopping(monitor=monitor, patience=patience, restore_best_weights=True)
    ]


class Recorder(keras.callbacks.Callback):
    """Writes the metrics of all epochs after each of them.

    Args:
        history: By name; added to.
        folder: Of the run.
    """

    def __init__(self, history: dict[str, list[float]], folder: Path) -> None:
        super().__init__()
        self.history = history
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Add an epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        write_json(self.folder / HISTORY, self.history)
        rows = zip(*self.history.values(), strict=True)
        lines = [[*self.history], *([f"{value:.6g}" for value in row] for row in rows)]
        text = "".join(",".join(line) + "\n" for line in lines)
        write_text(self.folder / "history.csv", text)


class ProgressBar(keras.callbacks.Callback):
    """A bar with metrics and the time left, for terminals.

    Args:
        console: Where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Start at nothing."""
        self.steps = self.params["steps"]
        total = self.params["epochs"] * self.steps
        self.task = self.progress.add_task("", total=total, metrics="")
        self.progress.start()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say which epoch it is."""
        self.done = epoch * self.steps
        text = f"epoch {epoch + 1}/{self.params['epochs']}"
        self.progress.update(self.task, description=text)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Move on."""
        completed = self.done + batch + 1
        self.progress.update(self.task, completed=completed, metrics=metrics_line(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Show the metrics of validation too."""
        self.progress.update(self.task, metrics=metrics_line(logs))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Leave the finished bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after a failure."""
        self.progress.stop()


class ProgressLines(keras.callbacks.Callback):
    """A line an epoch, for logs and pipes; in a notebook one line, which is written over.

    Args:
        console: Where it is written.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.began: float | None = None
        self.longest = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock, in the first epoch: a training that goes on has it later."""
        if self.began is None:
            self.began, self.first = time.perf_counter(), epoch

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the line."""
        spent = time.perf_counter() - (self.began or 0)
        left = spent / (epoch + 1 - self.first) * (self.params["epochs"] - epoch - 1)
        line = f"epoch {epoch + 1}/{self.params['epochs']}  {metrics_line(logs)}  {left:.0f} s left"
        if not self.console.is_jupyter:
            self.console.print(line, highlight=False, soft_wrap=True)
            return
        self.longest = max(self.longest, len(line))
        sys.stdout.write(f"\r{line:<{self.longest}}")
        sys.stdout.flush()

    def close(self) -> None:
        """End the line of a notebook."""
        if self.longest:
            sys.stdout.write("\n")


def metrics_line(logs: Mapping[str, Any] | None) -> str:
    """Return metrics as ``loss 0.123  accuracy 0.987``.

    Example:
        >>> metrics_line({"loss": 0.1234567, "accuracy": 1})
        'loss 0.1235  accuracy 1.0000'
    """
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
