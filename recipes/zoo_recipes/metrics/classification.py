"""Figures of classifiers, from right classes and logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zoo_recipes.metrics.counting import class_sums, mean_of_defined, precision_recall_f1

BINS = 15
TOP = 5
# Each class is sorted by its probability and each resample summed in that order: of more values
# than these the area under the curve has no interval.
MOST_SORTED = 500_000


@dataclass(frozen=True)
class Classes:
    """One class an example.

    Args:
        targets: int (rows,).
        logits: float (rows, classes), or (rows, 1): one logit is that of class 1 of two.

    Example:
        >>> found = Classes(np.array([0, 1]), np.array([[2.0, 0.0], [1.0, 0.0]]))
        >>> figures = found.figures(np.ones((1, 2)))
        >>> float(figures["accuracy"][0]), found.confusion.tolist()
        (0.5, [[1, 0], [1, 0]])
    """

    targets: Any
    logits: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def take(self, rows: Any) -> Classes:
        """Return some of the rows."""
        return Classes(self.targets[rows], self.logits[rows])

    @cached_property
    def scores(self) -> Any:
        """Logits of every class, float64 (rows, classes)."""
        logits = np.asarray(self.logits, np.float64)
        return np.concatenate([0 * logits, logits], axis=1) if logits.shape[1] == 1 else logits

    @cached_property
    def log_probabilities(self) -> Any:
        """Natural logarithms of the probabilities, float64 (rows, classes)."""
        shifted = self.scores - self.scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @cached_property
    def predicted(self) -> Any:
        """The most probable class of each row."""
        return self.scores.argmax(axis=1)

    @property
    def count(self) -> int:
        """Number of classes."""
        return int(self.scores.shape[1])

    @property
    def confusion(self) -> Any:
        """How often each class (row) was taken for each (column), int."""
        places = self.targets * self.count + self.predicted
        return np.bincount(places, minlength=self.count**2).reshape(self.count, self.count)

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name, as :class:`zoo_recipes.metrics.resampling.Outcomes` says.

        ``calibration_error`` is the expected one of 15 bins of equal width (Guo et al. 2017,
        https://arxiv.org/abs/1706.04599); ``roc_auc`` of more than two classes is the mean of each
        against the rest.
        """
        total = weights.sum(axis=1)
        hits = (self.predicted == self.targets).astype(np.float64)
        right, given, wanted = (
            class_sums(weights * hits, self.targets, self.count),
            class_sums(weights, self.predicted, self.count),
            class_sums(weights, self.targets, self.count),
        )
        chosen = np.take_along_axis(self.log_probabilities, self.targets[:, np.newaxis], axis=1)
        figures = {"accuracy": weights @ hits / total}
        if self.count > TOP:
            better = (self.log_probabilities > chosen).sum(axis=1)
            figures["top_5_accuracy"] = weights @ (better < TOP) / total
        figures |= precision_recall_f1(right, given, wanted)
        if len(weights) == 1 or self.scores.size <= MOST_SORTED:
            figures["roc_auc"] = self._area(weights)
        figures["log_loss"] = weights @ -chosen[:, 0] / total
        figures["calibration_error"] = self._calibration_error(weights, hits)
        return figures

    def _area(self, weights: Any) -> Any:
        if self.count == 2:
            return ranked_area(weights, self.targets == 1, self.scores[:, 1] - self.scores[:, 0])
        columns = [
            ranked_area(weights, self.targets == at, self.log_probabilities[:, at])
            for at in range(self.count)
        ]
        return mean_of_defined(np.stack(columns, axis=1))

    def _calibration_error(self, weights: Any, hits: Any) -> Any:
        sure = np.exp(self.log_probabilities.max(axis=1))
        bins = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
        gaps = class_sums(weights * (hits - sure), bins, BINS)
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


@dataclass(frozen=True)
class MultiLabels:
    """Any number of classes an example.

    Args:
        targets: (rows, classes), 1 for each that applies.
        logits: float (rows, classes); from 0 on a class is given.
    """

    targets: Any
    logits: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def take(self, rows: Any) -> MultiLabels:
        """Return some of the rows."""
        return MultiLabels(self.targets[rows], self.logits[rows])

    @property
    def probabilities(self) -> Any:
        """Of every class by itself, float64 (rows, classes)."""
        return 0.5 * (1 + np.tanh(np.asarray(self.logits, np.float64) / 2))

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; ``subset_accuracy`` counts rows with all classes right."""
        wanted, given = self.targets > 0, self.logits >= 0
        exact = (wanted == given).all(axis=1)
        areas = [
            ranked_area(weights, wanted[:, at], self.logits[:, at]) for at in range(wanted.shape[1])
        ]
        return {
            "subset_accuracy": weights @ exact / weights.sum(axis=1),
            **precision_recall_f1(
                weights @ (wanted & given).astype(np.float64),
                weights @ given.astype(np.float64),
                weights @ wanted.astype(np.float64),
            ),
            "roc_auc": mean_of_defined(np.stack(areas, axis=1)),
        }


def ranked_area(weights: Any, positive: Any, scores: Any) -> Any:
    """Return the area under the ROC curve, float (resamples,); NaN where all rows are of one kind.

    Args:
        weights: float (resamples, rows).
        positive: bool (rows,).
        scores: float (rows,): higher for what looks positive; equal ones count half.

    Example:
        >>> rows = np.array([False, True, True, False]), np.array([0.1, 0.4, 0.9, 0.4])
        >>> ranked_area(np.ones((1, 4)), *rows).tolist()
        [0.875]
    """
    _, ranks = np.unique(scores, return_inverse=True)
    count = int(ranks.max()) + 1
    pros = class_sums(weights * positive, ranks, count)
    cons = class_sums(weights * ~positive, ranks, count)
    below = np.cumsum(cons, axis=1) - cons / 2
    pairs = pros.sum(axis=1) * cons.sum(axis=1)
    won = (pros * below).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
