"""Metrics of classifiers: counts by class, calibration, curves; likely label errors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

BINS = 15
TOP_CLASSES = 5
# Each class is sorted by its probability and each resample summed in that order: of more values
# than these the area under the curve has no interval.
MOST_SORTED = 500_000
MOST_LABEL_ERRORS = 20


def class_sums(weights: Any, classes: Any, count: int) -> Any:
    """Return the sum of the weights of each class, float (resamples, count).

    Args:
        weights: float (resamples, rows).
        classes: int (rows,), in 0..count.
        count: Number of classes.

    Example:
        >>> class_sums(np.array([[1.0, 2.0, 4.0]]), np.array([2, 0, 2]), 3).tolist()
        [[2.0, 0.0, 5.0]]
    """
    order = np.argsort(classes, kind="stable")
    running = np.zeros((len(weights), len(classes) + 1))
    np.cumsum(weights[:, order], axis=1, out=running[:, 1:])
    ends = np.searchsorted(classes[order], np.arange(count + 1))
    sums = running[:, ends]
    return np.diff(sums, axis=1)


def precision_recall_f1(right: Any, given: Any, wanted: Any) -> dict[str, Any]:
    """Return precision, recall and F1 of each class, their means (macro), and of all (micro).

    As in scikit-learn, a metric whose denominator is zero counts as 0; a class that is neither
    wanted nor given has none and is in no mean.

    Args:
        right: float (resamples, classes): how often a class was given rightly.
        given: How often it was given.
        wanted: How often it was the right one.

    Example:
        >>> counts = np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]), np.array([[3.0, 2.0]])
        >>> {name: value[0].tolist() for name, value in precision_recall_f1(*counts).items()}["f1"]
        [0.5, 0.6666666666666666]
    """
    occurs = given + wanted > 0
    metrics = {}
    for name, count in (("precision", given), ("recall", wanted), ("f1", (given + wanted) / 2)):
        metrics[name] = np.where(occurs, _fraction(right, count), np.nan)
        metrics[f"{name}_micro"] = _fraction(right.sum(axis=1), count.sum(axis=1))
        metrics[f"{name}_macro"] = mean_of_defined(metrics[name])
    return metrics


def mean_of_defined(values: Any) -> Any:
    """Return the mean of each row without its NaN; NaN where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1)


def _fraction(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


@dataclass(frozen=True)
class Classes:
    """One class an example.

    Args:
        targets: int (rows,).
        logits: float (rows, classes), or (rows, 1): one logit is that of class 1 of two.

    Example:
        >>> found = Classes(np.array([0, 1]), np.array([[2.0, 0.0], [1.0, 0.0]]))
        >>> metrics = found.metrics(np.ones((1, 2)))
        >>> float(metrics["accuracy"][0]), found.confusion.tolist()
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
        cells = self.targets * self.count + self.predicted
        return np.bincount(cells, minlength=self.count**2).reshape(self.count, self.count)

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name, as :class:`zoo_recipes.metrics.resampling.Outcomes` says.

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
        metrics = {"accuracy": weights @ hits / total}
        if self.count > TOP_CLASSES:
            better = (self.log_probabilities > chosen).sum(axis=1)
            metrics["top_5_accuracy"] = weights @ (better < TOP_CLASSES) / total
        metrics |= precision_recall_f1(right, given, wanted)
        if len(weights) == 1 or self.scores.size <= MOST_SORTED:
            metrics["roc_auc"] = self._area(weights)
        metrics["log_loss"] = weights @ -chosen[:, 0] / total
        metrics["calibration_error"] = self._calibration_error(weights, hits)
        return metrics

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

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; ``subset_accuracy`` counts rows with all classes right."""
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


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """One example whose label is likely wrong.

    Args:
        location: File and line or record of custom data; of others the split and its index,
            from 0, as tensorflow-datasets reads them.
        given: The class that it is in.
        predicted: The class that it looks like.
        self_confidence: Probability of the given class.
        usual: Mean probability of that class over the examples in it.
        text: Its beginning, where it is a text.
    """

    location: str
    given: str
    predicted: str
    self_confidence: float
    usual: float
    text: str = ""


def likely_label_errors(
    targets: Any, probabilities: Any, most: int = MOST_LABEL_ERRORS
) -> list[tuple[int, int]]:
    """Return the rows whose class is likely another, the likeliest first, and that other class.

    Confident learning (Northcutt et al. 2021, https://arxiv.org/abs/1911.00068): a row counts as of
    a class where its probability is at least the mean over the rows labelled so. Those that count
    as of another class than their own are listed, lowest probability of the own class first, as
    measured from the usual one of that class.

    Args:
        targets: int (rows,): the given classes.
        probabilities: float (rows, classes), of a model that was not trained on these rows.
        most: How many to return at most.

    Example:
        >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.05, 0.95]])
        >>> likely_label_errors(np.array([0, 0, 1, 0]), rows)
        [(3, 1)]
    """
    own = probabilities[np.arange(len(targets)), targets]
    usual = usual_confidence(targets, probabilities)
    confident = np.where(probabilities >= usual, probabilities, -1)
    looks_like = confident.argmax(axis=1)
    suspects = np.flatnonzero((confident.max(axis=1) > 0) & (looks_like != targets))
    order = np.argsort((own - usual[targets])[suspects], kind="stable")
    return [(int(row), int(looks_like[row])) for row in suspects[order][:most]]


def applies(label: str, is_given: Any) -> str:
    """Return the words for one of several classes that applies, or does not."""
    return label if is_given else f"not {label}"


def likely_errors_of_several(
    targets: Any, probabilities: Any, most: int = MOST_LABEL_ERRORS
) -> list[tuple[int, int]]:
    """Return the rows in which a class likely applies and is not given, or the reverse.

    Each class is scored by itself, as :func:`likely_label_errors` scores two: that it applies, and
    that it does not.

    Args:
        targets: bool (rows, classes): whether a class is given.
        probabilities: float (rows, classes), of a model that was not trained on these rows.
        most: How many to return at most.

    Returns:
        Row and class, the likeliest error first.

    Example:
        >>> rows = np.array([[0.9, 0.2], [0.8, 0.9], [0.1, 0.1], [0.05, 0.8]])
        >>> likely_errors_of_several(np.array([[1, 0], [1, 1], [0, 0], [1, 1]]) > 0, rows)
        [(3, 0)]
    """
    found = []
    for at in range(targets.shape[1]):
        given = targets[:, at].astype(int)
        two = np.stack([1 - probabilities[:, at], probabilities[:, at]], axis=1)
        usual = usual_confidence(given, two)
        found += [
            (two[row, given[row]] - usual[given[row]], row, at)
            for row, _ in likely_label_errors(given, two, most)
        ]
    return [(row, at) for _, row, at in sorted(found)[:most]]


def usual_confidence(targets: Any, probabilities: Any) -> Any:
    """Return the mean probability of each class over the rows in it; infinite where there is none.

    Args:
        targets: int (rows,).
        probabilities: float (rows, classes).
    """
    counts = np.bincount(targets, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(targets)), targets]
    sums = np.bincount(targets, weights=own, minlength=probabilities.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), np.inf), where=counts > 0)
