"""Ratings that users give items: numbers for both, what a model learns from, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Arrays, Predictor, PreparedArrays, only_logits
from zoo_recipes.metrics.resampling import Numbers, Rankings, point, rank
from zoo_registry import UsageError

RATING = "rating"
BATCH_SIZE = 4096


@dataclass(frozen=True)
class Ratings(PreparedArrays):
    """Rows of user and item; the targets are ratings, float32 (examples,).

    Args:
        users: int (examples,): which of the users of the split each rating is of, those that the
            model does not know among them.
    """

    users: Any


def rating_rows(inputs: Arrays, raws: Sequence[Sequence[Any]], labels: Any) -> Ratings:
    """Return prepared ratings.

    Args:
        inputs: By name of the model input, int32 (examples, 1).
        raws: User and item of each.
        labels: Numbers, (examples,).

    Raises:
        UsageError: Raw inputs that are not pairs, or ratings that are not numbers.
    """
    targets = np.asarray(labels)
    if not all(isinstance(raw, tuple) for raw in raws) or targets.dtype.kind not in "iuf":
        raise UsageError(
            f"Task '{RATING}' needs dataset.input of two features, user and item, and numbers in "
            "dataset.label."
        )
    _, users = np.unique([str(raw[0]) for raw in raws], return_inverse=True)
    return Ratings(inputs, targets.astype(np.float32), users)


@dataclass(frozen=True)
class RatingOutcomes:
    """Errors of predicted ratings, and how each user's items are ranked by them.

    Args:
        targets: float (rows,).
        predictions: float (rows,) or (rows, 1).
        users: int (rows,): the user of each row. All rows of a user weigh the same.

    Example:
        >>> found = RatingOutcomes(np.array([5.0, 1.0]), np.array([4.0, 2.0]), np.array([0, 0]))
        >>> {name: float(value[0]) for name, value in found.metrics(np.ones((1, 2))).items()}
        {'rmse': 1.0, 'mae': 1.0, 'r2': 0.75, 'ndcg': 1.0, 'ndcg_10': 1.0}
    """

    targets: Any
    predictions: Any
    users: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def take(self, rows: Any) -> RatingOutcomes:
        """Return some of the rows."""
        return RatingOutcomes(self.targets[rows], self.predictions[rows], self.users[rows])

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; rankings are of users with two rows or more, none below 0."""
        found = Numbers(self.targets, self.predictions).metrics(weights)
        positions, rankings = self._ranked
        # Where no user of a resample has two rows there is nothing to rank.
        with np.errstate(invalid="ignore"):
            return found | (rankings.metrics(weights[:, positions]) if len(positions) else {})

    @cached_property
    def _ranked(self) -> tuple[Any, Rankings]:
        """Return a row of each user whose items are ranked, and the rankings."""
        order = np.argsort(self.users, kind="stable")
        _, starts = np.unique(self.users[order], return_index=True)
        rows = [part for part in np.split(order, starts[1:]) if len(part) > 1]
        if not len(self) or self.targets.min() < 0:
            rows = []
        given = np.asarray(self.predictions).reshape(len(self))
        rankings = rank([self.targets[part] for part in rows], [given[part] for part in rows])
        return np.array([part[0] for part in rows], int), rankings


def rating_metrics(predict: Predictor, source: Ratings) -> dict[str, float]:
    """Return the metrics of all ratings of a split, as :class:`RatingOutcomes` names them."""
    batches = np.array_split(np.arange(len(source)), -(-len(source) // BATCH_SIZE))
    made = [only_logits(predict(source.take(indices)[0])) for indices in batches]
    return point(RatingOutcomes(source.targets, np.concatenate(made), source.users))
