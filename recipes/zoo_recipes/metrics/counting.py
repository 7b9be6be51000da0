"""Sums over classes of weighted rows, and precision, recall and F1 of such counts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


def class_sums(weights: Any, classes: Any, count: int) -> Any:
    """Return the sum of the weights of each class, float (resamples, count).

    Args:
        weights: float (resamples, rows).
        classes: int (rows,), in 0..count.
        count: Number of classes.

    Example:
        >>> class_sums(np.array([[1.0, 2.0, 4.0]]), np.array([2, 0, 2]), 3).tolist()
        [[2.0, 0.0, 5.0]]
    """
    order = np.argsort(classes, kind="stable")
    running = np.zeros((len(weights), len(classes) + 1))
    np.cumsum(weights[:, order], axis=1, out=running[:, 1:])
    ends = np.searchsorted(classes[order], np.arange(count + 1))
    sums = running[:, ends]
    return np.diff(sums, axis=1)


def precision_recall_f1(right: Any, given: Any, wanted: Any) -> dict[str, Any]:
    """Return precision, recall and F1 of each class, their means (macro), and of all (micro).

    As in scikit-learn, a figure whose denominator is zero counts as 0; a class that is neither
    wanted nor given has none and is in no mean.

    Args:
        right: float (resamples, classes): how often a class was given rightly.
        given: How often it was given.
        wanted: How often it was the right one.

    Example:
        >>> counts = np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]), np.array([[3.0, 2.0]])
        >>> {name: value[0].tolist() for name, value in precision_recall_f1(*counts).items()}["f1"]
        [0.5, 0.6666666666666666]
    """
    occurs = given + wanted > 0
    figures = {}
    for name, count in (("precision", given), ("recall", wanted), ("f1", (given + wanted) / 2)):
        figures[name] = np.where(occurs, _share(right, count), np.nan)
        figures[f"{name}_micro"] = _share(right.sum(axis=1), count.sum(axis=1))
        figures[f"{name}_macro"] = mean_of_defined(figures[name])
    return figures


def mean_of_defined(values: Any) -> Any:
    """Return the mean of each row without its NaN; NaN where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1)


def _share(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
