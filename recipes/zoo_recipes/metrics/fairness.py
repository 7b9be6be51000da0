"""Whether groups are treated alike: parity measures of fairlearn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.metrics.classification import class_sums
from zoo_registry import ZooError

PARITY = ("demographic_parity_difference", "demographic_parity_ratio")
ODDS = ("equalized_odds_difference", "equalized_odds_ratio")


def parity(
    targets: Any, predicted: Any, groups: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return fairlearn's measures by class: how unequally the groups are given it.

    Demographic parity compares how often a class is given; equalized odds compares how often it
    is given rightly and wrongly. A difference of 0 and a ratio of 1 are equal treatment. Of two
    classes only the second is reported, the positive one: the first follows from it. What is
    not defined is left out: a ratio of nothing, and odds where a group has no example of a class,
    or none of the others.

    Args:
        targets: int (rows,): the right class.
        predicted: int (rows,): the given class.
        groups: Name of that of each row.
        classes: Their names.

    Raises:
        ZooError: fairlearn is not installed.

    Example:
        >>> found = parity(*np.array([[0, 1, 0, 1], [0, 1, 1, 1]]), list("aabb"), ["no", "yes"])
        >>> found["yes"]["demographic_parity_difference"]
        0.5
    """
    metrics = fairlearn_metrics()
    names = np.asarray(groups)
    found = {}
    for at in reported_classes(len(classes)):
        wanted, given = targets == at, predicted == at
        has_odds = all(0 < wanted[names == name].mean() < 1 for name in set(groups))
        values = {
            name: float(getattr(metrics, name)(wanted, given, sensitive_features=names))
            for name in PARITY + ODDS * has_odds
        }
        found[classes[at]] = {name: value for name, value in values.items() if np.isfinite(value)}
    return found


def reported_classes(count: int) -> range:
    """Return the indices of the classes that are reported of so many.

    Example:
        >>> list(reported_classes(2)), list(reported_classes(3))
        ([1], [0, 1, 2])
    """
    return range(1, 2) if count == 2 else range(count)


@dataclass(frozen=True)
class ClassRates:
    """How often each class is right, and how often it is given.

    Args:
        targets: int (rows,): the right class.
        predicted: int (rows,): the given class.
        count: Number of classes.

    Example:
        >>> found = ClassRates(*np.array([[0, 1, 0, 1], [1, 1, 1, 1]]), 2)
        >>> {name: value[0].tolist() for name, value in found.metrics(np.ones((1, 4))).items()}
        {'wanted': [0.5, 0.5], 'given': [0.0, 1.0]}
    """

    targets: Any
    predicted: Any
    count: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def take(self, rows: Any) -> ClassRates:
        """Return some of the rows."""
        return ClassRates(self.targets[rows], self.predicted[rows], self.count)

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return fractions of each class by name."""
        total = weights.sum(axis=1, keepdims=True)
        return {
            "wanted": class_sums(weights, self.targets, self.count) / total,
            "given": class_sums(weights, self.predicted, self.count) / total,
        }


def fairlearn_metrics() -> Any:
    """Return the module ``fairlearn.metrics``.

    Raises:
        ZooError: It is not installed.
    """
    try:
        from fairlearn import metrics
    except ModuleNotFoundError as error:
        raise ZooError(
            "Parity measures of groups need fairlearn: pip install 'kerazoo[fairness]'."
        ) from error
    return metrics
