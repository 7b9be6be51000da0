"""Fixed splits."""

from __future__ import annotations

from typing import Any

import numpy as np


def stratified(labels: Any, test_size: int | float) -> tuple[Any, Any]:
    """Return the rows to train on and those to test on, the same on every machine.

    Args:
        labels: One class a row; every class is in both parts in the same share.
        test_size: Rows to test on, or their share.

    Example:
        >>> train, test = stratified([0, 0, 0, 1, 1, 1], 2)
        >>> len(train), len(test)
        (4, 2)
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=test_size, stratify=labels, random_state=0)
    return np.sort(train), np.sort(test)
