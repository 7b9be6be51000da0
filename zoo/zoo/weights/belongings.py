"""What weights come with beside their numbers: classes, tokenizer, and how inputs are prepared."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.weights.snapshot import CONFIG, IMAGES, RESAMPLING, Snapshot, read_json
from zoo.weights.tokenizer import SETTINGS, has_tokenizer, read_tokenizer
from zoo_registry import UsageError
from zoo_registry.folders import TOKENIZER

# Tokens of a text where nothing says how many: no position of the models of texts is beyond.
_LONGEST = 512
# ConvNeXt's images of this side and more are squeezed, smaller ones cropped.
_CROPPED_BELOW = 384
POOLING = "1_Pooling/config.json"
_MODULES, _SENTENCES = "modules.json", "sentence_bert_config.json"
_POOLINGS = {"pooling_mode_cls_token": "first", "pooling_mode_mean_tokens": "mean"}


@dataclass(frozen=True)
class Belongings:
    """What belongs to weights, for a bundle that is made of a model with them.

    Args:
        labels: Names of the classes in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        tokenizer: Content of the ``tokenizer.json`` that the steps name.
        files: The folder with the files that the steps name, where there is one.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    tokenizer: str | None = None
    files: Path | None = None

    @cached_property
    def assets(self) -> Path | None:
        """A folder with the files that the steps name and no others; it goes with this object."""
        if self.tokenizer is None:
            return self.files
        folder = Path(tempfile.mkdtemp(prefix="zoo-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")
        return folder


def of_snapshot(snapshot: Snapshot, model: Any, labels: Sequence[str] | None) -> Belongings:
    """Return what a snapshot has for a model.

    Args:
        snapshot: Where the weights are.
        model: That takes them.
        labels: Names of the classes, if they are known.
    """
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    steps: tuple[Mapping[str, Any], ...] = ()
    tokenizer = None
    if "token_ids" in inputs and has_tokenizer(snapshot.folder):
        tokenizer = read_tokenizer(snapshot.folder).to_str()
        steps = (_tokenize_step(snapshot, inputs),)
    elif "image" in inputs and snapshot.processor:
        steps = _image_steps(snapshot, inputs["image"])
    return Belongings(labels_for(model, labels), steps, tokenizer)


def of_run(
    info: Mapping[str, Any], assets: Path, model: Any, labels: Sequence[str] | None
) -> Belongings:
    """Return what a run has for a model: the steps of its recipe, and their files.

    Args:
        info: Its ``run.json``.
        assets: Its folder of files.
        model: That takes its weights.
        labels: Names of the classes, if they are known.
    """
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    steps = tuple(_fitted(step, inputs) for step in info.get("preprocessing") or ())
    known = labels_for(model, labels)
    return Belongings(known, steps, files=assets if assets.is_dir() else None)


def labels_for(model: Any, labels: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names of classes where a model's logits are as many; one logit is yes or no."""
    outputs = dict(zip(model.output_names, model.outputs, strict=False))
    logits = outputs.get("logits", outputs.get("heatmap"))
    if not labels or logits is None:
        return None
    count = 2 if logits.shape[-1] == 1 else logits.shape[-1]
    return tuple(labels) if len(labels) == count else None


def sentence_pooling(snapshot: Snapshot, task: str | None) -> str | None:
    """Return how the vectors of tokens become that of a sentence, where the snapshot says it.

    Args:
        snapshot: Where the weights are.
        task: The head; only some are of sentences.

    Raises:
        UsageError: Another way than by the first token or the mean, or a layer after it.
    """
    modules = _modules(snapshot.folder)
    pooling = next((path for kind, path in modules if kind == "Pooling"), None)
    if pooling is None or task not in {"sentence-embedding", "features"}:
        return None
    settings = read_json(snapshot.folder / pooling / CONFIG)
    chosen = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]
    mode = settings.get("pooling_mode")
    if isinstance(mode, str):
        chosen = [
            {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}.get(mode, mode)
        ]
    further = [kind for kind, _ in modules if kind not in {"Transformer", "Pooling", "Normalize"}]
    if len(chosen) == 1 and chosen[0] in _POOLINGS and not further:
        return _POOLINGS[chosen[0]]
    if task == "features":
        return None
    said = ", ".join([*chosen, *further]) or "nothing"
    raise UsageError(
        f"'{snapshot.folder}' makes a sentence's vector by {said}; only the first token's vector "
        "or the mean of all is built. task='features' gives the tokens' vectors."
    )


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return kind and folder of the parts that the sentence-transformers library lists."""
    import json

    file = folder / _MODULES
    if not file.is_file():
        pooling = Path(POOLING).parent
        return [("Pooling", pooling.name)] if (folder / POOLING).is_file() else []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        found = [(str(row["type"]).rpartition(".")[2], str(row["path"])) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"'{file}' is damaged: {error}") from error
    for _, path in found:
        if path and Path(path).name != path:
            raise UsageError(f"'{file}' names '{path}', which is outside the snapshot.")
    return found


def _tokenize_step(snapshot: Snapshot, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    (fixed,) = inputs["token_ids"]
    step = {
        "step": "tokenize",
        "length": fixed or _longest(snapshot),
        "padding_mask": "padding_mask" in inputs,
    }
    return step | ({"segment_ids": True} if "segment_ids" in inputs else {})


def _longest(snapshot: Snapshot) -> int:
    """Return how many tokens of a text are kept: as many as the model is meant to read."""
    said = [snapshot.config.get(k) for k in ("max_position_embeddings", "n_positions")]
    for file, key in ((SETTINGS, "model_max_length"), (_SENTENCES, "max_seq_length")):
        path = snapshot.folder / file
        said.append(read_json(path).get(key) if path.is_file() else None)
    return min([_LONGEST, *(int(n) for n in said if isinstance(n, int | float) and n > 0)])


def image_size(snapshot: Snapshot) -> tuple[int, int] | None:
    """Return height and width of the images that a snapshot's processing makes, if it says so."""
    size, _ = _sides(snapshot.processor)
    return size


def _image_steps(
    snapshot: Snapshot, shape: tuple[int | None, ...]
) -> tuple[Mapping[str, Any], ...]:
    said = snapshot.processor
    made, shorter = _sides(said)
    height, width, channels = shape
    size = (height, width) if height and width else made
    if size is None or channels not in {1, 3}:
        return ()
    number = said.get("resample", 2)
    if number not in RESAMPLING:
        raise UsageError(f"'{snapshot.folder / IMAGES}': resample={number!r} is no filter of ours.")
    step: dict[str, Any] = {"step": "image", "size": list(size), "channels": channels}
    step["resample"] = RESAMPLING[number]
    if shorter and made:
        # As much of the picture is cut off as with the snapshot's own size.
        step["shorter_side"] = math.ceil(max(size) * max(1.0, shorter / max(made)))
    return (step,)


def _sides(said: Mapping[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    """Return height and width, and the shorter side before the middle is cut out, if it is."""
    size, crop = said.get("size"), _height_and_width("crop_size", said.get("crop_size"))
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    square = _height_and_width("size", shortest)
    kind = str(said.get("image_processor_type", said.get("feature_extractor_type")))
    if "ConvNext" in kind and square is not None:
        part = said.get("crop_pct", 224 / 256)
        if not isinstance(part, int | float) or not 0 < part <= 1:
            raise UsageError(f"{IMAGES}: crop_pct={part!r} is no part of an image.")
        return square, int(square[0] / part) if square[0] < _CROPPED_BELOW else None
    if said.get("do_center_crop") and crop is not None:
        return crop, square[0] if square is not None else None
    return _height_and_width("size", size) if square is None else square, None


def _height_and_width(key: str, size: Any) -> tuple[int, int] | None:
    """Return the sides that a size stands for, nothing for one that is told in another way."""
    told = [size.get(side) if isinstance(size, Mapping) else size for side in ("height", "width")]
    if told == [None, None]:
        return None
    sides = [side for side in told if isinstance(side, int) and side > 0]
    if len(sides) != len(told):
        raise UsageError(f"{IMAGES}: {key}={size!r} is no height and width in pixels.")
    return (sides[0], sides[1])


def _fitted(step: Mapping[str, Any], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a step that makes what the model takes, should that be of another size."""
    if step.get("step") == "image":
        height, width, channels = inputs.get(step.get("input", "image"), (None, None, None))
        if height and width:
            return {**step, "size": [height, width], "channels": channels}
    if step.get("step") == "tokenize":
        (length,) = inputs.get(step.get("input", "token_ids"), (None,))
        return {**step, "length": length or step["length"]}
    return step
