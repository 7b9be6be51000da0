"""From a model to a snapshot that Hugging Face transformers loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_models.weights.assets import MODULES, POOLING
from zoo_models.weights.converter import TIMM, Converter, Head, Weight, dialects
from zoo_models.weights.foreign import builder_defaults
from zoo_models.weights.snapshot import CONFIG, IMAGES, INDEX, SINGLE
from zoo_registry import ModelSpec, UsageError, load_target
from zoo_runtime.tokenizing import open_tokenizer
from zoo_system import durable
from zoo_system.folders import TOKENIZER

if TYPE_CHECKING:
    import keras

SHARD_BYTES = 2_000_000_000
# What the name of a folder begins with that is being written.
_WRITING = ".writing-"
_OF_WHOLE_TEXTS = {"text-classification", "multi-label"}


def save_pretrained(
    model: keras.Model,
    folder: str | Path,
    *,
    labels: Sequence[str] | None = None,
    tokenizer: str | Path | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write a model as Hugging Face transformers keeps it: ``config.json`` and safetensors.

    Tensors are written shard by shard, so that no more than one is in memory beside the model.
    Where the transformers model has weights that ours has not (the pooler of ``BertModel`` behind
    our ``sentence-embedding``), transformers makes fresh ones and says so.

    Args:
        model: From :func:`zoo.get_model`, trained or not.
        folder: To create; it appears when it is complete.
        labels: Names of the classes; by default those that the model's weights came with, else
            ``LABEL_0`` and so on.
        tokenizer: A ``tokenizer.json`` to put beside the weights; by default the one that they
            came with, if any.
        shard_bytes: Most bytes of one safetensors file.

    Returns:
        The folder.

    Raises:
        UsageError: The folder exists, nothing says what the family's tensors are called there, or
            transformers has no such model.

    Example:
        >>> import tempfile, zoo
        >>> model = zoo.get_model("gpt-nano", vocab_size=50)
        >>> with tempfile.TemporaryDirectory() as work:
        ...     folder = save_pretrained(model, f"{work}/nano")
        ...     again = zoo.get_model("gpt", weights=folder)
        >>> again.count_params() == model.count_params()
        True
    """
    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"'{folder}' exists already: give another name, or remove it first.")
    spec = getattr(model, "zoo_spec", None)
    written = _of_transformers(spec)
    if spec is None or not written:
        known = "the model is not from zoo.get_model" if spec is None else f"family '{spec.family}'"
        raise UsageError(
            f"This model cannot be written for Hugging Face transformers ({known}): nothing says "
            "what its tensors are called there. model.save('name.keras') keeps it."
        )
    assets = getattr(getattr(model, "zoo_weights", None), "assets", None)
    if assets is not None:
        labels = labels or assets.labels
        tokenizer = tokenizer or _tokenizer_in(assets.folder)
    defaults = builder_defaults(spec)
    arguments = {**defaults, **spec.defaults}
    converter = _converter(spec.name, _first_its_own(written, model), arguments, defaults)
    head = converter.heads[arguments["task"]]
    config = _config(converter, head, arguments, labels)
    if arguments["task"] in _OF_WHOLE_TEXTS and "causal-lm" in converter.heads:
        config["pad_token_id"] = _padding(tokenizer)
    tensors = _tensors(model, converter, head)
    folder.parent.mkdir(parents=True, exist_ok=True)
    durable.remove_left(folder.parent, f"{_WRITING}*")
    with durable.locked_folder(folder.parent, _WRITING) as work:
        made = work / folder.name
        made.mkdir()
        images: dict[str, Any] = {
            key: config.pop(key) for key in ("image_mean", "image_std") if key in config
        }
        if images:
            channels = arguments["input_shape"][-1]
            means = {key: _for_channels(values, channels) for key, values in images.items()}
            _write(made / IMAGES, {**means, **_image_processor(arguments)})
        if arguments["task"] == "sentence-embedding":
            _write_modules(made, arguments)
        _write(made / CONFIG, config)
        _write_shards(made, tensors, shard_bytes)
        if tokenizer is not None:
            shutil.copyfile(tokenizer, made / TOKENIZER)
        durable.rename(made, folder)
    return folder


def _of_transformers(spec: ModelSpec | None) -> list[Converter]:
    """Return the converters of a model's family that transformers has classes for."""
    if spec is None or spec.converter is None:
        return []
    return [c for c in dialects(load_target(spec.converter)) if c.model_type != TIMM]


def _first_its_own(converters: Sequence[Converter], model: Any) -> list[Converter]:
    """Return the converters, first that of the weights which a model was loaded with."""
    loaded = getattr(getattr(model, "zoo_weights", None), "model_type", None)
    return sorted(converters, key=lambda converter: converter.model_type != loaded)


