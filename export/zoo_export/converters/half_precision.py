"""Which constants are as good in float16 as in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo_runtime.tensors import Array

_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)
# Above it the steps of float16 are a sixteenth and more: too much beside numbers around one.
_LARGEST_TERM = 100.0


def is_held(array: Array, *, summed: bool = False, multiplied: bool = False) -> bool:
    """Return whether float16 holds a constant so well that answers stay what they are.

    A weight may be rounded by its last bits. What is added to numbers of usual size, as masks and
    means are, must not be rounded by as much as they are; a share or an epsilon must not vanish.

    Args:
        array: Float numbers.
        summed: Whether it is added to something, or compared or chosen from beside it.
        multiplied: Whether something is multiplied or divided by it.

    Example:
        >>> is_held(np.float32([1500.3])), is_held(np.float32([1500.3]), summed=True)
        (True, False)
        >>> is_held(np.float32([-1e9])), is_held(np.float32([-np.inf]), summed=True)
        (False, True)
    """
    limit = _LARGEST_TERM if summed or multiplied else _LARGEST
    if array.size and max(array.max(), -array.min()) > limit:
        sizes = np.abs(array[np.isfinite(array)])
        if sizes.max(initial=0) > limit:
            return False
    return not multiplied or bool((np.abs(array[array != 0]) >= _SMALLEST).all())


def with_full_precision(facts: dict[str, Any]) -> dict[str, Any]:
    """Add to the facts of a float16 file how many bytes of constants have to stay in float32."""
    return {**facts, "float_constants": facts["weights"].get("float32", 0)}
