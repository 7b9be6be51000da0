"""Figures of rankings: how high what is wanted stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
