"""Positive pairs: two views of one example (SimCLR), or both texts of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Arrays, ArraySource, Predictor, only_embedding
from zoo_recipes.metrics.resampling import Ratios
from zoo_registry import UsageError

BATCH_SIZE = 256
# Rows of the similarity matrix that are in memory at a time.
_BLOCK = 1024
# Equal texts have equal embeddings, but for how a batch is rounded.
_EQUAL = 1e-5


@dataclass(frozen=True)
class Views:
    """Two views of each example; of one source where they differ by augmentation or dropout only.

    A batch has all first views, then all second ones, in the same order.

    Args:
        first: The first view of each example.
        second: The second one.
        classes: What the embeddings are measured by where there is one source: int (examples,).
        texts: Where there are two sources, the second texts: the same one may be there several
            times.
    """

    first: ArraySource
    second: ArraySource
    classes: Any = None
    texts: Sequence[str] = ()

    @property
    def targets(self) -> None:
        """The order of the rows says which two are views of one example."""
        return None

    def __len__(self) -> int:
        """Return the number of pairs of views."""
        return len(self.first)

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return the inputs by name, two rows for each index, and as many zeros for targets."""
        ours, _ = self.first.take(indices)
        theirs = ours if self.second is self.first else self.second.take(indices)[0]
        inputs = {name: np.concatenate([ours[name], theirs[name]]) for name in ours}
        return inputs, np.zeros(2 * len(indices), np.float32)


def count_views(predict: Predictor, source: Views) -> Ratios:
    """Return metrics of the embeddings of all examples.

    Of one source it is ``neighbor_accuracy``, the fraction of examples whose nearest other example,
    by cosine, is of their class. Of two they are ``recall_at_1``, ``recall_at_10`` and ``mrr``, the
    mean of 1 / rank, of the second views that are nearest to the first ones.

    Args:
        predict: Its only output, or the one that is pooled, is float (examples, width).
        source: The examples.

    Raises:
        UsageError: Classes are needed, and there are none.
    """
    first = embedded(predict, source.first)
    if source.first is not source.second:
        return retrieved(first, embedded(predict, source.second), source.texts)
    if source.classes is None:
        raise UsageError(
            "Views of one example are measured by their classes: set dataset.label to the feature "
            "that holds them; no training looks at it."
        )
    return neighbors(first, source.classes)


def embedded(predict: Predictor, source: ArraySource) -> Any:
    """Return the embeddings of all examples at length 1, float32 (examples, width)."""
    made = []
    for start in range(0, len(source), BATCH_SIZE):
        inputs, _ = source.take(np.arange(start, min(start + BATCH_SIZE, len(source))))
        made.append(np.asarray(only_embedding(predict(inputs)), np.float32))
    rows = np.concatenate(made)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def neighbors(embeddings: Any, classes: Any) -> Ratios:
    """Return whether the nearest other example is of the same class.

    Args:
        embeddings: float (examples, width), of length 1.
        classes: int (examples,).

    Example:
        >>> near = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> neighbors(near, np.array([4, 4, 7])).counted["neighbor_accuracy"][0].tolist()
        [1.0, 1.0, 0.0]
    """
    hits = np.zeros(len(embeddings))
    for start in range(0, len(embeddings), _BLOCK):
        cosines = embeddings[start : start + _BLOCK] @ embeddings.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        hits[start + rows] = classes[cosines.argmax(axis=1)] == classes[start + rows]
    return Ratios({"neighbor_accuracy": (hits, np.ones(len(hits)))})


def retrieved(first: Any, second: Any, texts: Sequence[str]) -> Ratios:
    """Return the rank of the second view among all second ones, for each first one.

    Args:
        first: float (examples, width), of length 1.
        second: The same.
        texts: What the second ones are of: those of equal text are equally right.

    Example:
        >>> found = retrieved(np.eye(2), np.array([[0.6, 0.8], [0.8, 0.6]]), ["a", "b"])
        >>> found.counted["mrr"][0].tolist()
        [0.5, 0.5]
    """
    named = np.unique(np.asarray(texts), return_inverse=True)[1]
    ranks = np.zeros(len(first))
    for start in range(0, len(first), _BLOCK):
        cosines = first[start : start + _BLOCK] @ second.T
        rows = np.arange(len(cosines))
        own = cosines[rows, start + rows, np.newaxis]
        others = named[np.newaxis] != named[start + rows, np.newaxis]
        ranks[start + rows] = 1 + ((cosines > own - _EQUAL) & others).sum(axis=1)
    every = np.ones(len(ranks))
    return Ratios(
        {
            "recall_at_1": (ranks <= 1, every),
            "recall_at_10": (ranks <= 10, every),
            "mrr": (1 / ranks, every),
        }
    )
