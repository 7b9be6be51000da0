"""All the mistakes of a recipe at once: each setting by itself, and those that contradict."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import zoo_registry
from zoo_models.build import check_trainable
from zoo_recipes.augmentation.mixing import MIXES, moving_mistakes
from zoo_recipes.custom_data.files import is_path
from zoo_registry import DuplicateNameError, UnknownNameError, UsageError, did_you_mean
from zoo_system.folders import is_plain_name

# train, train[:80%], train[:-5]+test, train[10%:20%]: tensorflow-datasets' slicing syntax.
_PART = r"[\w.-]+(\[-?\d*%?:-?\d*%?\])?"
_SPLIT = re.compile(rf"{_PART}(\+{_PART})*")
MASKS_TOKENS = ("masked-lm", "pretraining")
DETECTION, DETECTION_LOSS = "object-detection", "centernet"


def validated(kind: Any, data: Mapping[str, Any]) -> Any:
    """Return the recipe that plain data describe.

    Args:
        kind: The dataclass of recipes.
        data: TOML-shaped.

    Raises:
        UsageError: Every mistake, one a line.
    """
    from pydantic import ValidationError

    recipe: Any = None
    mistakes: list[str] = []
    try:
        # As JSON, where strict means types and yet a list may fill a tuple.
        recipe = _adapter(kind).validate_json(json.dumps(_with_components(data), default=str))
    except ValidationError as error:
        mistakes += [_mistake(kind, details) for details in error.errors()]
    mistakes += [*_name_mistakes(data), *_step_mistakes(data), *_split_mistakes(data)]
    mistakes += contradictions(data)
    if mistakes or recipe is None:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise UsageError(f"Recipe '{data.get('name')}' has {count}:{lines}")
    return recipe


def _with_components(data: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(data)
    if isinstance(data.get("compile"), Mapping):
        compile_config = dict(data["compile"])
        for key in {"optimizer", "schedule", "loss", "metrics"} & set(compile_config):
            compile_config[key] = _components(compile_config[key])
        result["compile"] = compile_config
    if isinstance(data.get("fit"), Mapping) and "callbacks" in data["fit"]:
        result["fit"] = {**data["fit"], "callbacks": _components(data["fit"]["callbacks"])}
    if "augmentation" in data:
        result["augmentation"] = _components(data["augmentation"])
    return result


def _components(value: Any) -> Any:
    # A name, or one table of the name and the arguments, as users write it.
    if isinstance(value, list | tuple):
        return [_components(item) for item in value]
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping):
        named = {"name": value["name"]} if "name" in value else {}
        return {**named, "arguments": {k: v for k, v in value.items() if k != "name"}}
    return value


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _mistake(kind: Any, details: Mapping[str, Any]) -> str:
    path = [part for part in details["loc"] if not str(part).startswith("function-")]
    where = ".".join(str(part) for part in path)
    if details["type"] == "missing":
        return f"{where}: is missing."
    received = f"{where} = {_shown(details['input'])}"
    if details["type"] == "unexpected_keyword_argument":
        known = _known_keys(kind, path[:-1])
        hint = did_you_mean(str(path[-1]), known) or f" There are: {', '.join(known)}."
        return f"{received}: there is no such key.{hint}"
    return f"{received}: {details['msg'].replace('Input should', 'it should')}."


def _known_keys(config: Any, path: list[str | int]) -> list[str]:
    for part in path:
        if not isinstance(part, str):
            continue
        hint = get_type_hints(config).get(part, config)
        config = next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), config)
    return [field.name for field in fields(config)]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _name_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    if not is_plain_name(data.get("name")):
        yield (
            f"name = {_shown(data.get('name'))}: it is the name of folders, such as runs/NAME: "
            "leave out '/', '\\', ':' and a '.' at its beginning."
        )
    model, dataset = table(data, "model"), table(data, "dataset")
    name = model.get("name")
    if isinstance(name, str):
        try:
            spec = zoo_registry.models.peek(name)
        except (UnknownNameError, DuplicateNameError) as error:
            yield f'model.name = "{name}": {error}'
        else:
            yield from _task_mistakes(spec, model.get("task"))
            if spec is not None and spec.tasks:
                yield from loss_mistakes(data, model.get("task") or spec.tasks[0])
    if isinstance(dataset.get("name"), str):
        yield from _dataset_mistakes(dataset["name"])


def _task_mistakes(spec: Any, task: Any) -> Iterator[str]:
    # A plugin's spec is not imported to validate a recipe: building the model checks it.
    if spec is not None and isinstance(task, str) and spec.head_of(task) is None:
        hint = did_you_mean(task, spec.tasks) or f" It has: {', '.join(spec.tasks)}."
        yield f"model.task = \"{task}\": model '{spec.name}' has no such task.{hint}"


def _dataset_mistakes(name: str) -> Iterator[str]:
    if is_path(name):
        return  # a run is read when its data are gone, too: opening them says so
    bare = re.split(r"[/:]", name)[0]
    ours = zoo_registry.datasets
    # `huggingface:org/name`: those are not known without the network.
    of_community = re.match(r"\w+:[A-Za-z]", name)
    if name in ours or bare in ours or of_community or bare in _tfds_names():
        return
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if bare not in known:
        hint = did_you_mean(name, [*ours.names(), *known])
        if os.path.exists(name):  # noqa: PTH110 - of any text
            hint = f' Your own data are written "./{name}".'
        yield (
            f'dataset.name = "{name}": neither Kerazoo nor tensorflow-datasets has it.{hint} '
            f"Ours: {', '.join(ours.names())}."
        )


@cache
def _tfds_names() -> frozenset[str]:
    # Most names are those of files in the package: reading them spares its import, two seconds.
    from importlib.util import find_spec

    package = find_spec("tensorflow_datasets")
    folders = (package.submodule_search_locations or []) if package else []
    patterns = ("datasets/*", "text/*", "url_checksums/*")
    found = (
        path for folder in folders for pattern in patterns for path in Path(folder).glob(pattern)
    )
    return frozenset(path.stem for path in found)


def _step_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    from zoo_runtime.preprocess import as_step

    steps = data.get("preprocessing")
    for index, step in enumerate(steps if isinstance(steps, list | tuple) else ()):
        if not isinstance(step, Mapping):
            continue
        try:
            as_step(step)
        except UsageError as error:
            yield f"preprocessing.{index}: {error}"
        if step.get("step") == "tokenize" and "tokenizer" not in data:
            yield f"preprocessing.{index}: step 'tokenize' needs the table [tokenizer]."


def _split_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    dataset = table(data, "dataset")
    for key in ("train", "validation", "test"):
        split = dataset.get(key)
        if isinstance(split, str) and not _SPLIT.fullmatch(split):
            yield (
                f'dataset.{key} = "{split}": is not a split, such as "train", "train[:90%]" '
                'or "train+test".'
            )


def contradictions(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a recipe in which every setting by itself may be right.

    Args:
        data: TOML-shaped.
    """
    yield from _fit_mistakes(data)
    yield from _weights_mistakes(data)
    yield from _mixing_mistakes(data)
    yield from _detection_mistakes(data)
    yield from _tune_mistakes(data)
    yield from _masking_mistakes(data)
    yield from _contrastive_mistakes(data)
    if table(data, "distillation") and _augmentations(data).keys() & MIXES.keys():
        yield "distillation: mixed images have no one class; leave mix_up and cut_mix out."


