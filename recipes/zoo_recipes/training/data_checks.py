"""What would make a training silently worthless, looked for before it begins."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED, Source
from zoo_recipes.compiling.keras_names import CLASS_LOSSES, bare_name
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.boxes import Scenes
from zoo_registry import UsageError
from zoo_runtime.answers.boxes import HEATMAP


def check_classes(recipe: Recipe, labels: Any) -> None:
    """Refuse training examples that are all of one class.

    Args:
        recipe: Names the split.
        labels: One an example, or ``None``.

    Raises:
        UsageError: Which class it is.
    """
    if labels is not None and _are_classes(labels) and len(labels) > 1 and len(set(labels)) == 1:
        raise UsageError(
            f"All {len(labels)} examples of split '{recipe.dataset.train}' of "
            f"'{recipe.dataset.name}' are of class {labels[0]}: there is nothing to tell apart."
        )


def count_shared(examples: Mapping[str, Examples]) -> dict[str, int]:
    """Return how many inputs of each other part are training inputs too, and warn of them.

    Pictures that memory does not hold are not looked through.

    Args:
        examples: By part.
    """
    held = {part: some.raws for part, some in examples.items() if isinstance(some.raws, list)}
    known = {_digest(raw) for raw in held.get("train", ())}
    counts = {
        part: sum(_digest(raw) in known for raw in raws)
        for part, raws in held.items()
        if part != "train"
    }
    shared = {part: count for part, count in counts.items() if count}
    if shared:
        shares = (f"{n:,} of {len(held[part]):,} ({part})" for part, n in shared.items())
        warnings.warn(
            f"inputs that are trained on too: {', '.join(shares)}. What is measured on them may "
            "be too good",
            stacklevel=3,
        )
    return shared


def _digest(raw: Any) -> bytes:
    parts = raw if isinstance(raw, tuple) else (raw,)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data)
        digest.update(b"\0")
    return digest.digest()


def check_vocabulary(model: str, model_size: int | None, tokenizer_size: int) -> None:
    """Refuse a tokenizer with more tokens than the model has.

    Raises:
        UsageError: The two numbers and what to do.
    """
    if model_size is not None and tokenizer_size > model_size:
        raise UsageError(
            f"The tokenizer has {tokenizer_size:,} tokens, and model '{model}' only "
            f"{model_size:,}: set tokenizer.vocab_size={model_size}, or leave "
            "model.overrides.vocab_size out."
        )


def check_targets(recipe: Recipe, model: Any, sources: Mapping[str, Source]) -> None:
    """Refuse classes that the model has no output for.

    Args:
        recipe: Names the splits.
        model: Its last axis is the classes.
        sources: By part.

    Raises:
        UsageError: The label, its split and the number of classes.
    """
    _check_maps(recipe, model, sources["train"])
    count = model.outputs[0].shape[-1]
    # Other losses take one output for two classes, or for a number.
    is_number = count == 1 and bare_name(recipe.compile.loss.name) not in map(
        bare_name, CLASS_LOSSES
    )
    if len(model.outputs) != 1 or count is None or is_number:
        return
    for part, source in sources.items():
        targets = source.targets
        if targets is None or isinstance(targets, dict) or targets.dtype.kind not in "iu":
            continue
        known = targets[targets != IGNORED] if targets.ndim > 1 else targets
        for worst in (int(known.min()), int(known.max())):
            if not 0 <= worst < count:
                has = f"{count} classes, 0 to {count - 1}" if count > 1 else "1 class, 0"
                raise UsageError(
                    f"Split '{getattr(recipe.dataset, part)}' of '{recipe.dataset.name}' has label "
                    f"{worst}, and the model {has}."
                )


def _check_maps(recipe: Recipe, model: Any, source: Source) -> None:
    if not isinstance(source, Scenes):
        return
    outputs = zip(model.output_names, model.outputs, strict=True)
    given = {name: tuple(tensor.shape[1:]) for name, tensor in outputs}
    if given.get(HEATMAP) != source.shape:
        raise UsageError(
            f"The boxes of '{recipe.dataset.name}' make a heatmap of {source.shape} (rows, "
            f"columns, classes), and model '{model.name}' gives {given.get(HEATMAP)}: set "
            "model.overrides.input_shape to the size of the images that preprocessing makes, and "
            "model.overrides.num_classes to the number of classes, or leave it out."
        )


def _are_classes(labels: Any) -> bool:
    return isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu"
