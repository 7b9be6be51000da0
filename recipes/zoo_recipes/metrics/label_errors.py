"""Examples whose label is likely wrong, by confident learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

MOST = 20


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """One example whose label is likely wrong.

    Args:
        place: File and line or record of own data; of others the split and its number in it, from
            0, as tensorflow-datasets reads them.
        given: The class that it is in.
        predicted: The class that it looks like.
        self_confidence: Probability of the given class.
        usual: Mean probability of that class over the examples in it.
        text: Its beginning, where it is a text.
    """

    place: str
    given: str
    predicted: str
    self_confidence: float
    usual: float
    text: str = ""


def likely_label_errors(targets: Any, probabilities: Any, most: int = MOST) -> list[int]:
    """Return the numbers of the rows whose class is likely another, the likeliest first.

    Confident learning (Northcutt et al. 2021, https://arxiv.org/abs/1911.00068): a row counts as of
    a class where its probability is at least the mean over the rows labelled so. Those that count
    as of another class than their own are listed, lowest probability of the own class first, as
    measured from the usual one of that class.

    Args:
        targets: int (rows,): the given classes.
        probabilities: float (rows, classes), of a model that was not trained on these rows.
        most: How many to return at most.

    Example:
        >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.05, 0.95]])
        >>> likely_label_errors(np.array([0, 0, 1, 0]), rows)
        [3]
    """
    own = probabilities[np.arange(len(targets)), targets]
    usual = usual_confidence(targets, probabilities)
    confident = np.where(probabilities >= usual, probabilities, -1)
    looks_like = confident.argmax(axis=1)
    suspects = np.flatnonzero((confident.max(axis=1) > 0) & (looks_like != targets))
    order = np.argsort((own - usual[targets])[suspects], kind="stable")
    return [int(row) for row in suspects[order][:most]]


def applies(label: str, is_given: Any) -> str:
    """Return how it is said that one of several classes applies, or does not."""
    return label if is_given else f"not {label}"


def likely_errors_of_several(
    targets: Any, probabilities: Any, most: int = MOST
) -> list[tuple[int, int]]:
    """Return the rows in which a class likely applies and is not given, or the reverse.

    Each class is judged by itself, as :func:`likely_label_errors` judges two: that it applies, and
    that it does not.

    Args:
        targets: bool (rows, classes): whether a class is given.
        probabilities: float (rows, classes), of a model that was not trained on these rows.
        most: How many to return at most.

    Returns:
        Row and class, the likeliest error first.

    Example:
        >>> rows = np.array([[0.9, 0.2], [0.8, 0.9], [0.1, 0.1], [0.05, 0.8]])
        >>> likely_errors_of_several(np.array([[1, 0], [1, 1], [0, 0], [1, 1]]) > 0, rows)
        [(3, 0)]
    """
    found = []
    for at in range(targets.shape[1]):
        given = targets[:, at].astype(int)
        two = np.stack([1 - probabilities[:, at], probabilities[:, at]], axis=1)
        usual = usual_confidence(given, two)
        found += [
            (two[row, given[row]] - usual[given[row]], row, at)
            for row in likely_label_errors(given, two, most)
        ]
    return [(row, at) for _, row, at in sorted(found)[:most]]


def usual_confidence(targets: Any, probabilities: Any) -> Any:
    """Return the mean probability of each class over the rows in it; infinite where there is none.

    Args:
        targets: int (rows,).
        probabilities: float (rows, classes).
    """
    counts = np.bincount(targets, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(targets)), targets]
    sums = np.bincount(targets, weights=own, minlength=probabilities.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), np.inf), where=counts > 0)
