"""Metrics of examples (ratios, numbers, rankings), and their bootstrap confidence intervals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
# Weights of so many examples, over all resamples, are in memory at a time.
_BLOCK = 1 << 22

Interval = tuple[float, float]
TOP_RANKED = 10


class Outcomes(Protocol):
    """What was right and what a model predicted, an example a row.

    An example that is drawn twice counts twice: every metric is defined for weighted rows, which
    makes a thousand resamples a few products of matrices.
    """

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def take(self, rows: Any) -> Self:
        """Return some of the rows."""
        ...

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name.

        Args:
            weights: float (resamples, rows).

        Returns:
            float (resamples,), or (resamples, classes) where there is one a class; NaN where a
            metric is not defined, such as the recall of a class that does not occur.
        """
        ...


@dataclass(frozen=True)
class WithLoss:
    """Outcomes, and the loss of each row.

    Args:
        outcomes: Any kind of them.
        losses: float (rows,).
    """

    outcomes: Outcomes
    losses: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.losses)

    def take(self, rows: Any) -> WithLoss:
        """Return some of the rows."""
        return WithLoss(self.outcomes.take(rows), self.losses[rows])

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return the loss, and the metrics of the outcomes."""
        loss = weights @ self.losses / weights.sum(axis=1)
        return {"loss": loss, **self.outcomes.metrics(weights)}


def point(outcomes: Outcomes) -> dict[str, float]:
    """Return the metrics of all rows that are one number; those not defined are left out."""
    found = outcomes.metrics(np.ones((1, len(outcomes))))
    numbers = {name: float(value[0]) for name, value in found.items() if value.ndim == 1}
    return {name: number for name, number in numbers.items() if np.isfinite(number)}


@dataclass(frozen=True)
class Estimates:
    """Metrics with their intervals; those that are not defined are left out.

    Attributes:
        metrics: By name.
        intervals: Of each metric, at 95 %.
        per_class: By metric, one a class; NaN where it is not defined.
        class_intervals: Of those, (classes, 2).
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    per_class: Mapping[str, Any]
    class_intervals: Mapping[str, Any]


def measured(
    outcomes: Outcomes, *, resamples: int = RESAMPLES, seed: int = 0, together: Any = None
) -> Estimates:
    """Return the metrics of all rows, and percentile bootstrap intervals (Efron 1979) at 95 %.

    Args:
        outcomes: Any kind of them.
        resamples: How often as many rows are drawn, with replacement.
        seed: Of the draws: the same rows have the same intervals.
        together: int (rows,): rows of the same number are drawn together, such as the ratings of
            one user, which are not independent; ``None`` draws each by itself.

    Example:
        >>> from zoo_recipes.metrics.resampling import Numbers
        >>> found = measured(Numbers(np.arange(50.0), np.arange(50.0) + [1, 3] * 25))
        >>> found.metrics["mae"], [round(bound, 2) for bound in found.intervals["mae"]]
        (2.0, [1.72, 2.28])
    """
    values = {
        name: array[0] for name, array in outcomes.metrics(np.ones((1, len(outcomes)))).items()
    }
    units = np.arange(len(outcomes)) if together is None else np.unique_inverse(together)[1]
    drawn = [outcomes.metrics(weights) for weights in _weights(units, resamples, seed)]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    bounds = {}
    for name in drawn[0]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # A class that was never drawn.
            bounds[name] = np.nanquantile(
                [row for block in drawn for row in block[name]], tails, axis=0
            )
    scalars = {name: float(value) for name, value in values.items() if np.ndim(value) == 0}
    return Estimates(
        metrics={name: value for name, value in scalars.items() if np.isfinite(value)},
        intervals={
            name: (float(low), float(high))
            for name, (low, high) in bounds.items()
            if np.isfinite(scalars.get(name, np.nan))
        },
        per_class={name: value for name, value in values.items() if name not in scalars},
        class_intervals={name: b.T for name, b in bounds.items() if name not in scalars},
    )


