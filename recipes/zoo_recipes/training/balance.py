"""Classes of unequal size: weights of the loss, or examples drawn more often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean


def class_weights(
    setting: str | Mapping[str, float], labels: Any, names: Sequence[str] | None
) -> Any:
    """Return the weight of each class, float32 (classes,).

    Args:
        setting: ``balanced``, by which each class weighs the same in all, or weights by the name
            or the number of a class; those left out weigh 1.
        labels: Classes of the training examples, (examples,).
        names: Of the classes.

    Raises:
        UsageError: Labels that are no classes, or a class that does not exist.

    Example:
        >>> class_weights("balanced", np.array([0, 0, 1, 0]), None)[1]
        np.float32(2.0)
    """
    _check_classes("fit.class_weight", labels)
    counts = np.bincount(labels, minlength=len(names or ()))
    if isinstance(setting, str):
        present = counts > 0
        weights = np.zeros(len(counts), np.float32)
        weights[present] = len(labels) / (present.sum() * counts[present])
        return weights
    known = list(names) if names else [str(number) for number in range(len(counts))]
    weights = np.ones(len(known), np.float32)
    for name, weight in setting.items():
        if name not in known:
            hint = did_you_mean(name, known) or f" There are: {', '.join(known[:20])}."
            raise UsageError(f"fit.class_weight: there is no class '{name}'.{hint}")
        weights[known.index(name)] = weight
    return weights


def balanced_order(labels: Any, rng: np.random.Generator) -> Any:
    """Return as many numbers of examples as there are, every class equally often.

    Small classes come again and again, of large ones another part comes each time.

    Args:
        labels: Classes, (examples,).
        rng: Source of chance.

    Raises:
        UsageError: Labels that are no classes.
    """
    _check_classes("fit.sampling", labels)
    classes = np.unique(labels)
    # The remainder goes to classes that chance names.
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    drawn = []
    for label, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = -(-share // len(members))
        drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:share])
    return rng.permutation(np.concatenate(drawn))


def _check_classes(setting: str, labels: Any) -> None:
    if labels is None or np.ndim(labels) != 1 or labels.dtype.kind not in "iu":
        raise UsageError(f"{setting} needs examples of one class each, and these have none.")
