"""What weights come with: classes, tokenizer, and how inputs are prepared."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_models.weights.images import Preparation
from zoo_models.weights.snapshot import CONFIG, Snapshot, read_json
from zoo_models.weights.tokenizer import SETTINGS, has_tokenizer, read_tokenizer, unread_tokenizer
from zoo_registry import UsageError
from zoo_runtime.generation.chat import ChatTemplate, read_chat_template
from zoo_runtime.generation.config import FILE as GENERATION
from zoo_runtime.generation.config import GenerationConfig, read_config
from zoo_runtime.generation.generator import BY_DEFAULT
from zoo_system.folders import TOKENIZER

# Tokens of a text where nothing says how many: no position of the models of texts is beyond.
_LONGEST = 512
POOLING = "1_Pooling/config.json"
MODULES, _SENTENCES = "modules.json", "sentence_bert_config.json"
_PROMPTS = "config_sentence_transformers.json"
_POOLINGS = {"pooling_mode_cls_token": "first", "pooling_mode_mean_tokens": "mean"}


@dataclass(frozen=True)
class Assets:
    """What weights come with, for a bundle that is made of a model with them.

    Args:
        labels: Names of the classes in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        tokenizer: Content of the ``tokenizer.json`` that the steps name.
        files: The folder with the files that the steps name, where there is one.
        notes: What the weights ask for and nothing here does.
        generation: How a language model generates where the caller does not say.
        chat: The template that makes one text of a conversation.
        license: Licence of the weights, where they say it.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    tokenizer: str | None = None
    files: Path | None = None
    notes: tuple[str, ...] = ()
    generation: GenerationConfig | None = None
    chat: ChatTemplate | None = None
    license: str = ""

    @cached_property
    def folder(self) -> Path | None:
        """A folder with the files that the steps name and no others; it goes with this object."""
        if self.tokenizer is None:
            return self.files
        folder = Path(tempfile.mkdtemp(prefix="zoo-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")
        return folder


def snapshot_assets(snapshot: Snapshot, model: Any, labels: Sequence[str] | None) -> Assets:
    """Return what a snapshot has for a model.

    Args:
        snapshot: Where the weights are.
        model: That takes them.
        labels: Names of the classes, if they are known.
    """
    known = labels_for(model, labels)
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    found = Assets(known)
    if "token_ids" in inputs:
        found = _of_texts(snapshot, model, inputs, known)
    elif "image" in inputs and snapshot.images is not None:
        found = _of_images(snapshot.images, inputs["image"], known)
    more = _problem(snapshot, model.zoo_spec.defaults.get("task"))
    return replace(found, notes=(*found.notes, *more), license=snapshot.license)


def _problem(snapshot: Snapshot, task: Any) -> tuple[str, ...]:
    """Return what the logits of a head mean, where it is not what the task makes of them."""
    problem = snapshot.own_config.get("problem_type")
    if problem == "multi_label_classification" and task == "text-classification":
        return (f"problem_type={problem!r} (task='multi-label' does)",)
    if problem == "regression" and str(task).endswith("-classification"):
        return (f"problem_type={problem!r}",)
    return ()


def _of_texts(
    snapshot: Snapshot, model: Any, inputs: Mapping[str, Any], labels: tuple[str, ...] | None
) -> Assets:
    if not has_tokenizer(snapshot.folder):
        return Assets(labels, notes=unread_tokenizer(snapshot.folder))
    task = model.zoo_spec.defaults.get("task")
    is_sentence = task == "sentence-embedding" and (snapshot.folder / _SENTENCES).is_file()
    lowered = is_sentence and read_json(snapshot.folder / _SENTENCES).get("do_lower_case") is True
    tokenizer = read_tokenizer(snapshot.folder, lowered=lowered).to_str()
    step = _tokenize_step(snapshot, model, inputs)
    notes = _prompted(snapshot.folder) if task == "sentence-embedding" else ()
    settings = snapshot.folder / SETTINGS
    side = read_json(settings).get("truncation_side") if settings.is_file() else None
    if side == "left":
        notes += (f"truncation_side={side!r}",)
    found = Assets(labels, (step,), tokenizer, notes=notes)
    if task != "causal-lm":
        return found
    chat = read_chat_template(snapshot.folder)
    return replace(found, generation=_generation(snapshot), chat=chat)


def _generation(snapshot: Snapshot) -> GenerationConfig:
    """Return how a snapshot's model generates; texts end where its configuration ends them."""
    file = snapshot.folder / GENERATION
    config = read_config(file) if file.is_file() else None
    ends = snapshot.config.get("eos_token_id")
    ends = (ends,) if isinstance(ends, int) else tuple(ends or ())
    if config is None:
        return replace(
            BY_DEFAULT, eos_token_id=ends, bos_token_id=snapshot.config.get("bos_token_id")
        )
    return config if config.eos_token_id else replace(config, eos_token_id=ends)


def _prompted(folder: Path) -> tuple[str, ...]:
    """Return the words that sentence-transformers puts before every text, if it does."""
    settings = read_json(folder / _PROMPTS) if (folder / _PROMPTS).is_file() else {}
    name, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, Mapping) else None
    return (f"prompt {prompt!r} before every text",) if prompt else ()


