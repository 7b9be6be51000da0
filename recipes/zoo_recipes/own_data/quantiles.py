"""How large examples are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo_recipes.own_data.content import Example


def sizes_of(examples: Sequence[Example]) -> dict[str, tuple[float, float, float, float]]:
    """Return the quantiles of each size, such as ``height``; none where examples differ in them."""
    import numpy as np

    if not examples or len({len(example.size) for example in examples}) > 1:
        return {}
    columns = np.asarray([example.size for example in examples]).T
    names = {1: ("length",), 2: ("height", "width")}.get(len(columns))
    names = names or tuple(f"axis {at}" for at in range(len(columns)))
    return {name: quantiles(column) for name, column in zip(names, columns, strict=True)}


def quantiles(column: Any) -> tuple[float, float, float, float]:
    """Return the least, the median, the 95th percentile and the largest of some numbers."""
    import numpy as np

    found = np.quantile(column, [0, 0.5, 0.95, 1], method="nearest")
    low, middle, high, top = (np.round(found, 2) if column.dtype.kind == "f" else found).tolist()
    return low, middle, high, top