def _converter(
    name: str,
    converters: Sequence[Converter],
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Converter:
    """Return the first converter whose model of transformers is this one.

    Raises:
        UsageError: There is none; it says why the first is not.
    """
    refused = []
    for converter in converters:
        try:
            _check_graph(name, converter, arguments, defaults)
        except UsageError as error:
            refused.append(error)
        else:
            return converter
    raise refused[0]


def _check_graph(
    name: str, converter: Converter, arguments: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    other = [key for key in converter.graph if arguments[key] != defaults[key]]
    if other:
        differences = ", ".join(f"{key}={arguments[key]!r}" for key in other)
        raise UsageError(
            f"Hugging Face's '{converter.model_type}' cannot be '{name}' with {differences}."
        )
    try:
        converter.write(arguments)
    except UsageError as error:
        raise UsageError(
            f"Hugging Face's '{converter.model_type}' cannot be '{name}' with {error}."
        ) from error
    if arguments["task"] not in converter.heads:
        raise UsageError(
            f"Hugging Face's '{converter.model_type}' has no task '{arguments['task']}'; it has: "
            f"{', '.join(converter.heads)}."
        )


def _config(
    converter: Converter,
    head: Head,
    arguments: Mapping[str, Any],
    labels: Sequence[str] | None,
) -> dict[str, Any]:
    config: dict[str, Any] = {"model_type": converter.model_type, **converter.fixed}
    for argument, key in converter.sizes.items():
        value = arguments[argument]
        words = {ours: theirs for theirs, ours in converter.words.get(argument, {}).items()}
        if value is not None:
            config[key] = words[value] if words else value
    config |= converter.write(arguments)
    config["architectures"] = [head.architecture]
    if arguments["task"].endswith(("classification", "multi-label")):
        names = labels or [f"LABEL_{index}" for index in range(arguments["num_classes"])]
        if len(names) != arguments["num_classes"]:
            raise UsageError(f"{len(names)} labels for {arguments['num_classes']} classes.")
        config["id2label"] = {str(index): name for index, name in enumerate(names)}
        config["label2id"] = {name: index for index, name in enumerate(names)}
    if arguments["task"] == "multi-label":
        config["problem_type"] = "multi_label_classification"
    return config


def _tokenizer_in(assets: Path | None) -> Path | None:
    file = None if assets is None else assets / TOKENIZER
    return file if file is not None and file.is_file() else None


def _padding(tokenizer: str | Path | None) -> int:
    """Return the id of the padding token: decoders find the last real token by it."""
    words = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>")
    made = open_tokenizer(Path(tokenizer)) if tokenizer is not None else None
    known = [made.token_to_id(word) for word in words] if made is not None else []
    return next((number for number in known if number is not None), 0)


def _for_channels(values: Sequence[float], channels: int) -> list[float]:
    # As the model's own layer does with values for another number of channels.
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * channels


def _write_modules(folder: Path, arguments: Mapping[str, Any]) -> None:
    """Write how the sentence-transformers library makes a sentence's vector of its tokens'."""
    how = arguments["sentence_pooling"]
    modes = {"pooling_mode_cls_token": how == "first", "pooling_mode_mean_tokens": how == "mean"}
    (folder / POOLING).parent.mkdir()
    _write(folder / POOLING, {"word_embedding_dimension": arguments["hidden_dim"], **modes})
    paths = {"Transformer": "", "Pooling": Path(POOLING).parent.name}
    if arguments["sentence_normalized"]:
        paths["Normalize"] = "2_Normalize"
        (folder / "2_Normalize").mkdir()
    rows = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (kind, path) in enumerate(paths.items())
    ]
    _write(folder / MODULES, rows)


def _image_processor(arguments: Mapping[str, Any]) -> dict[str, Any]:
    height, width = arguments["input_shape"][:2]
    size = {"size": {"height": height, "width": width}} if height and width else {}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_resize": bool(size),
        **size,
    }


def _tensors(model: Any, converter: Converter, head: Head) -> list[tuple[str, Weight, Any]]:
    """Return its name there, what stores it and our variable, of every weight."""
    prefix = "" if head == converter.heads["features"] else converter.prefix
    found = []
    nameless = []
    for variable in model.weights:
        if "seed_generator" in variable.path:
            continue
        names = converter.matches(variable.path)
        own = [match for match in names if match[0].startswith(head.layers)]
        if own:
            found.append((own[0][0], own[0][1], variable))
        elif names:
            found.append((prefix + names[0][0], names[0][1], variable))
        else:
            nameless.append(variable.path)
    if nameless:
        raise UsageError(
            f"Hugging Face's '{converter.model_type}' has no name for: {', '.join(nameless)}."
        )
    return found


def _shards(
    tensors: Sequence[tuple[str, Weight, Any]], most: int
) -> Iterator[list[tuple[str, Weight, Any]]]:
    shard: list[tuple[str, Weight, Any]] = []
    held = 0
    for tensor in tensors:
        size = 4 * tensor[2].value.shape.num_elements()
        if shard and held + size > most:
            yield shard
            shard, held = [], 0
        shard.append(tensor)
        held += size
    yield shard


def _write_shards(folder: Path, tensors: Sequence[tuple[str, Weight, Any]], most: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    shards = list(_shards(tensors, most))
    files: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        alone = len(shards) == 1
        file = SINGLE if alone else f"model-{number:05}-of-{len(shards):05}.safetensors"
        arrays = {
            name: np.ascontiguousarray(weight.to_theirs(np.asarray(variable.value)), "float32")
            for name, weight, variable in shard
        }
        save_file(arrays, folder / file, metadata={"format": "pt"})
        files |= dict.fromkeys(arrays, file)
    if len(shards) > 1:
        total = sum(4 * variable.value.shape.num_elements() for _, _, variable in tensors)
        _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": files})


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