def table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of the recipe, empty if it is none."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _fit_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    fit = table(data, "fit")
    stopping = table(fit, "early_stopping")
    watched = {"keep_best": fit.get("keep_best")}
    if stopping:
        watched["early_stopping"] = stopping.get("monitor", "val_loss")
    for key, monitor in watched.items():
        if str(monitor).startswith("val_") and "validation" not in table(data, "dataset"):
            yield f'fit.{key}: monitor "{monitor}" needs dataset.validation.'
    callbacks = fit.get("callbacks")
    for callback in callbacks if isinstance(callbacks, list | tuple) else ():
        name = callback.get("name") if isinstance(callback, Mapping) else callback
        if name == "ReduceLROnPlateau" and table(data, "compile").get("schedule"):
            yield f"fit.callbacks: {name} cannot change what compile.schedule sets; leave one out."
    if stopping and fit.get("keep_best") is not None:
        yield "fit.keep_best: fit.early_stopping keeps the best weights already; leave one out."


def _weights_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    model = table(data, "model")
    trainable, kind = model.get("trainable", "all"), table(data, "tokenizer").get("kind")
    if isinstance(trainable, str):
        try:
            check_trainable(trainable)
        except UsageError as error:
            yield f"model.{error}"
    if table(data, "compile").get("quantization_aware") is True and trainable != "all":
        yield (
            f'model.trainable = "{trainable}": compile.quantization_aware trains all of a model; '
            "leave one of them out."
        )
    if kind == "pretrained" and "weights" not in model:
        yield 'tokenizer.kind = "pretrained" needs model.weights, which it comes with.'