def _of_images(
    images: Preparation, shape: tuple[int | None, ...], labels: tuple[str, ...] | None
) -> Assets:
    """Return the step of an image, none where the settings ask for what no step of ours does."""
    height, width, channels = shape
    size = (height, width) if height and width else images.size
    if images.notes or size is None or channels not in {1, 3}:
        return Assets(labels, notes=images.notes)
    return Assets(labels, (images.step(size, channels),))


def run_assets(
    preprocessing: Sequence[Mapping[str, Any]],
    folder: Path,
    model: Any,
    labels: Sequence[str] | None,
) -> Assets:
    """Return what a run has for a model: the steps of its recipe, and their files.

    Args:
        preprocessing: The steps.
        folder: With its files.
        model: That takes its weights.
        labels: Names of the classes, if they are known.
    """
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    steps = tuple(_fitted(step, inputs) for step in preprocessing)
    known = labels_for(model, labels)
    return Assets(known, steps, files=folder if folder.is_dir() else None)


def labels_for(model: Any, labels: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names of classes where a model's logits are as many; one logit is yes or no."""
    outputs = dict(zip(model.output_names, model.outputs, strict=False))
    logits = outputs.get("logits", outputs.get("heatmap"))
    if not labels or logits is None:
        return None
    count = 2 if logits.shape[-1] == 1 else logits.shape[-1]
    return tuple(labels) if len(labels) == count else None


def sentences(snapshot: Snapshot, task: str | None) -> dict[str, Any]:
    """Return the builder arguments that say how tokens' vectors become that of a sentence.

    Args:
        snapshot: Where the weights are; nothing follows where it does not say it.
        task: The head; only some are of sentences.

    Raises:
        UsageError: Another way than by the first token or the mean, or a layer after it.
    """
    modules = _modules(snapshot.folder)
    kinds = [kind for kind, _ in modules]
    pooling = next((path for kind, path in modules if kind == "Pooling"), None)
    if pooling is None or task not in {"sentence-embedding", "features"}:
        return {}
    chosen = _chosen_poolings(read_json(snapshot.folder / pooling / CONFIG))
    # A folder without a list of modules does not say what comes behind the pooling.
    listed = "Transformer" in kinds
    normalized = {"sentence_normalized": "Normalize" in kinds} if listed else {}
    if chosen == ["pooling_mode_mean_sqrt_len_tokens"] and "Normalize" in kinds:
        chosen = ["pooling_mode_mean_tokens"]  # of another length before that is made 1
    further = [kind for kind in kinds if kind not in {"Transformer", "Pooling", "Normalize"}]
    if len(chosen) == 1 and chosen[0] in _POOLINGS and not further:
        return {"sentence_pooling": _POOLINGS[chosen[0]], **normalized}
    if task == "features":
        return {}
    how = ", ".join([*chosen, *further]) or "nothing"
    raise UsageError(
        f"'{snapshot.folder}' makes a sentence's vector by {how}; only the first token's vector "
        "or the mean of all is built. task='features' gives the tokens' vectors."
    )


def _chosen_poolings(settings: Mapping[str, Any]) -> list[str]:
    mode = settings.get("pooling_mode")
    if isinstance(mode, str):
        return [f"pooling_mode_{mode}_token{'' if mode == 'cls' else 's'}"]
    return [key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return kind and folder of the parts that the sentence-transformers library lists."""
    import json

    file = folder / MODULES
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


def _tokenize_step(snapshot: Snapshot, model: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    (fixed,) = inputs["token_ids"]
    step = {
        "step": "tokenize",
        "length": fixed or _longest(snapshot, model),
        "padding_mask": "padding_mask" in inputs,
    }
    return step | ({"segment_ids": True} if "segment_ids" in inputs else {})


def _longest(snapshot: Snapshot, model: Any) -> int:
    """Return how many tokens of a text are kept: as many as the model is meant to read."""
    lengths = [snapshot.config.get(k) for k in ("max_position_embeddings", "n_positions")]
    lengths.append(model.zoo_spec.defaults.get("max_length"))
    for file, key in ((SETTINGS, "model_max_length"), (_SENTENCES, "max_seq_length")):
        path = snapshot.folder / file
        lengths.append(read_json(path).get(key) if path.is_file() else None)
    return min([_LONGEST, *(int(n) for n in lengths if isinstance(n, int | float) and n > 0)])


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
