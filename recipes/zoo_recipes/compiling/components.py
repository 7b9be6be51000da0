"""From names in a recipe to objects of Keras, through Keras' own registries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from zoo_models.saved import use_xla
from zoo_recipes.compiling import losses, schedules
from zoo_recipes.compiling.keras_names import (
    bare_name,
    check_numbers,
    classes,
    find,
    make,
    parameters,
)
from zoo_recipes.configs import (
    CompileConfig,
    Component,
    ContrastiveConfig,
    DistillationConfig,
)
from zoo_recipes.tasks import centernet
from zoo_recipes.tasks.contrasting import Contrastive, ViewAccuracy
from zoo_registry import UsageError, ZooError

# Keras' own: what it adds where it divides, or takes a logarithm.
EPSILON = 1e-7
# What a name may mean at each key of a recipe, as classes by bare name.
KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "compile.optimizer": lambda: classes(keras.optimizers, keras.Optimizer),
    "compile.schedule": lambda: (
        classes(keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule)
        | {"onecycle": schedules.OneCycle}
    ),
    "compile.loss": lambda: (
        classes(keras.losses, keras.Loss)
        | classes(losses, keras.Loss)
        | {centernet.NAME: centernet.centernet}
    ),
    "compile.metrics": lambda: classes(keras.metrics, keras.Metric) | {"f1micro": losses.MicroF1},
    "augmentation": lambda: classes(keras.layers, keras.layers.Layer),
    "fit.callbacks": lambda: classes(keras.callbacks, keras.callbacks.Callback),
}


@contextmanager
def usual_numbers() -> Iterator[None]:
    """Have losses, metrics and inputs in float32, whatever the user's settings of Keras are."""
    floatx, epsilon = keras.config.floatx(), keras.config.epsilon()
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(EPSILON)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_epsilon(epsilon)


def compile_arguments(
    config: CompileConfig,
    steps: int,
    outputs: Sequence[str] = ("logits",),
    distillation: DistillationConfig | None = None,
    contrastive: ContrastiveConfig | None = None,
) -> dict[str, Any]:
    """Return the arguments of ``keras.Model.compile``.

    Args:
        config: The recipe's table.
        steps: Batches of the whole training, for schedules.
        outputs: Names of the model's outputs; loss and metrics are those of each.
        distillation: Whether, and how, targets have a teacher's logits behind them.
        contrastive: Whether, and how, pairs of views are learned in place of targets.

    Raises:
        UsageError: A name that Keras does not have, or an argument that it does not take.
    """
    if contrastive is not None:
        loss, metrics = Contrastive(contrastive.temperature), [ViewAccuracy()]
    else:
        loss = make_loss(config.loss)
        metrics = make_metrics(config, outputs, always_counted=distillation is not None)
    if distillation is not None:
        loss = losses.Distilled(loss, distillation.temperature, distillation.weight)
    return {
        "optimizer": make_optimizer(config, steps),
        "loss": loss,
        "metrics": metrics,
        "jit_compile": use_xla(config.jit_compile),
    }


def precision(wanted: str) -> str:
    """Return the Keras dtype policy that ``compile.precision`` means on this machine.

    ``auto`` is ``mixed_bfloat16`` on NVIDIA's GPUs from Ampere on, ``mixed_float16`` on those from
    Volta on, and ``float32`` elsewhere: processors have no units for the others.
    """
    import tensorflow as tf

    if wanted != "auto":
        return wanted
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    oldest = min((d.get("compute_capability", (0, 0)) for d in details), default=(0, 0))
    if oldest >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if oldest >= (7, 0) else "float32"


def make_optimizer(config: CompileConfig, steps: int) -> Any:
    """Return the optimizer, with its learning-rate schedule if there is one."""
    arguments = dict(config.optimizer.arguments)
    kinds = KINDS["compile.optimizer"]()
    kind = find("compile.optimizer", kinds, config.optimizer.name)
    check_numbers("compile.optimizer", kind, arguments)
    accumulated = arguments.get("gradient_accumulation_steps") or 1
    if accumulated > steps:
        raise UsageError(
            f"compile.optimizer.gradient_accumulation_steps={accumulated}: the whole training has "
            f"{steps} steps, so no weight would ever change. Take fewer, or more epochs."
        )
    if config.schedule is not None:
        peak = arguments.get("learning_rate", 1e-3)
        # Keras asks it with the number of batches, also where their gradients are accumulated.
        arguments["learning_rate"] = _schedule(config.schedule, peak, steps)
    return make("compile.optimizer", kinds, config.optimizer.name, arguments)


def penalty(model: Any) -> float:
    """Return what the sizes of a model's weights cost, which Keras adds to the loss of examples.

    Args:
        model: A ``keras.Model``.
    """
    # `Model.losses` also holds what layers added in the graph of the last call, which is not a
    # number.
    regularized = [v for v in model.trainable_variables if v.regularizer is not None]
    return float(sum(float(v.regularizer(v)) for v in regularized))


def make_loss(loss: Component) -> Any:
    """Return the loss, or that of each output; ``from_logits`` is set unless the recipe sets it."""
    kinds = KINDS["compile.loss"]()
    name = _full_name(keras.losses, loss.name)
    takes_logits = "from_logits" in parameters(find("compile.loss", kinds, name))
    defaults = {"from_logits": True} if takes_logits else {}
    return make("compile.loss", kinds, name, {**defaults, **loss.arguments})


