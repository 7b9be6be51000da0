"""Metrics of predicted numbers: their errors, and the rankings that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Numbers:
    """One number or more an example.

    Args:
        targets: float (rows,) or (rows, ...).
        predictions: As many.

    Example:
        >>> found = Numbers(np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))
        >>> {name: float(value[0]) for name, value in found.figures(np.ones((1, 2))).items()}
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

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; of several numbers a row, the mean of those of each."""
        wanted = np.asarray(self.targets, np.float64).reshape(len(self), -1)
        errors = np.asarray(self.predictions, np.float64).reshape(wanted.shape) - wanted
        shares = weights / weights.sum(axis=1, keepdims=True)
        squared = shares @ errors**2
        # Around the mean of all rows: the difference of two large numbers would be rounded.
        centred = wanted - wanted.mean(axis=0)
        spread = shares @ centred**2 - (shares @ centred) ** 2
        explained = np.divide(squared, spread, out=np.full_like(squared, np.nan), where=spread > 0)
        return {
            "rmse": np.sqrt(squared).mean(axis=1),
            "mae": (shares @ np.abs(errors)).mean(axis=1),
            "r2": 1 - explained.mean(axis=1),
        }


TOP = 10


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

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return the means by name."""
        shares = weights / weights.sum(axis=1, keepdims=True)
        return {"ndcg": shares @ self.ndcg, "ndcg_10": shares @ self.ndcg_10}


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

    return Rankings(gains(None), gains(TOP))
