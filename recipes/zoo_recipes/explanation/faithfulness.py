"""Whether an explanation names what the model goes by: deletion and insertion curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo_recipes.explanation.perturbation import Score
from zoo_recipes.explanation.target import Array

_POINTS = 32
_RANDOM_ORDERS = 5


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What becomes of the score as features go or come (RISE, https://arxiv.org/abs/1806.07421).

    Args:
        shares: Of the features that have gone, or come, float (points,).
        deletion: The score as they go, the most important first.
        insertion: The score as they come, the most important first.
        random: The score as they go in random order: the mean of several.
    """

    shares: Array
    deletion: Array
    insertion: Array
    random: Array

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve: low where the important features are named first."""
        return self._area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve: high where the important features are named first."""
        return self._area(self.insertion)

    @property
    def random_area(self) -> float:
        """Area of a random order, for both: what comes in one order goes in the reverse of it."""
        return self._area(self.random)

    def _area(self, curve: Array) -> float:
        return float(np.trapezoid(curve, self.shares))


def faithfulness(score: Score, values: Array, *, seed: int) -> Faithfulness:
    """Measure the curves of an explanation.

    Args:
        score: The probability of the class, from which features are present.
        values: Of the features, float (features,).
        seed: Of the random orders.

    Example:
        >>> weights = np.array([0.5, 0.0, 0.3, 0.2])
        >>> right = faithfulness(lambda present: present @ weights, weights, seed=0)
        >>> right.deletion.round(1).tolist()
        [1.0, 0.5, 0.2, 0.0, 0.0]
        >>> right.deletion_area < right.random_area < right.insertion_area
        True
    """
    count = len(values)
    best = np.argsort(-values, kind="stable")
    rng = np.random.default_rng(seed)
    gone = np.unique(np.linspace(0, count, min(count, _POINTS) + 1).round().astype(int))

    def ranks(order: Array) -> Array:
        return np.argsort(order)

    deleted = [ranks(best), *(ranks(rng.permutation(count)) for _ in range(_RANDOM_ORDERS))]
    present = [rank >= number for rank in deleted for number in gone]
    present += [ranks(best) < number for number in gone]
    curves = score(np.array(present)).reshape(-1, len(gone))
    return Faithfulness(gone / count, curves[0], curves[-1], curves[1:-1].mean(axis=0))