def make_metrics(
    config: CompileConfig, outputs: Sequence[str], *, always_counted: bool = False
) -> Any:
    """Return the metrics of the one output, or of each output by its name.

    Args:
        config: The recipe's table.
        outputs: Names of the model's outputs.
        always_counted: Whether ``accuracy`` has to take more than class indices for targets.
    """
    ignored = config.loss.arguments.get("ignore_class")
    is_smoothed = bare_name(config.loss.name) == "smoothedcrossentropy"
    is_counted = always_counted or is_smoothed or ignored is not None

    def made() -> list[Any]:
        # Keras fits a plain accuracy to the targets that it sees first.
        counted = partial(losses.CountedAccuracy, ignored) if is_counted else None
        return [make_metric(metric, counted) for metric in config.metrics]

    return made() if len(outputs) == 1 else {name: made() for name in outputs}


def make_metric(metric: Component, accuracy: Callable[[], Any] | None = None) -> Any:
    """Return the metric; plain ``accuracy`` is left to Keras, which fits it to the loss.

    Args:
        metric: Its name and arguments.
        accuracy: Makes what stands for plain ``accuracy``.
    """
    if bare_name(metric.name) == "accuracy" and not metric.arguments:
        return accuracy() if accuracy else "accuracy"
    kinds = KINDS["compile.metrics"]()
    arguments = {"name": metric.name, **metric.arguments}
    return make("compile.metrics", kinds, _full_name(keras.metrics, metric.name), arguments)


def make_augmentation(layer: Component) -> Any:
    """Return a random Keras image layer."""
    kinds = KINDS["augmentation"]()
    arguments = dict(layer.arguments)
    if "data_format" in inspect.signature(kinds.get(bare_name(layer.name), object)).parameters:
        # Ours are so whatever Keras' settings on this machine say.
        arguments.setdefault("data_format", "channels_last")
    return make("augmentation", kinds, layer.name, arguments)


# The callbacks of Keras that a run has no better way for.
CALLBACKS = ("ReduceLROnPlateau", "TensorBoard")
INSTEAD = {
    "BackupAndRestore": "every run can be gone on with: `zoo train --resume RUN`.",
    "CSVLogger": "every run writes history.csv.",
    "EarlyStopping": "write the table fit.early_stopping.",
    "LearningRateScheduler": "write compile.schedule.",
    "ModelCheckpoint": 'write fit.keep_best = "val_loss".',
    "SwapEMAWeights": "compile.optimizer.use_ema = true does so by itself.",
    "TerminateOnNaN": "every training stops at a loss that is not a number.",
}


def make_callback(callback: Component, folder: Path) -> Any:
    """Return a Keras callback.

    Args:
        callback: Its name and arguments.
        folder: Of the run: logs for TensorBoard go there.

    Raises:
        UsageError: A name or argument that does not exist, or what a run does by itself.
        ZooError: TensorBoard is not installed.
    """
    kinds = KINDS["fit.callbacks"]()
    kind = find("fit.callbacks", kinds, callback.name).__name__
    if kind not in CALLBACKS:
        hint = INSTEAD.get(kind, f"there are: {', '.join(CALLBACKS)}.")
        raise UsageError(f'fit.callbacks = "{callback.name}": {hint}')
    if kind != "TensorBoard":
        return make("fit.callbacks", kinds, kind, callback.arguments)
    if find_spec("tensorboard") is None:
        raise ZooError("TensorBoard is not installed: pip install 'kerazoo[tensorboard]'.")
    arguments = {"log_dir": "tensorboard", **callback.arguments}
    arguments["log_dir"] = str(folder / arguments["log_dir"])
    return make("fit.callbacks", kinds, kind, arguments)


def _schedule(schedule: Component, peak: float, steps: int) -> Any:
    arguments = dict(schedule.arguments)
    kinds = KINDS["compile.schedule"]()
    kind = find("compile.schedule", kinds, schedule.name)
    check_numbers("compile.schedule", kind, arguments)
    for key in ("decay_steps", "warmup_steps"):
        if key in arguments:
            arguments[key] = _counted(arguments[key], steps)
    if "boundaries" in arguments:
        arguments["boundaries"] = [_counted(part, steps) for part in arguments["boundaries"]]
    known = parameters(kind)
    warmup = arguments.get("warmup_steps", 0)
    if "warmup_steps" not in known:
        # A fraction of a few steps is none.
        arguments.pop("warmup_steps", None)
    elif warmup and "warmup_target" not in arguments:
        arguments |= {"initial_learning_rate": 0.0, "warmup_target": peak}
    if "initial_learning_rate" in known:
        arguments.setdefault("initial_learning_rate", peak)
    if "decay_steps" in known:
        arguments.setdefault("decay_steps", steps - warmup)
    made = make("compile.schedule", kinds, schedule.name, arguments)
    return made if "warmup_steps" in known or not warmup else schedules.WarmUp(made, warmup)


def _counted(amount: Any, steps: int) -> Any:
    # Up to 1 it is a fraction of all steps.
    is_fraction = isinstance(amount, int | float) and 0 < amount <= 1
    return round(amount * steps) if is_fraction else amount


def _full_name(registry: Any, name: str) -> str:
    # Keras knows the loss `mse` as a function, and the metric `mse` as an object.
    try:
        found = registry.get(name)
    except ValueError:
        return name
    return str(getattr(found, "__name__", type(found).__name__))
