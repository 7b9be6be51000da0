"""From a name to a model: the arguments are checked, then the builder is called.

Keras itself is imported only by the builder.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.model_changes import with_scale
from zoo_registry.entries import BUILTIN_OWNER
from zoo_registry.plugins import LOCAL_OWNER
from zoo_registry.specs import ModelSpec, is_regression, load_target
from zoo_registry.trial import guarded, one_line, seconds_by_name
from zoo_system.errors import PluginError, UsageError, ZooError, did_you_mean
from zoo_system.folders import INFO
from zoo_system.machine import free_bytes

# What `get_model` itself passes to a builder.
OWN = {"task", "weights"}
# What a regression multiplies its logits by and adds to them.
SCALING = ("target_mean", "target_scale")
# The room that knows Keras: named here as the registries name their tables.
OPEN_WEIGHTS = "zoo_models.weights:open_weights"
READ_TOKENIZER = "zoo_models.weights.tokenizer:read_tokenizer"
SET_TRAINABLE = "zoo_models.finetuning:set_trainable"
WEIGHT_BYTES = "zoo_models.sizing.abstract:weight_bytes"
FILE_BYTES = "zoo_models.sizing.abstract:file_bytes"
# Set to anything, models are built however much memory they take.
ANY_SIZE = "KERAZOO_ANY_SIZE"
# What Keras' settings may say, or it cannot be imported.
_SETTINGS = {
    "floatx": ("float32", "float16", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}
# What Keras raises of sizes that do not go together.
_OF_ARGUMENTS = (ValueError, TypeError, ZeroDivisionError, IndexError)
# Of the free memory; below it a model is not counted before it is built.
_SURELY_FITS = 0.25
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
            ``.weights.h5`` or ``.safetensors`` file, the folder of a run or of a Hugging Face
            snapshot, ``hf://org/name[@revision]`` or ``kaggle://...``; ``None`` for fresh
            weights. The head of another task starts fresh, which is warned of.
        strict: Whether weights that are missing, left over or of another shape are an error; if
            not, what fits is loaded and a warning lists the rest. Either way the attribute
            ``zoo_weights`` of the model reports what was done, and holds the labels, the
            tokenizer and the preprocessing that the weights came with.
        trainable: What training may change: ``"all"``, ``"head"``, ``"last:2"`` (the head and
            the last two blocks) or ``"lora:8"`` (the head, and a correction of rank 8 to every
            dense layer of the blocks; :func:`zoo.merge_lora` adds it up).
        labels: Names of the classes, in the order of the logits: ``num_classes`` is their number,
            and a head that is loaded gives each class the row of its name; others start fresh.
        overrides: Arguments of the builder that replace the spec's defaults. A model that
            classifies, such as images, has the task ``image-regression`` too: its output ``value``
            is one number (or ``num_classes`` of them), the logits times ``target_scale`` plus
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
        # One logit is the answer yes or no.
        len(labels) - 1 if len(labels) == 2 else None,
    }:
        raise UsageError(
            f"Model '{spec.name}': num_classes={overrides['num_classes']} for {len(labels)} labels."
        )
    scaling = _scaling(spec, task, overrides)
    overrides = check_overrides(spec, overrides)
    arguments = {**spec.defaults, **overrides}
    if spec.tasks:
        arguments["task"] = _check_task(spec, task)
    elif task is not None:
        raise UsageError(f"Model '{spec.name}' offers no task: leave task='{task}' out.")
    checkpoint = None
    if weights is not None and _loads_itself(spec, weights):
        arguments["weights"] = weights
    elif weights is not None:
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
        load_target(SET_TRAINABLE)(built, part, number)
    return built if scaling is None else _scaled(built, scaling)


def _spec_and_name(model: Any, name: Any) -> tuple[ModelSpec, str | None]:
    model, name = (name, None) if model is None else (model, name)
    if model is None:
        raise UsageError("get_model needs the name of a model: zoo.list_models() has all of them.")
    return zoo_registry.models.get(model) if isinstance(model, str) else model, name


def check_backend() -> None:
    """Refuse another backend of Keras than TensorFlow, of which all exports are made.

    Raises:
        UsageError: ``KERAS_BACKEND``, Keras' settings, or Keras itself where it is imported, name
            another one.
    """
    keras: Any = sys.modules.get("keras")
    if hasattr(keras, "config"):
        backend, where = keras.config.backend(), "Keras is running on it"
    elif "KERAS_BACKEND" in os.environ:
        backend, where = os.environ["KERAS_BACKEND"], "KERAS_BACKEND says so"
    else:
        settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "keras.json")
        backend, where = _backend_in(settings), f"'{settings}' says so"
    if backend and backend != "tensorflow":
        raise UsageError(
            f"Kerazoo builds, trains and exports with Keras on TensorFlow, not on '{backend}' "
            f"({where}): set KERAS_BACKEND=tensorflow before Python starts."
        )


def _backend_in(settings: Path) -> str:
    """Return the backend that Keras' settings name, if they are settings that Keras takes."""
    try:
        held = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras itself goes on without them
        return ""
    if not isinstance(held, dict):
        raise UsageError(f"'{settings}' must hold an object: correct it, or remove it.")
    for key, taken in _SETTINGS.items():
        if held.get(key, taken[0]) not in taken:
            raise UsageError(
                f"'{settings}': {key} is {held[key]!r}, and Keras takes {', '.join(taken)}: "
                "correct it, or remove the file."
            )
    return str(held.get("backend", ""))


