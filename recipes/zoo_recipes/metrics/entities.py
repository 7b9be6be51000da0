"""Figures of tagged words: whole entities, as seqeval counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.metrics.counting import precision_recall_f1
from zoo_registry import ZooError

Tags = Sequence[str]
_MARKS, _OUTSIDE = ("B-", "I-"), "O"


@dataclass(frozen=True)
class Entities:
    """Entities and tokens of sentences, counted.

    Args:
        kinds: Of entities, such as ``PER``.
        counts: int (sentences, kinds, 3): entities found rightly, found, and there.
        hits: int (sentences,): tokens with the right tag.
        tokens: int (sentences,): tokens in all.
        share: How the share of right tags is called.
    """

    kinds: tuple[str, ...]
    counts: Any
    hits: Any
    tokens: Any
    share: str = "accuracy"

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.hits)

    def take(self, rows: Any) -> Entities:
        """Return some of the sentences."""
        counts, hits, tokens = (array[rows] for array in (self.counts, self.hits, self.tokens))
        return Entities(self.kinds, counts, hits, tokens, self.share)

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; ``share`` is that of tokens, all else of whole entities."""
        sums = np.tensordot(weights, self.counts.astype(np.float64), axes=1)
        return {
            self.share: weights @ self.hits / (weights @ self.tokens),
            **precision_recall_f1(*np.moveaxis(sums, -1, 0)),
        }


def count_entities(
    wanted: Sequence[Tags], given: Sequence[Tags], *, share: str = "accuracy"
) -> Entities:
    """Return the counts of sentences.

    Where no tag begins with ``B-`` or ``I-``, as with parts of speech, each word is by itself.

    Args:
        wanted: The right tags of each sentence, such as ``["B-PER", "I-PER", "O"]``.
        given: The model's, as many; an empty tag is none, and never right.
        share: How the share of right tags is called.

    Raises:
        ZooError: seqeval is not installed.

    Example:
        >>> found = count_entities([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]])
        >>> found.kinds, found.counts.tolist(), found.hits.tolist()
        (('PER',), [[[0, 1, 1]]], [2])
    """
    try:
        from seqeval.metrics.sequence_labeling import get_entities
    except ModuleNotFoundError as error:
        raise ZooError(
            "Figures of entities need seqeval: pip install 'kerazoo[text-metrics]'."
        ) from error
    marked = any(tag[:2] in _MARKS for tags in wanted for tag in tags)

    def found_in(tags: Tags) -> set[Any]:
        known = [tag or _OUTSIDE for tag in tags]
        alone = [tag if tag == _OUTSIDE else f"B-{tag}" for tag in known]
        return set(get_entities(known if marked else alone))

    rows = [(found_in(right), found_in(made)) for right, made in zip(wanted, given, strict=True)]
    kinds = sorted({kind for row in rows for found in row for kind, _, _ in found})
    counted = []
    for right, made in rows:
        parts = [Counter(kind for kind, _, _ in found) for found in (right & made, made, right)]
        counted.append([[part[kind] for part in parts] for kind in kinds])
    pairs = list(zip(wanted, given, strict=True))
    return Entities(
        tuple(kinds),
        np.asarray(counted, np.int64).reshape(len(rows), len(kinds), 3),
        np.asarray([sum(a == b for a, b in zip(*pair, strict=True)) for pair in pairs]),
        np.asarray([len(right) for right in wanted]),
        share,
    )
