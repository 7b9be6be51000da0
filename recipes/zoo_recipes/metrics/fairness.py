"""Whether groups are treated alike: parity measures of fairlearn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo_registry import ZooError

MEASURES = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
)


def parity(
    targets: Any, predicted: Any, groups: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return fairlearn's measures by class: how unequally the groups are given it.

    Demographic parity compares how often a class is given; equalized odds compares how often it
    is given rightly and wrongly. A difference of 0 and a ratio of 1 are equal treatment. Of two
    classes only the second is told, the positive one: of the first the measures follow.

    Args:
        targets: int (rows,): the right class.
        predicted: int (rows,): the given class.
        groups: Of each row.
        classes: Their names.

    Raises:
        ZooError: fairlearn is not installed.

    Example:
        >>> import numpy as np
        >>> found = parity(*np.array([[0, 1, 0, 1], [0, 1, 1, 1]]), list("aabb"), ["no", "yes"])
        >>> found["yes"]["demographic_parity_difference"]
        0.5
    """
    try:
        from fairlearn import metrics
    except ModuleNotFoundError as error:
        raise ZooError(
            "Parity measures of groups need fairlearn: pip install 'kerazoo[fairness]'."
        ) from error
    numbers = range(1, 2) if len(classes) == 2 else range(len(classes))
    return {
        classes[at]: {
            name: float(
                getattr(metrics, name)(
                    targets == at, predicted == at, sensitive_features=list(groups)
                )
            )
            for name in MEASURES
        }
        for at in numbers
        if (targets == at).any() or (predicted == at).any()
    }