def _scaling(spec: ModelSpec, task: str | None, overrides: dict[str, Any]) -> dict[str, Any] | None:
    """Take what moves and stretches the numbers of a regression out of the overrides.

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


def _scaled(model: Any, scaling: Mapping[str, Any]) -> Any:
    made = with_scale(model, **scaling)
    for name in ("zoo_spec", "zoo_weights"):
        if hasattr(model, name):
            setattr(made, name, getattr(model, name))
    return made


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


def read_tokenizer(spec: ModelSpec, weights: str | Path) -> Any:
    """Return the ``tokenizers.Tokenizer`` that weights come with.

    Args:
        spec: The model that is to take the weights.
        weights: As for :func:`get_model`.

    Raises:
        UsageError: There is none.
    """
    return load_target(READ_TOKENIZER)(open_weights(spec, weights).folder)


def open_weights(spec: ModelSpec, weights: str | Path) -> Any:
    """Return the ``zoo_models.weights.Checkpoint`` that ``weights`` stands for; nothing is loaded yet.

    Args:
        spec: The model that is to take them.
        weights: As for :func:`get_model`.

    Raises:
        UsageError: There is no such thing, or it is not for this model.
    """
    return load_target(OPEN_WEIGHTS)(spec, weights)


def _loads_itself(spec: ModelSpec, weights: str | Path) -> bool:
    # Builders of foreign models know where their weights are; our own files are ours to read.
    if str(weights).endswith((".keras", ".weights.h5")) or Path(weights, INFO).is_file():
        return False
    return "weights" in inspect.signature(load_builder(spec)).parameters


def check_memory(spec: ModelSpec, arguments: Mapping[str, Any]) -> None:
    """Refuse a model whose weights are larger than the free memory, before any is allocated.

    Args:
        spec: The model.
        arguments: Of its builder, task and weights among them.

    Raises:
        UsageError: It is too large. The environment variable ``KERAZOO_ANY_SIZE`` lets it pass.
    """
    free = free_bytes()
    if free is None or os.environ.get(ANY_SIZE):
        return
    if 4 * _at_most(spec, arguments) < _SURELY_FITS * free:
        return
    needed = load_target(WEIGHT_BYTES)(spec, arguments)
    if needed > free:
        raise UsageError(
            f"Model '{spec.name}' has {_amount(needed)} of weights, and {_amount(free)} of memory "
            f"are free: choose a smaller model, or set {ANY_SIZE}=1 to build it all the same."
        )


def check_file_memory(path: Path) -> None:
    """Refuse a ``.keras`` file whose model is larger than the free memory, before it is loaded.

    Args:
        path: The file; one that is not there, or damaged, passes.

    Raises:
        UsageError: It is too large. The environment variable ``KERAZOO_ANY_SIZE`` lets it pass.
    """
    free = free_bytes()
    if free is None or os.environ.get(ANY_SIZE) or not path.is_file():
        return
    needed = load_target(FILE_BYTES)(path)
    if needed > free:
        raise UsageError(
            f"The model of '{path}' has {_amount(needed)} of weights, and {_amount(free)} of "
            f"memory are free. {ANY_SIZE}=1 loads it all the same."
        )


def _amount(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _at_most(spec: ModelSpec, arguments: Mapping[str, Any]) -> float:
    """Return more parameters than a model has.

    It is the number of its defaults, times how much each size grew; squared, as widths count twice
    in a product.
    """
    known = {name: p.default for name, p in accepted_overrides(load_builder(spec)).items()}
    usual = {**known, **spec.defaults}
    count = float(spec.num_params or 0)
    for name, value in arguments.items():
        before = usual.get(name)
        if _is_count(value) and _is_count(before):
            count *= max(1.0, _total(value) / _total(before)) ** 2
    return count


def _is_count(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return bool(values) and all(type(item) is int and item > 0 for item in values)


def _total(value: Any) -> int:
    return sum(value) if isinstance(value, tuple) else int(value)


def accepted_overrides(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword arguments that a builder takes beside task and weights, by name."""
    parameters = inspect.signature(builder).parameters.values()
    kinds = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return {p.name: p for p in parameters if p.kind in kinds and p.name not in OWN}


