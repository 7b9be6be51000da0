"""Shapes by name, of which some sizes are known only when data are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[Any, ...]]


def fit(some: Shapes, others: Shapes) -> bool:
    """Return whether shapes have the same names and sizes; what is no number fits any size.

    Args:
        some: Without the batch.
        others: The same.

    Example:
        >>> fit({"token_ids": (32,)}, {"token_ids": (None,)})
        True
        >>> fit({"image": (8, 8, 1)}, {"image": (8, 8, 3)})
        False
    """
    return some.keys() == others.keys() and all(
        len(shape) == len(others[name])
        and all(_same(*sizes) for sizes in zip(shape, others[name], strict=True))
        for name, shape in some.items()
    )


def _same(size: Any, other: Any) -> bool:
    return size == other or not (isinstance(size, int) and isinstance(other, int))