def _weights(units: Any, resamples: int, seed: int) -> Iterator[Any]:
    generator = np.random.default_rng(seed)
    count = int(units.max()) + 1
    block = max(1, _BLOCK // len(units))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, count, (size, count)) + np.arange(size)[:, np.newaxis] * count
        counts = np.bincount(drawn.ravel(), minlength=size * count)
        yield counts.reshape(size, count).astype(np.float64)[:, units]


@dataclass(frozen=True)
class Ratios:
    """What was counted of each example.

    Args:
        counted: By metric: float (rows,), what it adds to the sum, and to what that is divided by.

    Example:
        >>> found = Ratios({"accuracy": (np.array([1, 3]), np.array([2, 4]))})
        >>> float(found.metrics(np.ones((1, 2)))["accuracy"][0])
        0.6666666666666666
    """

    counted: Mapping[str, tuple[Any, Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.counted.values()))[0])

    def take(self, rows: Any) -> Ratios:
        """Return some of the rows."""
        return Ratios({name: (a[rows], b[rows]) for name, (a, b) in self.counted.items()})

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; NaN where there is nothing to divide by."""
        sums = {name: (weights @ a, weights @ b) for name, (a, b) in self.counted.items()}
        return {
            name: np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
            for name, (a, b) in sums.items()
        }


def count_hits(targets: Any, logits: Any) -> tuple[Any, Any]:
    """Return how many classes, or masked tokens, of each row were predicted rightly, of how many.

    Args:
        targets: int (rows, ...); negative ones do not count.
        logits: float (rows, ..., classes).
    """
    counted = targets >= 0
    hits = (np.argmax(logits, axis=-1) == targets) & counted
    rows = len(targets)
    return hits.reshape(rows, -1).sum(axis=1), counted.reshape(rows, -1).sum(axis=1)


def joined(parts: list[Mapping[str, tuple[Any, Any]]]) -> Ratios:
    """Return the counts of all batches together."""
    columns = {name: zip(*(part[name] for part in parts), strict=True) for name in parts[0]}
    sums = {name: [np.concatenate(arrays) for arrays in both] for name, both in columns.items()}
    return Ratios({name: (hits, counted) for name, (hits, counted) in sums.items()})


@dataclass(frozen=True)
class Numbers:
    """One number or more an example.

    Args:
        targets: float (rows,) or (rows, ...).
        predictions: As many.

    Example:
        >>> found = Numbers(np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))
        >>> {name: float(value[0]) for name, value in found.metrics(np.ones((1, 2))).items()}
        {'rmse': 1.4142135623730951, 'mae': 1.0, 'r2': -1.0}
    """

    targets: Any
    predictions: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def take(self, rows: Any) -> Numbers:
        """Return some of the rows."""
        return Numbers(self.targets[rows], self.predictions[rows])

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; of several numbers a row, the mean of those of each."""
        wanted = np.asarray(self.targets, np.float64).reshape(len(self), -1)
        errors = np.asarray(self.predictions, np.float64).reshape(wanted.shape) - wanted
        fractions = weights / weights.sum(axis=1, keepdims=True)
        squared = fractions @ errors**2
        # Around the mean of all rows: the difference of two large numbers would be rounded.
        centred = wanted - wanted.mean(axis=0)
        spread = fractions @ centred**2 - (fractions @ centred) ** 2
        explained = np.divide(squared, spread, out=np.full_like(squared, np.nan), where=spread > 0)
        return {
            "rmse": np.sqrt(squared).mean(axis=1),
            "mae": (fractions @ np.abs(errors)).mean(axis=1),
            "r2": 1 - explained.mean(axis=1),
        }


@dataclass(frozen=True)
class Rankings:
    """Normalised discounted cumulative gain of queries, or users.

    Args:
        ndcg: float (queries,), of all their items.
        ndcg_10: float (queries,), of the ten that stand highest.
    """

    ndcg: Any
    ndcg_10: Any

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.ndcg)

    def take(self, rows: Any) -> Rankings:
        """Return some of the queries."""
        return Rankings(self.ndcg[rows], self.ndcg_10[rows])

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return the means by name."""
        fractions = weights / weights.sum(axis=1, keepdims=True)
        return {"ndcg": fractions @ self.ndcg, "ndcg_10": fractions @ self.ndcg_10}


def rank(wanted: Sequence[Any], given: Sequence[Any]) -> Rankings:
    """Return the gains of rankings, by scikit-learn.

    Args:
        wanted: Of each query, how much each of its items is wanted, such as a rating: float
            (items,), none below 0, two items or more.
        given: Of each query, the score of each of its items.

    Example:
        >>> found = rank([[3.0, 0.0, 1.0]], [[0.9, 0.2, 0.5]])
        >>> found.ndcg.tolist()
        [1.0]
    """
    from sklearn.metrics import ndcg_score

    def gains(k: int | None) -> Any:
        rows = zip(wanted, given, strict=True)
        return np.array([ndcg_score([right], [scores], k=k) for right, scores in rows])

    return Rankings(gains(None), gains(TOP_RANKED))
