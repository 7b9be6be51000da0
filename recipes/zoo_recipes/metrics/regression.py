"""Figures of predicted numbers."""

from __future__ import annotations

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