def check_overrides(spec: ModelSpec, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides as the builder takes them, lists as tuples; nothing is built.

    Args:
        spec: The model.
        overrides: Arguments of its builder.

    Raises:
        UsageError: All the mistakes, with the arguments that are accepted.
        PluginError: The builder of a plugin cannot be imported.
    """
    builder = load_builder(spec)
    overrides = {key: _tuples(value) for key, value in overrides.items()}
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(builder).parameters.values()):
        return overrides
    accepted = accepted_overrides(builder)
    hints = typing.get_type_hints(builder)
    mistakes = [
        f"no override '{key}'.{did_you_mean(key, accepted)}"
        if key not in accepted
        else type_mistake(key, value, hints.get(key, Any))
        for key, value in overrides.items()
    ]
    found = [mistake for mistake in mistakes if mistake]
    if found:
        raise UsageError(
            f"Model '{spec.name}': {' '.join(found)} Accepted: {', '.join(sorted(accepted))}."
        )
    return overrides


def load_builder(spec: ModelSpec) -> Callable[..., Any]:
    """Import the builder of a model and return it; one of a plugin is held as a plugin is.

    Raises:
        PluginError: A plugin's cannot be imported, or ends the process that imports it.
    """
    held = _held(spec, seconds_by_name())
    try:
        with held:
            return spec.load_builder()
    except Exception as error:
        raise _plugin_failure(spec, "cannot be imported", error) from error


def call_builder(spec: ModelSpec, arguments: Mapping[str, Any]) -> Any:
    """Return the model of a builder; one of a plugin is held as a plugin is.

    Args:
        spec: The model.
        arguments: All that its builder is given.

    Raises:
        UsageError: Arguments that a builder of ours refuses.
        PluginError: A plugin's builder failed, or returned no model.
    """
    try:
        with _held(spec):
            model = load_builder(spec)(**arguments)
    except ZooError:
        raise
    except Exception as error:
        if _is_ours(spec):
            raise _refused(spec, error) from error
        raise _plugin_failure(spec, "failed", error) from error
    if not hasattr(model, "count_params"):
        wrong = TypeError(f"it returned a {type(model).__name__}, not a keras.Model")
        raise _plugin_failure(spec, "failed", wrong)
    return model


def _refused(spec: ModelSpec, error: Exception) -> Exception:
    """Return what is said of arguments that no check of ours knows; other failures as they are."""
    is_builtin = spec.origin is not None and spec.origin.distribution == BUILTIN_OWNER
    if not is_builtin or not isinstance(error, _OF_ARGUMENTS):
        return error
    return UsageError(f"Model '{spec.name}' cannot be built with these arguments: {error}")


def _held(spec: ModelSpec, seconds: float | None = None) -> AbstractContextManager[None]:
    if spec.origin is None or _is_ours(spec):
        return nullcontext()
    return guarded(spec.origin.distribution, seconds=seconds)


def _is_ours(spec: ModelSpec) -> bool:
    return spec.origin is None or spec.origin.distribution in {BUILTIN_OWNER, LOCAL_OWNER}


def _plugin_failure(spec: ModelSpec, what: str, error: Exception) -> PluginError:
    source = ""
    if spec.origin:
        source = f" of '{spec.origin.distribution}' {spec.origin.version}".rstrip()
        zoo_registry.models.record_problem(spec.name, spec.origin, error)
    return PluginError(
        f"The builder {spec.target} of model '{spec.name}'{source} {what}: {one_line(error)}"
    )


def _check_task(spec: ModelSpec, task: str | None) -> str:
    if task is None:
        return str(spec.defaults.get("task", spec.tasks[0]))
    head = spec.head_of(task)
    if head is None:
        raise UsageError(
            f"Model '{spec.name}' has no task '{task}'.{did_you_mean(task, spec.tasks)} "
            f"It has: {', '.join(spec.tasks)}."
        )
    return head


def type_mistake(key: str, value: Any, hint: Any) -> str | None:
    """Return what is wrong with an argument of another type than wanted, or ``None``.

    Args:
        key: Its name.
        value: What was received; no text is a number, and no number is a text.
        hint: The type.

    Example:
        >>> type_mistake("rate", "abc", float)
        "rate='abc' must be float (input should be a valid number)."
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        first = error.errors()[0]
        return f"{key}={value!r} must be {wanted} ({first['msg'].lower()})."
    return None


def _tuples(value: Any) -> Any:
    # TOML, JSON and the command line have lists where builders name tuples.
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    return value
