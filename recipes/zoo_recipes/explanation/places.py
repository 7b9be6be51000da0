"""Which token's answer is explained, of a model that has one at every token; and which span."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED
from zoo_recipes.explanation.target import HIDDEN, Array, Place, SpanTarget
from zoo_recipes.tasks.answers import best_span, tokens_between
from zoo_recipes.tasks.objectives import LANGUAGE_MODEL, TAGS
from zoo_registry import UsageError


def place_of(
    task: str, text: str, encoding: Any, word: str | None, mask_id: int | None
) -> Place | None:
    """Return where the answer is: at a word, at the hidden token, or at the end of the text.

    Args:
        task: The model's head.
        text: As it was given.
        encoding: The ``tokenizers.Encoding`` of the text.
        word: That whose tag is explained; ``the#2`` is the second one of several.
        mask_id: Number of the token that stands where one is hidden.

    Returns:
        ``None`` where there is one answer for the whole text.

    Raises:
        UsageError: No such word, none where one is needed, or not one hidden token.
    """
    if task == TAGS:
        return _of_word(text, encoding, word)
    if task in HIDDEN:
        return _of_hidden(encoding, mask_id)
    if task == LANGUAGE_MODEL:
        return Place(_inside(encoding)[-1], "after the text")
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


def _of_hidden(encoding: Any, mask_id: int | None) -> Place:
    found = [at for at, number in enumerate(encoding.ids) if number == mask_id]
    if len(found) != 1:
        raise UsageError(
            f"What is explained is one hidden token: write [MASK] in its place, once. There are "
            f"{len(found)} in what the model reads of this text."
        )
    return Place(found[0], "in place of [MASK]")


def _of_word(text: str, encoding: Any, word: str | None) -> Place:
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
            return Place(at, f"at '{word}'")
    raise UsageError(f"'{word}' is beyond the {len(encoding.ids)} tokens that the model reads.")