def _by_name(value: Any) -> dict[str, Mapping[str, Any]]:
    """Return the arguments of a component, or of each of a list of them, by name."""
    rows = value if isinstance(value, list | tuple) else [] if value is None else [value]
    tables = [row if isinstance(row, Mapping) else {"name": row} for row in rows]
    return {str(row.get("name")): row for row in tables}


def _augmentations(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return _by_name(data.get("augmentation"))


def _loss_name(data: Mapping[str, Any]) -> str | None:
    return next(iter(_by_name(table(data, "compile").get("loss"))), None)


def _mixing_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(_augmentations(data).keys() & MIXES.keys()):
        if _loss_name(data) != "smoothed_crossentropy":
            yield (
                f"augmentation: {name} makes soft labels, which of all losses only "
                "smoothed_crossentropy takes: set compile.loss (label_smoothing may be 0)."
            )
        if table(data, "fit").get("class_weight") is not None:
            yield f"augmentation: {name} does not go with fit.class_weight: leave one of them out."


def _masking_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    task = table(data, "model").get("task")
    if data.get("masking") is not None and task not in MASKS_TOKENS:
        yield (
            f"masking: only the tasks {' and '.join(MASKS_TOKENS)} hide tokens; set model.task to "
            "one of them, or leave masking out."
        )


def _contrastive_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("contrastive") is None:
        return
    compiled, fit, dataset = (table(data, key) for key in ("compile", "fit", "dataset"))
    # What a recipe has by default says nothing.
    given = {
        "compile.loss": _by_name(compiled.get("loss")).keys() - {"sparse_categorical_crossentropy"},
        "compile.metrics": _by_name(compiled.get("metrics")).keys() - {"accuracy"},
        "fit.class_weight": fit.get("class_weight"),
        "fit.sampling": fit.get("sampling", "shuffled") != "shuffled",
        "distillation": data.get("distillation"),
        "mix_up and cut_mix": _augmentations(data).keys() & MIXES.keys(),
    }
    for key in (key for key, is_given in given.items() if is_given):
        yield f"contrastive: there are no targets to learn; leave {key} out."
    if dataset.get("validation") and isinstance(dataset.get("input", "image"), str):
        yield (
            "contrastive: views of one example differ by augmentation, which validation has none "
            "of; leave dataset.validation out."
        )


def loss_mistakes(data: Mapping[str, Any], task: str | None) -> Iterator[str]:
    """Yield what is wrong with a loss or a sampling that its task cannot be trained with.

    Args:
        data: TOML-shaped.
        task: The model's head.
    """
    name = _loss_name(data)
    if task == DETECTION and name != DETECTION_LOSS:
        yield f'compile.loss: task "{task}" is trained with loss = "{DETECTION_LOSS}".'
    elif task != DETECTION and name == DETECTION_LOSS:
        yield f'compile.loss = "{name}": it is for task "{DETECTION}", not "{task}".'
    if table(data, "fit").get("sampling") == "by_length" and task != "seq2seq":
        yield f'fit.sampling = "by_length": it is for task "seq2seq", not "{task}".'


def _detection_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    if _loss_name(data) != DETECTION_LOSS:
        return
    fit, listed = table(data, "fit"), table(data, "compile").get("metrics", ("accuracy",))
    if listed:
        yield (
            f"compile.metrics: what {DETECTION_LOSS} trains is measured by mean average precision, "
            "and by no metric of Keras: set compile.metrics=[]."
        )
    for key in ("class_weight", "sampling"):
        if fit.get(key) not in (None, "shuffled"):
            yield f"fit.{key}: an image with boxes is of no one class; leave it out."
    if table(data, "distillation"):
        yield "distillation: a teacher of classes has no boxes; leave it out."
    yield from moving_mistakes(_augmentations(data))


def _tune_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    for key, values in table(table(data, "tune"), "space").items():
        if not isinstance(values, Mapping):
            continue
        ends = [values[name] for name in ("low", "high") if name in values]
        if not all(isinstance(end, int | float) for end in ends):
            continue  # its type is reported already
        where = f"tune.space.{key}"
        if bool(values.get("choices")) == bool(ends):
            yield f"{where}: needs low and high, or choices."
        elif ends and (len(ends) < 2 or not ends[0] < ends[1]):
            yield f"{where}: needs a low that is less than its high."
        elif ends and values.get("log") and ends[0] <= 0:
            yield f"{where}: log needs a low above 0, not {ends[0]}."
