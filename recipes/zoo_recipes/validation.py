"""All the mistakes of a recipe at once, each with what was received and the closest match."""

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
from zoo_recipes.contradictions import contradictions, loss_mistakes, table
from zoo_recipes.own_data.files import is_path
from zoo_registry import DuplicateNameError, UnknownNameError, UsageError, did_you_mean
from zoo_system.folders import is_plain_name

# train, train[:80%], train[:-5]+test, train[10%:20%]: tensorflow-datasets' slicing syntax.
_PART = r"[\w.-]+(\[-?\d*%?:-?\d*%?\])?"
_SPLIT = re.compile(rf"{_PART}(\+{_PART})*")


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
    # A name, or one table of the name and the arguments, as people write it.
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
    # `huggingface:org/name`: nobody knows those without the network.
    of_community = re.match(r"\w+:[A-Za-z]", name)
    if name in ours or bare in ours or of_community or bare in _tfds_names():
        return
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if bare not in known:
        hint = did_you_mean(name, [*ours.names(), *known])
        if os.path.exists(name):  # noqa: PTH110 - of any text
            hint = f' Own data are written "./{name}".'
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
    places = ("datasets/*", "text/*", "url_checksums/*")
    found = (path for folder in folders for place in places for path in Path(folder).glob(place))
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
                f'dataset.{key} = "{split}": is no split, such as "train", "train[:90%]" '
                'or "train+test".'
            )
