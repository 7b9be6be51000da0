"""From a raw input to the features that it is explained by, and the prediction to explain."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED
from zoo_recipes.explanation.segmentation import columns, pixels, slices, tokens
from zoo_recipes.explanation.target import (
    HIDDEN,
    LANGUAGE_MODELS,
    PER_TOKEN,
    Array,
    Arrays,
    AttributionTarget,
    Features,
    OutputPosition,
    SpanTarget,
    choose_target,
)
from zoo_recipes.tasks.answers import best_span, tokens_between
from zoo_recipes.tasks.objectives import ANSWERS, LANGUAGE_MODEL, TAGS
from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.steps import AudioStep, TokenizeStep
from zoo_runtime.preprocess.texts import padded_encodings, padding_id
from zoo_runtime.tokenizing import decoded
from zoo_runtime.trained import Trained


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """How an input is cut into features, and what stands where one is taken away.

    Args:
        patches: Of an image: about how many; of an audio clip: how many slices.
        superpixels: Whether these follow the colours, or are a grid.
        baseline: In place of a patch: ``black``, ``white``, ``mean`` (the image's mean colour) or
            ``blur``.
        words: Whether the tokens of a word are one feature.
        typical: Rows of a table, whose mean stands in place of a column: ``.npy``, or ``.npz``
            as a run's ``calibration.npz``. By default that of the run.
        names: Of the columns of a table.

    Raises:
        UsageError: Fewer than one patch.
    """

    patches: int = 64
    superpixels: bool = False
    baseline: str = "black"
    words: bool = False
    typical: str | Path | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.patches < 1:
            raise UsageError(f"patches={self.patches}: use 1 or more.")


@dataclass(frozen=True, eq=False)
class ReadInput:
    """An input as the model sees it.

    Args:
        features: What it is cut into.
        choose: Returns what is explained of logits: of the class, token or answer of that name, by
            default of the most probable one.
    """

    features: Features
    choose: Callable[[Array, str | None], AttributionTarget | SpanTarget]


def read_input(
    trained: Trained, raw: Any, segmentation: Segmentation, word: str | None = None
) -> ReadInput:
    """Return a raw input as the model sees it, cut into features.

    Args:
        trained: Says how inputs are prepared.
        raw: Path of an image or an audio clip, a text or two in a tuple, or an array.
        segmentation: How it is cut.
        word: That whose tag is explained.

    Raises:
        UsageError: An input that preprocessing cannot take, a model of several inputs or of
            numbers that stand for something else, or a word that is not there.
    """
    if word is not None and trained.task != TAGS:
        raise UsageError(
            f"A model for {trained.task} has no answer of its own for '{word}': leave the word out."
        )
    preprocessor = Preprocessor(
        trained.preprocessing, trained.assets, [tensor.name for tensor in trained.inputs]
    )
    step = preprocessor.tokenize_step
    if step is not None:
        return _text(trained, preprocessor, step, raw, segmentation=segmentation, word=word)
    if trained.task in (*PER_TOKEN, ANSWERS):
        raise UsageError(f"A model for {trained.task} without a tokenizer cannot be explained.")
    inputs = preprocessor.batch([raw])
    for other in preprocessor.steps:
        if isinstance(other, AudioStep):
            clip = slices(
                inputs, other.input, parts=segmentation.patches, sample_rate=other.sample_rate
            )
            return ReadInput(clip, _of_classes(trained))
    return ReadInput(_numbers(trained, inputs, segmentation), _of_classes(trained))


def _of_classes(
    trained: Trained, names: Sequence[str] | None = None, at: OutputPosition | None = None
) -> Callable[[Array, str | None], AttributionTarget]:
    def choose(logits: Array, wanted: str | None) -> AttributionTarget:
        return choose_target(trained.task or "", logits, names or trained.labels, wanted, at)

    return choose


def _text(
    trained: Trained,
    preprocessor: Preprocessor,
    step: TokenizeStep,
    raw: Any,
    *,
    segmentation: Segmentation,
    word: str | None,
) -> ReadInput:
    inputs = preprocessor.batch([raw])
    texts = raw if isinstance(raw, tuple) else (raw,)
    if len(texts) > 1 and trained.task in PER_TOKEN:
        raise UsageError(f"A model for {trained.task} is explained on one text, not on a pair.")
    if len(texts) == 1 and trained.task == ANSWERS:
        raise UsageError("This model answers questions: say which, with --question (a tuple).")
    tokenizer = preprocessor.tokenizer(step.tokenizer)
    (encoding,) = padded_encodings(tokenizer, [raw], step.length)
    if encoding.overflowing:
        warnings.warn(
            f"the text is longer than the {step.length} tokens of the model: the rest was not read",
            stacklevel=2,
        )
    mask = tokenizer.token_to_id("[MASK]")
    blank = padding_id(tokenizer) if mask is None else mask
    at = position_of(trained.task or "", texts[0], encoding, word, mask)
    # What is masked is not there already.
    masked = at.position if at is not None and trained.task in HIDDEN else None
    features = tokens(
        *(inputs, step.input, "\n".join(texts), encoding, blank),
        words=segmentation.words,
        second_at=len(texts[0]) + 1,
        masked=masked,
    )
    if trained.task == ANSWERS:
        return ReadInput(features, partial(span_of, encoding, texts[-1]))
    names = None
    if trained.task in LANGUAGE_MODELS:
        names = decoded(tokenizer, [[index] for index in range(tokenizer.get_vocab_size())])
    return ReadInput(features, _of_classes(trained, names, at))


def _numbers(trained: Trained, inputs: Arrays, segmentation: Segmentation) -> Features:
    if len(inputs) > 1:
        raise UsageError(f"The model takes {', '.join(inputs)}: one array at a time is explained.")
    ((name, array),) = inputs.items()
    dtype = {tensor.name: tensor.dtype for tensor in trained.inputs}[name]
    if not dtype.startswith("float"):
        raise UsageError(
            f"'{name}' holds {dtype}, numbers that only a tokenizer explains: this "
            "model has none recorded."
        )
    inputs = {name: array.astype(np.float32)}
    if array.ndim == 4:
        return pixels(
            inputs,
            name,
            patches=segmentation.patches,
            superpixels=segmentation.superpixels,
            baseline=segmentation.baseline,
        )
    return columns(
        inputs, name, _typical_row(trained, segmentation, inputs, name), segmentation.names
    )


def _typical_row(trained: Trained, segmentation: Segmentation, inputs: Arrays, name: str) -> Array:
    path = Path(segmentation.typical or trained.path / "calibration.npz")
    if segmentation.typical is None and not path.is_file():
        raise UsageError(
            "A column is taken away by giving it its mean over typical rows, and a bundle has "
            "none: name a file of them with --typical (typical=), such as the calibration.npz of "
            "the run."
        )
    rows = _rows(path, name)
    wanted = inputs[name].shape[1:]
    if rows.shape[1:] != wanted or len(rows) == 0:
        raise UsageError(f"'{path}' holds {rows.shape}: rows of shape {wanted} are wanted.")
    return np.asarray(rows.mean(axis=0, keepdims=True), np.float32)


def _rows(path: Path, name: str) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False)
        return np.asarray(loaded if path.suffix == ".npy" else loaded[f"x/{name}"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"'{path}' cannot be read as rows of '{name}': {error}") from error


def position_of(
    task: str, text: str, encoding: Any, word: str | None, mask_id: int | None
) -> OutputPosition | None:
    """Return where the prediction is: at a word, at the masked token, or at the end of the text.

    Args:
        task: The model's head.
        text: As it was given.
        encoding: The ``tokenizers.Encoding`` of the text.
        word: That whose tag is explained; ``the#2`` is the second one of several.
        mask_id: Id of the mask token.

    Returns:
        ``None`` where there is one prediction for the whole text.

    Raises:
        UsageError: No such word, none where one is needed, or not one masked token.
    """
    if task == TAGS:
        return _of_word(text, encoding, word)
    if task in HIDDEN:
        return _of_masked(encoding, mask_id)
    if task == LANGUAGE_MODEL:
        return OutputPosition(_inside(encoding)[-1], "after the text")
    return None


def span_of(encoding: Any, text: str, logits: Array, wanted: str | None) -> SpanTarget:
    """Return the answer to a question that is explained.

    Args:
        encoding: The ``tokenizers.Encoding`` of the question and the text.
        text: That answers are cut from.
        logits: float (1, tokens, 2), of beginnings and ends.
        wanted: Words of the text; the most probable answer by default.

    Raises:
        UsageError: Words that are not there, or not to their end.
    """
    own = np.array([number == 1 for number in encoding.sequence_ids])
    offsets = np.asarray(encoding.offsets)
    if wanted is None:
        first, last = map(int, best_span(own, *np.moveaxis(logits[0], -1, 0)))
    else:
        start = text.find(wanted)
        first, last = tokens_between(offsets, own, start, start + len(wanted))
        if start < 0 or IGNORED in (first, last):
            raise UsageError(f"'{wanted}' is not in what the model reads of the text.")
    words = text[offsets[first, 0] : offsets[last, 1]]
    return SpanTarget(first, last, words, tuple(np.flatnonzero(own).tolist()))


def _inside(encoding: Any) -> list[int]:
    return [at for at, special in enumerate(encoding.special_tokens_mask) if not special]


def _of_masked(encoding: Any, mask_id: int | None) -> OutputPosition:
    found = [at for at, number in enumerate(encoding.ids) if number == mask_id]
    if len(found) != 1:
        raise UsageError(
            f"What is explained is one masked token: write [MASK] in its place, once. There are "
            f"{len(found)} in what the model reads of this text."
        )
    return OutputPosition(found[0], "in place of [MASK]")


def _of_word(text: str, encoding: Any, word: str | None) -> OutputPosition:
    if word is None:
        raise UsageError(
            "This model has a tag for every word: name the one to explain, with --word (word=)."
        )
    bare, _, number = word.rpartition("#") if re.fullmatch(r".+#\d+", word) else (word, "", "")
    starts = [m.start() for m in re.finditer(rf"(?<!\w){re.escape(bare)}(?!\w)", text)]
    if not starts:
        raise UsageError(f"There is no word '{bare}' in the text.")
    if not number and len(starts) > 1:
        raise UsageError(
            f"'{bare}' is in the text {len(starts)} times: say which, such as '{bare}#2'."
        )
    if number and not 1 <= int(number) <= len(starts):
        raise UsageError(f"'{bare}' is in the text {len(starts)} times, and '{word}' is none.")
    start = starts[int(number or 1) - 1]
    for at in _inside(encoding):
        first, end = encoding.offsets[at]
        if first <= start < end:
            return OutputPosition(at, f"at '{word}'")
    raise UsageError(f"'{word}' is beyond the {len(encoding.ids)} tokens that the model reads.")
