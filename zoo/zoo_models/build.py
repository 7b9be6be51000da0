"""From a name to a model: the arguments are checked, then the builder is called.

Keras itself is imported only by the builder.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.backend import check_backend
from zoo_models.calling import (
    call_builder,
    carried_over,
    check_overrides,
    check_task,
    load_builder,
    type_mistake,
)
from zoo_models.memory import check_memory
from zoo_registry.specs import ModelSpec, is_regression
from zoo_system.errors import UsageError, did_you_mean
from zoo_system.folders import INFO

# What a regression multiplies its logits by and adds to them.
SCALING = ("target_mean", "target_scale")
TRAINABLE = re.compile(r"(?P<part>all|head)|(?P<counted>last|lora):(?P<number>[1-9]\d*)")


def get_model(
    model: str | ModelSpec | None = None,
    /,
    *,
    name: str | ModelSpec | None = None,
    task: str | None = None,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    strict: bool = True,
    trainable: str = "all",
    labels: Sequence[str] | None = None,
    **overrides: Any,
) -> Any:
    """Build the model that a name stands for.

    Args:
        model: A registered name, ``owner/name``, or a spec.
        name: Of the ``keras.Model``, so that one graph can hold two of a kind; the builder's own by
            default. Alone, it is taken for ``model``.
        task: The head, one of the spec's tasks; the first one by default.
        num_classes: Size of the logits, for heads that have classes.
        weights: What to load: ``"pretrained"`` (where the spec says), a ``.keras``,
            ``.weights.h5``, ``.safetensors`` or ``.gguf`` file, the folder of a run or of a
            Hugging Face snapshot, ``hf://org/name[@revision]`` or ``kaggle://...``; ``None`` for
            fresh weights. The head of another task starts fresh, which is warned of.
        strict: Whether weights that are missing, left over or of another shape are an error; if
            not, what fits is loaded and a warning lists the rest. Either way the attribute
            ``zoo_weights`` of the model reports what was done, and holds the labels, the
            tokenizer and the preprocessing that the weights came with.
        trainable: What training may change: ``"all"``, ``"head"``, ``"last:2"`` (the head and
            the last two blocks) or ``"lora:8"`` (the head, and a LoRA adapter of rank 8 for every
            dense layer of the blocks; :func:`zoo.merge_lora` merges them).
        labels: Names of the classes, in the order of the logits: ``num_classes`` is their number,
            and a head that is loaded gives each class the row of its name; others start fresh.
        overrides: Arguments of the builder that replace the spec's defaults. A model that
            classifies, such as images, has the task ``image-regression`` too: its output ``value``
            is one value (or ``num_classes`` of them), the logits times ``target_scale`` plus
            ``target_mean``; and the task ``multi-label``, whose logits are a yes or a no each.

    Returns:
        An uncompiled functional ``keras.Model``; its attribute ``zoo_spec`` is the spec with the
        overrides merged into the defaults.

    Raises:
        UnknownNameError: No such model.
        UsageError: A task, override, type or weights that do not fit, or more weights than there
            is free memory (the environment variable ``KERAZOO_ANY_SIZE=1`` builds it anyway).
        PluginError: The builder of a plugin failed.

    Example:
        >>> model = get_model("mlp", input_shape=(4,), hidden_dims=(8,), num_classes=3)
        >>> model.count_params()
        67
    """
    check_backend()
    spec, name = _spec_and_name(model, name)
    part, number = check_trainable(trainable)
    if num_classes is not None:
        overrides["num_classes"] = num_classes
    if labels is not None and overrides.setdefault("num_classes", len(labels)) not in {
        len(labels),
        # One logit is for two classes, yes or no.
        len(labels) - 1 if len(labels) == 2 else None,
    }:
        raise UsageError(
            f"Model '{spec.name}': num_classes={overrides['num_classes']} for {len(labels)} labels."
        )
    scaling = _scaling(spec, task, overrides)
    overrides = check_overrides(spec, overrides)
    arguments = {**spec.defaults, **overrides}
    if spec.tasks:
        arguments["task"] = check_task(spec, task)
    elif task is not None:
        raise UsageError(f"Model '{spec.name}' offers no task: leave task='{task}' out.")
    checkpoint = None
    if weights is not None and _loads_itself(spec, weights):
        arguments["weights"] = weights
    elif weights is not None:
        from zoo_models.weights.opening import open_weights

        checkpoint = open_weights(spec, weights)
        arguments |= checkpoint.arguments(arguments, overrides)
    check_memory(spec, arguments)
    built = call_builder(spec, arguments)
    if name is not None:
        built.name = str(name)
    built.zoo_spec = replace(spec, defaults=arguments)
    if checkpoint is not None:
        built.zoo_weights = checkpoint.load(built, strict=strict, labels=labels)
    if trainable != "all":
        from zoo_models.finetuning import set_trainable

        set_trainable(built, part, number)
    return built if scaling is None else _scaled(built, **scaling)


def _spec_and_name(model: Any, name: Any) -> tuple[ModelSpec, str | None]:
    model, name = (name, None) if model is None else (model, name)
    if model is None:
        raise UsageError("get_model needs the name of a model: zoo.list_models() has all of them.")
    return zoo_registry.models.get(model) if isinstance(model, str) else model, name


def _scaling(spec: ModelSpec, task: str | None, overrides: dict[str, Any]) -> dict[str, Any] | None:
    """Take the mean and scale of a regression's targets out of the overrides.

    A model that has such a head of its own is left alone.
    """
    if task is None or not is_regression(task) or spec.head_of(task) in {task, None}:
        return None
    overrides.setdefault("num_classes", 1)
    wanted = {key: overrides.pop(key) for key in SCALING if key in overrides}
    hint = float | tuple[float, ...] | list[float]
    mistakes = [type_mistake(key, value, hint) for key, value in wanted.items()]
    if any(mistakes):
        raise UsageError(" ".join(mistake for mistake in mistakes if mistake))
    return {key.removeprefix("target_"): value for key, value in wanted.items()}


def _scaled(
    model: Any,
    mean: float | Sequence[float] = 0.0,
    scale: float | Sequence[float] = 1.0,
) -> Any:
    """Return a model whose output ``value`` is its logits times ``scale``, plus ``mean``.

    So the layers learn values around 0, whatever unit the targets have.

    Args:
        model: A functional model with one output.
        mean: Of the targets; one for each where the model has several logits.
        scale: Their standard deviation.

    Returns:
        A model on the same weights that gives ``value``, float32 (batch, values).

    Example:
        >>> import keras
        >>> inputs = keras.Input((1,))
        >>> logits = keras.layers.Dense(1, kernel_initializer="ones", name="logits")(inputs)
        >>> model = _scaled(keras.Model(inputs, logits), mean=20.0, scale=2.0)
        >>> float(model(keras.ops.ones((1, 1)))[0, 0]), model.output_names
        (22.0, ['value'])
    """
    import keras
    import numpy as np

    # The loss needs float32 under a mixed precision policy too.
    means, scales = np.broadcast_arrays(mean, scale)
    options = {"dtype": "float32", "name": "value"}
    if means.ndim == 0:
        rescale = keras.layers.Rescaling(scale, offset=mean, **options)
    else:
        # Rescaling would take numbers of each value for those of channels, and these for the first
        # axis where Keras' image_data_format is channels_first.
        statistics = {"mean": means.tolist(), "variance": np.square(scales).tolist()}
        rescale = keras.layers.Normalization(**statistics, invert=True, **options)
    return carried_over(model, keras.Model(model.input, rescale(model.output), name=model.name))


def check_trainable(trainable: str) -> tuple[str, int]:
    """Return ``all``, ``head``, ``last`` or ``lora`` with its number, 0 where there is none.

    Args:
        trainable: As for :func:`get_model`.

    Raises:
        UsageError: Another word.

    Example:
        >>> check_trainable("lora:8")
        ('lora', 8)
    """
    found = TRAINABLE.fullmatch(trainable)
    if found is None:
        hint = did_you_mean(trainable, ("all", "head", "last:2", "lora:8"))
        raise UsageError(
            f"trainable='{trainable}' is not one of: all, head, last:N, lora:RANK.{hint}"
        )
    return found["part"] or found["counted"], int(found["number"] or 0)


def _loads_itself(spec: ModelSpec, weights: str | Path) -> bool:
    # Builders of foreign models know where their weights are; our own files are ours to read.
    if str(weights).endswith((".keras", ".weights.h5")) or Path(weights, INFO).is_file():
        return False
    return "weights" in inspect.signature(load_builder(spec)).parameters
