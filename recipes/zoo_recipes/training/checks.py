"""Checks of the data before a training, and what preprocessing discards of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED, ArraySource
from zoo_recipes.compiling.keras_names import CLASS_LOSSES, bare_name
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.sizes import lengths_of_model
from zoo_recipes.tasks.boxes import Scenes
from zoo_registry import UsageError
from zoo_runtime.answers.boxes import HEATMAP
from zoo_runtime.tokenizing import encoded

# Images made smaller than by so much a side lose what can be seen on them.
MUCH = 4
LARGEST = 224


def check_classes(recipe: Recipe, labels: Any) -> None:
    """Refuse training examples that are all of one class.

    Args:
        recipe: Names the split.
        labels: One an example, or ``None``.

    Raises:
        UsageError: Which class it is.
    """
    if labels is not None and are_classes(labels) and len(labels) > 1 and len(set(labels)) == 1:
        raise UsageError(
            f"All {len(labels)} examples of split '{recipe.dataset.train}' of "
            f"'{recipe.dataset.name}' are of class {labels[0]}: there is nothing to tell apart."
        )


def count_shared(examples: Mapping[str, Examples]) -> dict[str, int]:
    """Return how many inputs of each other part are training inputs too, and warn of them.

    Images of other data than the user's that memory does not hold are not looked through.

    Args:
        examples: By part.
    """
    held = {part: digests for part, some in examples.items() if (digests := _digests(some))}
    known = set(held.get("train", ()))
    counts = {
        part: sum(digest in known for digest in digests)
        for part, digests in held.items()
        if part != "train"
    }
    shared = {part: count for part, count in counts.items() if count}
    if shared:
        counts_shown = (f"{n:,} of {len(held[part]):,} ({part})" for part, n in shared.items())
        warnings.warn(
            f"inputs that are trained on too: {', '.join(counts_shown)}. What is measured on them "
            "may be too good",
            stacklevel=3,
        )
    return shared


def _digests(examples: Examples) -> Sequence[Any] | None:
    if examples.digests is not None:
        return examples.digests
    return [_digest(raw) for raw in examples.raws] if isinstance(examples.raws, list) else None


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


def check_targets(recipe: Recipe, model: Any, sources: Mapping[str, ArraySource]) -> None:
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


def _check_maps(recipe: Recipe, model: Any, source: ArraySource) -> None:
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


def are_classes(labels: Any) -> bool:
    """Return whether labels are one class an example."""
    return isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu"


def warn_of_drawn_weights(recipe: Recipe) -> None:
    """Warn where only a part is trained of a model whose other part nobody has trained either.

    Args:
        recipe: The recipe.
    """
    if recipe.model.weights is None and recipe.model.trainable != "all":
        warnings.warn(
            f"model.weights=none with model.trainable={recipe.model.trainable}: what is not "
            "trained stays as it was drawn, and no number of examples helps. Train all of it "
            "(`--set model.trainable=all`), or begin with weights",
            stacklevel=3,
        )


def warn_of_lost_detail(recipe: Recipe, builder: Any, note: Mapping[str, Any] | None) -> None:
    """Warn where images of custom data are made much smaller, or lose their colours.

    Args:
        recipe: Its preprocessing makes the images smaller.
        builder: Of the data, prepared.
        note: What is known of custom data; ``None`` for others, whose recipes were made for them.
    """
    steps = [step for step in recipe.preprocessing if step.get("step") == "image"]
    sizes = (note or {}).get("sizes", {})
    if not steps or set(sizes) != {"height", "width"} or not isinstance(recipe.dataset.input, str):
        return
    step = steps[0]
    height, width = (int(sizes[side][1]) for side in ("height", "width"))
    had = builder.info.features[recipe.dataset.input].shape[-1]
    takes, channels = tuple(step["size"]), step.get("channels", 3)
    is_small = max(height / takes[0], width / takes[1]) >= MUCH
    loses_colour = had == 3 and channels == 1
    if not (is_small or loses_colour):
        return
    lost = ["what is smaller than a pixel of these"] * is_small + ["all colours"] * loses_colour
    side = min(LARGEST, 1 << (min(height, width).bit_length() - 1))
    wanted = [side, side] if is_small else [*takes]
    warnings.warn(
        f"images of {height}x{width}{' in colour' if had == 3 else ''} (median) are made "
        f"{takes[0]}x{takes[1]}{' and grey' if channels == 1 else ''}: the model does not see "
        f"{' and '.join(lost)}. It does with --image-size {'x'.join(map(str, [*wanted, had]))}, or "
        "with a recipe for such images (`zoo data`)",
        stacklevel=3,
    )


@dataclass(frozen=True)
class Truncation:
    """What preprocessing cuts off.

    Args:
        at: Number of the step.
        limit: Tokens or samples that are left.
        what: The longer ones, in words.
        lengths: Returns the length of each of some raw inputs.
        of_texts: Whether it cuts texts.
    """

    at: int
    limit: int
    what: str
    lengths: Callable[[Sequence[Any]], Any]
    of_texts: bool


def count_truncated(
    recipe: Recipe, preprocessor: Any, examples: Mapping[str, Examples]
) -> dict[str, int]:
    """Return how many texts or audio clips of each part were truncated, and warn of them.

    Args:
        recipe: The recipe.
        preprocessor: Carries out its preprocessing.
        examples: By part.
    """
    found = _truncation(preprocessor)
    if found is None:
        return {}
    # Contrastive learning has both texts of a pair as rows; other pairs are one text.
    raws = {
        part: [*flat(some.raws)] if recipe.contrastive else some.raws
        for part, some in examples.items()
    }
    lengths = {part: found.lengths(some) for part, some in raws.items()}
    counts = {part: int((some > found.limit).sum()) for part, some in lengths.items()}
    truncated = {part: count for part, count in counts.items() if count}
    if truncated:
        counts_shown = (f"{n:,} of {len(raws[part]):,} ({part})" for part, n in truncated.items())
        warnings.warn(
            f"{found.what} of the model were truncated: {', '.join(counts_shown)}"
            + _instead(recipe, found, lengths["train"]),
            stacklevel=3,
        )
    return truncated


def _instead(recipe: Recipe, found: Truncation, lengths: Any) -> str:
    """Return what was lost of the training split, and what would keep 95 % of it whole."""
    lost = np.maximum(lengths - found.limit, 0).sum() / lengths.sum()
    enough = int(np.quantile(lengths, 0.95, method="higher"))
    if enough <= found.limit:
        return ""
    shown = f"--sequence-length {enough}"
    if not found.of_texts:
        keys = [f"preprocessing.{found.at}.length={enough}", *lengths_of_model(recipe, enough)]
        shown = " ".join(f"--set {key}" for key in keys)
    return f". That is {lost:.0%} of what they hold; 95 % of them are whole with {shown}"


def _truncation(preprocessor: Any) -> Truncation | None:
    """Return what a ``Preprocessor`` cuts off of texts or of audio clips; ``None`` for all else."""
    from zoo_runtime.preprocess.steps import AudioStep, TokenizeStep

    for at, step in enumerate(preprocessor.steps):
        if isinstance(step, AudioStep):
            what = f"audio clips longer than the {step.length} samples"
            return Truncation(at, step.length, what, _samples, of_texts=False)
        if isinstance(step, TokenizeStep):
            tokenizer = preprocessor.tokenizer(step.tokenizer)
            what = f"texts longer than the {step.length} tokens"
            return Truncation(at, step.length, what, partial(_tokens, tokenizer), of_texts=True)
    return None


def _samples(clips: Sequence[Any]) -> Any:
    return np.asarray([len(clip) for clip in clips])


def _tokens(tokenizer: Any, texts: Sequence[Any]) -> Any:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return np.asarray([len(encoding.ids) for encoding in encoded(tokenizer, texts)])


def flat(raws: Sequence[Any]) -> Iterator[Any]:
    """Yield raw inputs, both of a pair."""
    for raw in raws:
        yield from raw if isinstance(raw, tuple) else (raw,)
