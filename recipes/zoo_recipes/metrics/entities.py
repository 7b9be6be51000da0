"""Figures of tagged words: whole entities, as seqeval counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.metrics.classification import precision_recall_f1
from zoo_registry import ZooError

Tags = Sequence[str]
ENTITY_F1 = "entity_f1"
_MARKS, _OUTSIDE = ("B-", "I-"), "O"
# What others call beginning, inside, last and unit of an entity, as seqeval calls it.
_SAME_MARKS = {"L-": "E-", "U-": "S-"}


@dataclass(frozen=True)
class Entities:
    """Entities and tokens of sentences, counted.

    Args:
        kinds: Of entities, such as ``PER``.
        counts: int (sentences, kinds, 3): entities found rightly, found, and there.
        hits: int (sentences,): tokens with the right tag.
        tokens: int (sentences,): tokens in all.
        share: How the share of right tags is called.
        are_marked: Whether they are entities of several words, or each word is by itself.
    """

    kinds: tuple[str, ...]
    counts: Any
    hits: Any
    tokens: Any
    share: str = "accuracy"
    are_marked: bool = True

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.hits)

    def take(self, rows: Any) -> Entities:
        """Return some of the sentences."""
        counts, hits, tokens = (array[rows] for array in (self.counts, self.hits, self.tokens))
        return Entities(self.kinds, counts, hits, tokens, self.share, self.are_marked)

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; ``share`` is that of tokens, all else of whole entities.

        ``entity_f1`` comes first where there are such: most words are of none, and who says so of
        all of them has a high share of right tags.
        """
        sums = np.tensordot(weights, self.counts.astype(np.float64), axes=1)
        figures = precision_recall_f1(*np.moveaxis(sums, -1, 0))
        share = {self.share: weights @ self.hits / (weights @ self.tokens)}
        if not self.are_marked:
            return share | figures
        of_all = {f"entity_{n}": figures.pop(f"{n}_micro") for n in ("f1", "precision", "recall")}
        return of_all | share | figures


def are_entities(names: Sequence[str]) -> bool:
    """Return whether tags mark where entities begin, as parts of speech do not.

    Example:
        >>> are_entities(["B-PER", "I-PER", "O"]), are_entities(["NOUN", "VERB"])
        (True, False)
    """
    return any(name[:2] in _MARKS for name in names)


def count_entities(
    wanted: Sequence[Tags],
    given: Sequence[Tags],
    *,
    share: str = "accuracy",
    names: Sequence[str] = (),
) -> Entities:
    """Return the counts of sentences.

    Where no tag begins with ``B-`` or ``I-``, as with parts of speech, each word is by itself.

    Args:
        wanted: The right tags of each sentence, such as ``["B-PER", "I-PER", "O"]``.
        given: The model's, as many; an empty tag is none, and never right.
        share: How the share of right tags is called.
        names: All tags that there are, where the sentences may lack some.

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
    marked = are_entities(names) or any(are_entities(tags) for tags in wanted)

    def found_in(tags: Tags) -> set[Any]:
        known = [_same(tag) if marked else tag or _OUTSIDE for tag in tags]
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
        marked,
    )


def _same(tag: str) -> str:
    return _SAME_MARKS.get(tag[:2], tag[:2]) + tag[2:] or _OUTSIDE
