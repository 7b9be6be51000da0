"""Attributions from predictions alone, and how faithful attributions are to the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.explanation.target import Array
from zoo_registry import ZooError

# From which features are present, bool (rows, features), to what is explained, float (rows,).
Score = Callable[[Array], Array]
# Of cosine distances, as in the authors' own code.
_KERNEL_WIDTH = 0.25
_POINTS = 32
_RANDOM_ORDERS = 5


def occlusion(score: Score, count: int) -> Array:
    """Take one feature away at a time (https://arxiv.org/abs/1311.2901).

    Args:
        score: What is explained.
        count: Number of features.

    Returns:
        float (count,): by how much the score falls without each feature.

    Example:
        >>> occlusion(lambda present: present @ np.array([2.0, -1.0]), 2)
        array([ 2., -1.])
    """
    whole = score(np.ones((1, count), bool))
    return whole - score(~np.eye(count, dtype=bool))


def lime(score: Score, count: int, *, samples: int, seed: int) -> tuple[Array, float]:
    """Fit a linear model around the input (https://arxiv.org/abs/1602.04938).

    Inputs with some features taken away are weighted by how near they are to the whole input.

    Args:
        score: What is explained.
        count: Number of features.
        samples: How many such inputs to draw.
        seed: Of the draw.

    Returns:
        The coefficients, float (count,), and the fraction of the variance that they explain.
    """
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(seed)
    absent = rng.integers(1, count + 1, samples)
    present = rng.random((samples, count)).argsort(axis=1) >= absent[:, np.newaxis]
    present[0] = True
    different, which = np.unique(present, axis=0, return_inverse=True)
    values = score(different)[which]
    distance = 1 - np.sqrt(present.mean(axis=1))
    weights = np.exp(-((distance / _KERNEL_WIDTH) ** 2) / 2)
    fitted = Ridge(alpha=1.0).fit(present, values, sample_weight=weights)
    return np.asarray(fitted.coef_), float(fitted.score(present, values, weights))


def kernel_shap(score: Score, count: int, *, samples: int, seed: int) -> tuple[Array, float]:
    """Return Shapley values by weighted regression (https://arxiv.org/abs/1705.07874).

    They add up to the score of the whole input less that of nothing.

    Args:
        score: What is explained.
        count: Number of features.
        samples: How many sets of features to try; all are tried where there are not more.
        seed: Of the draw.

    Returns:
        The values, float (count,), and the score of nothing.

    Raises:
        ZooError: The library is not installed.

    Example:
        >>> values, nothing = kernel_shap(
        ...     lambda present: 5 + present @ np.array([2.0, -1.0, 0.5]), 3, samples=50, seed=0
        ... )
        >>> values.round(6).tolist(), nothing
        ([2.0, -1.0, 0.5], 5.0)
    """
    try:
        import shap
    except ImportError as error:
        raise ZooError(
            "Method 'shap' needs the library of its authors: pip install 'kerazoo[explain]'"
        ) from error

    def of_numbers(rows: Any) -> Array:
        return score(np.asarray(rows) > 0.5)

    # The library draws from NumPy's global generator.
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        explainer = shap.KernelExplainer(of_numbers, np.zeros((1, count)))
        values = explainer.shap_values(
            np.ones((1, count)), nsamples=samples, l1_reg=False, silent=True
        )
    finally:
        np.random.set_state(state)
    return np.asarray(values[0], np.float64), float(explainer.expected_value)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What becomes of the score as features go or come (RISE, https://arxiv.org/abs/1806.07421).

    Args:
        fractions: Of the features that have gone, or come, float (points,).
        deletion: The score as they go, the most important first.
        insertion: The score as they come, the most important first.
        random: The score as they go in random order: the mean of several.
    """

    fractions: Array
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
        return float(np.trapezoid(curve, self.fractions))


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
