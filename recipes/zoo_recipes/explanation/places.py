"""Which token's answer is explained, of a model that has one at every token."""

from __future__ import annotations

import re
from typing import Any

from zoo_recipes.explanation.target import MASKED, NEXT, TAGS, Place
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
    if task in MASKED:
        return _of_hidden(encoding, mask_id)
    if task == NEXT:
        return Place(_inside(encoding)[-1], "after the text")
    return None


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
