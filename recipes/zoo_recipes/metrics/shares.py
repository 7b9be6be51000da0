"""Figures that are a sum over a sum, such as right answers over answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shares:
    """What was counted of each example.

    Args:
        counted: By figure: float (rows,), what it adds to the sum, and to what that is divided by.

    Example:
        >>> found = Shares({"accuracy": (np.array([1, 3]), np.array([2, 4]))})
        >>> float(found.figures(np.ones((1, 2)))["accuracy"][0])
        0.6666666666666666
    """

    counted: Mapping[str, tuple[Any, Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.counted.values()))[0])

    def take(self, rows: Any) -> Shares:
        """Return some of the rows."""
        return Shares({name: (a[rows], b[rows]) for name, (a, b) in self.counted.items()})

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; NaN where there is nothing to divide by."""
        sums = {name: (weights @ a, weights @ b) for name, (a, b) in self.counted.items()}
        return {
            name: np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
            for name, (a, b) in sums.items()
        }


def told_tokens(targets: Any, logits: Any) -> tuple[Any, Any]:
    """Return how many classes, or hidden tokens, of each row were told rightly, and of how many.

    Args:
        targets: int (rows, ...); negative ones do not count.
        logits: float (rows, ..., classes).
    """
    counted = targets >= 0
    hits = (np.argmax(logits, axis=-1) == targets) & counted
    rows = len(targets)
    return hits.reshape(rows, -1).sum(axis=1), counted.reshape(rows, -1).sum(axis=1)


def joined(parts: list[Mapping[str, tuple[Any, Any]]]) -> Shares:
    """Return the counts of all batches together."""
    columns = {name: zip(*(part[name] for part in parts), strict=True) for name in parts[0]}
    sums = {name: [np.concatenate(arrays) for arrays in both] for name, both in columns.items()}
    return Shares({name: (hits, counted) for name, (hits, counted) in sums.items()})
