"""Any number of rows through a file of fixed batches: which of them, and how they are filled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from zoo_runtime.tensors import Array, Arrays


def pieces(rows: int, sizes: Sequence[int]) -> list[int]:
    """Return the batches to run so many rows in, largest first.

    The fewest rows are run, those that only fill a batch among them, where every call counts as
    one row more.

    Args:
        rows: How many there are.
        sizes: The batches that a file takes.

    Example:
        >>> pieces(19, [1, 8]), pieces(3, [1, 8]), pieces(7, [1, 8])
        ([8, 8, 1, 1, 1], [1, 1, 1], [8])
    """
    largest = max(sizes)
    # Far from the end the largest batch is the best: the rest is small enough to try all.
    whole = max(0, rows // largest - 1)
    best: list[list[int]] = [[]]
    for count in range(1, rows - whole * largest + 1):
        tried = [[size, *best[max(0, count - size)]] for size in sizes]
        best.append(min(tried, key=lambda run: (sum(run) + len(run), sum(run))))
    return sorted([largest] * whole + best[-1], reverse=True)


def split(arrays: Arrays, sizes: Sequence[int]) -> Iterator[dict[str, Array]]:
    """Yield all rows in batches of some sizes; the last is filled up with its own last row."""
    start = 0
    for size in pieces(len(next(iter(arrays.values()))), sizes):
        yield {name: _filled(array[start : start + size], size) for name, array in arrays.items()}
        start += size


def _filled(array: Array, size: int) -> Array:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
