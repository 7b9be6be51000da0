"""Words with a tag each: the arrays of training, and how many words are tagged right."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED, Arrays, Predictor, PreparedArrays, only_logits
from zoo_recipes.metrics.resampling import point
from zoo_recipes.metrics.texts import ENTITY_F1, Entities, are_entities, count_entities
from zoo_registry import UsageError, ZooError

BATCH_SIZE = 256


@dataclass(frozen=True)
class Tags(PreparedArrays):
    """Rows of texts whose targets are the tags of the words that their tokens are parts of.

    Args:
        first: bool (examples, tokens), the token that a word begins with.
        words: The tags of all words of each text, those that were cut off too.
        names: Of the tags.
    """

    first: Any
    words: Sequence[Any]
    names: Sequence[str] = ()


def tag_rows(
    inputs: Arrays,
    texts: Sequence[str],
    words: Sequence[Any],
    encodings: Iterable[Any],
    names: Sequence[str] = (),
) -> Tags:
    """Return prepared texts with a target for every token.

    A text is its words with one space between them, as a device is given it. All tokens of a word
    learn its tag, as they are all asked for it there.

    Args:
        inputs: By name of the model input, int32 (examples, tokens).
        texts: The texts.
        words: The tags of each text's words.
        encodings: A ``tokenizers.Encoding`` of each text, cut and padded to all tokens.
        names: Of the tags.

    Raises:
        UsageError: A text with another number of tags than of words.
    """
    shape = next(iter(inputs.values())).shape
    targets, first = np.full(shape, IGNORED, np.int32), np.zeros(shape, bool)
    for row, (text, tags, encoding) in enumerate(zip(texts, words, encodings, strict=True)):
        count = text.count(" ") + 1
        if len(tags) != count:
            raise UsageError(
                f"Example {row} has {count} words and {len(tags)} tags: {text[:40]!r}."
            )
        positions = _positions(text, encoding)
        own = np.flatnonzero(positions >= 0)
        targets[row, own] = np.asarray(tags)[positions[own]]
        first[row, own] = np.diff(positions[own], prepend=-1) > 0
    return Tags(inputs, targets, first, words, names)


def _positions(text: str, encoding: Any) -> Any:
    """Return the index of the word that each token is a part of, or -1."""
    # Of each character: how many spaces are before it.
    word_of = np.cumsum([character == " " for character in text])
    special = np.asarray(encoding.special_tokens_mask, bool)
    # Some tokenizers put the space before a word into its first token: its last character tells.
    ends = np.asarray([end for _, end in encoding.offsets])
    empty = np.asarray([start == end for start, end in encoding.offsets])
    return np.where(special | empty, -1, word_of[np.maximum(ends - 1, 0)])


def tags_of_words(source: Tags, tags: Any) -> list[Any]:
    """Return the tags, as indices, of the words of each text.

    Args:
        source: The texts.
        tags: int (examples, tokens), the most probable one of each token.

    Returns:
        Each word has the tag of its first token; one that was cut off has :data:`IGNORED`.
    """
    rows = []
    for first, right, row in zip(source.first, source.words, tags, strict=True):
        of_words = row[first]
        rows.append(np.pad(of_words, (0, len(right) - len(of_words)), constant_values=IGNORED))
    return rows


def count_tags(source: Tags, tags: Any, names: Sequence[str]) -> Entities:
    """Return how many words and entities of each text were predicted rightly.

    Args:
        source: The texts.
        tags: int (examples, tokens), the most probable one of each token.
        names: Of the tags.

    Raises:
        ZooError: seqeval is not installed.
    """
    # A word that was cut off has no tag: none that is right.
    named = [*names, ""]
    wanted, given = (
        [[named[tag] for tag in row] for row in rows]
        for rows in (source.words, tags_of_words(source, tags))
    )
    return count_entities(wanted, given, fraction="word_accuracy", names=names)


def tag_metrics(predict: Predictor, source: Tags) -> dict[str, float]:
    """Return what is known of words: ``entity_f1`` where the tags mark entities, ``word_accuracy``.

    The latter is the fraction of words with the right tag; those cut off have none.
    """
    tags = []
    for start in range(0, len(source), BATCH_SIZE):
        inputs, _ = source.take(np.arange(start, min(start + BATCH_SIZE, len(source))))
        tags.append(np.argmax(only_logits(predict(inputs)), axis=-1))
    predicted = np.concatenate(tags)
    made = np.concatenate(tags_of_words(source, predicted))
    fraction = float((made == np.concatenate(list(source.words))).mean())
    return _entity_f1(source, predicted) | {"word_accuracy": fraction}


def _entity_f1(source: Tags, predicted: Any) -> dict[str, float]:
    if not are_entities(source.names):
        return {}
    try:
        metrics = point(count_tags(source, predicted, source.names))
    except ZooError as error:
        # A training is not lost for it.
        warnings.warn(f"entity_f1 was not measured. {error}", stacklevel=2)
        return {}
    return {ENTITY_F1: metrics[ENTITY_F1]}
