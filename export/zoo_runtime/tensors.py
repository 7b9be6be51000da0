"""Names, shapes and dtypes of inputs and outputs, and their rows: bound, in batches, joined."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
BATCH = "batch"
# Rows that are run at a time: a thousand at once could fill the memory.
MAX_BATCH = 64
SEQUENCE = "sequence"
# Of a decoder, whose text is not as long as the one it is made from.
TARGET = "target"
_DTYPES = {"bool", "float16", "float32", "float64", "bfloat16"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
_MAX_VALUES = 1 << 31
# Of texts, which no NumPy dtype of one size holds.
STRING = "string"
_WRONG_KIND = "'{name}' takes {wanted} and got {got}: convert it first."


@dataclass(frozen=True)
class Tensor:
    """One named input or output.

    Args:
        name: The name in every format.
        dtype: A NumPy dtype name, or :data:`STRING`.
        shape: Sizes with the batch; a size known only when data arrive is the name it goes by,
            such as ``"batch"`` or ``"sequence"``.

    Example:
        >>> str(Tensor("token_ids", "int32", ("batch", "sequence")))
        'token_ids: int32[batch, sequence]'
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"

    def is_plausible(self) -> bool:
        """Return whether it has a batch, positive sizes and a known dtype, and fits a memory.

        Example:
            >>> Tensor("x", "float32", ("batch", 8)).is_plausible()
            True
            >>> Tensor("x", "float32", (2**40, 8)).is_plausible()
            False
        """
        sizes = [size for size in self.shape if isinstance(size, int)]
        return (
            bool(self.shape)
            and self.dtype in {*_DTYPES, STRING}
            and all(size > 0 for size in sizes)
            and math.prod(sizes) <= _MAX_VALUES
        )

    def fixed(self, sizes: Mapping[str, int]) -> Tensor:
        """Return the tensor with named sizes replaced by those of ``sizes``.

        Example:
            >>> Tensor("x", "float32", ("batch", 8)).fixed({"batch": 1}).shape
            (1, 8)
        """
        shape = tuple(sizes.get(d, d) if isinstance(d, str) else d for d in self.shape)
        return replace(self, shape=shape)


def named_sizes(tensors: Sequence[Tensor], arrays: Arrays) -> dict[str, int]:
    """Return what the named sizes of ``tensors`` are in ``arrays``.

    Example:
        >>> named_sizes([Tensor("x", "float32", ("batch", 8))], {"x": np.zeros((3, 8))})
        {'batch': 3}
    """
    return {
        dim: size
        for tensor in tensors
        for dim, size in zip(tensor.shape, arrays[tensor.name].shape, strict=True)
        if isinstance(dim, str)
    }


def fits(tensors: Sequence[Tensor], arrays: Arrays) -> bool:
    """Return whether arrays have the sizes that ``tensors`` fix, whatever their batch.

    Example:
        >>> fits([Tensor("x", "float32", (1, 8))], {"x": np.zeros((3, 8))})
        True
    """
    return all(fits_shape(tensor.shape[1:], arrays[tensor.name].shape[1:]) for tensor in tensors)


def fits_shape(wanted: Sequence[int | str], shape: Sequence[int]) -> bool:
    """Return whether sizes are those of a shape, in which a named one may be any.

    Example:
        >>> fits_shape(("batch", 8), (3, 8)), fits_shape(("batch", 8), (3, 9))
        (True, False)
    """
    if len(wanted) != len(shape):
        return False
    # Every call of a file comes here: a loop takes half the time of a generator.
    for dim, size in zip(wanted, shape):  # noqa: B905, SIM110 - as long as each other
        if dim != size and not isinstance(dim, str):
            return False
    return True


def bind(tensors: Sequence[Tensor], given: Mapping[str, Any]) -> dict[str, Array]:
    """Return ``given`` as arrays of the dtypes that ``tensors`` name, by name.

    NumPy's own defaults, float64 and int64, are narrowed; nothing else is converted.

    Args:
        tensors: The inputs.
        given: Arrays by input name; every input has the same batch size.

    Raises:
        UsageError: A missing, unknown or wrongly shaped input, or one of another kind of number.
    """
    wanted = {tensor.name: tensor for tensor in tensors}
    for name in given:
        if name not in wanted:
            hint = did_you_mean(name, wanted)
            raise UsageError(f"There is no input '{name}'.{hint} Inputs: {', '.join(wanted)}.")
    missing = [name for name in wanted if name not in given]
    if missing:
        raise UsageError(f"Input '{missing[0]}' is missing. Inputs: {', '.join(wanted)}.")
    arrays = {name: _as_dtype(tensor, given[name]) for name, tensor in wanted.items()}
    _check_shapes(tensors, arrays)
    return arrays


def _as_dtype(tensor: Tensor, value: Any) -> Array:
    array = np.asarray(value)
    if tensor.dtype == STRING:
        if array.dtype.kind != "U":
            raise UsageError(f"'{tensor.name}' takes texts and got {array.dtype}.")
        return array
    wanted = np.dtype(tensor.dtype)
    if array.dtype == wanted:
        return array
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise UsageError(_WRONG_KIND.format(name=tensor.name, wanted=wanted, got=array.dtype))
    narrowed = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(narrowed, array):
        raise UsageError(f"'{tensor.name}' holds numbers that {wanted} cannot hold.")
    return narrowed


def _check_shapes(tensors: Sequence[Tensor], arrays: Arrays) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for tensor in tensors:
        shape = arrays[tensor.name].shape
        if not fits_shape(tensor.shape, shape):
            raise UsageError(f"Input {tensor} got an array of shape {shape}.")
        for dim, size in zip(tensor.shape, shape, strict=True):
            if dim == size or not isinstance(dim, str):
                continue
            first, owner = sizes.setdefault(dim, (size, tensor.name))
            if size != first:
                raise UsageError(
                    f"'{dim}' is {first} in input '{owner}' and {size} in '{tensor.name}'."
                )
        if math.prod(shape) == 0:
            raise UsageError(f"Input {tensor} got an empty array of shape {shape}.")


def batches(rows: Arrays, size: int) -> Iterator[dict[str, Array]]:
    """Yield all rows, at most ``size`` at a time.

    Example:
        >>> [part["x"].tolist() for part in batches({"x": np.arange(5)}, 2)]
        [[0, 1], [2, 3], [4]]
    """
    for start in range(0, len(next(iter(rows.values()))), size):
        yield {name: array[start : start + size] for name, array in rows.items()}


def evenly_rows(rows: Arrays, limit: int) -> dict[str, Array]:
    """Return at most ``limit`` rows, evenly spaced.

    Example:
        >>> evenly_rows({"x": np.arange(10)}, 4)["x"].tolist()
        [0, 3, 6, 9]
    """
    count = len(next(iter(rows.values())))
    chosen = np.linspace(0, count - 1, min(count, limit)).astype(np.int64)
    return {name: array[chosen] for name, array in rows.items()}


def joined(parts: Sequence[Arrays]) -> dict[str, Array]:
    """Return what was given for each part as one array a name.

    Example:
        >>> joined([{"x": np.array([0, 1])}, {"x": np.array([2])}])["x"]
        array([0, 1, 2])
    """
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evenly(array: Array, limit: int) -> Array:
    """Return at most ``limit`` values of an array, evenly spaced, flat.

    Example:
        >>> evenly(np.arange(10.0), 4)
        array([0., 3., 6., 9.])
    """
    flat = array.reshape(-1)
    if flat.size <= limit:
        return flat
    return flat[np.linspace(0, flat.size - 1, limit).astype(np.int64)]


@lru_cache(1024)
def pieces(rows: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the batches to run so many rows in, largest first.

    The fewest rows are run, those that only fill a batch among them, where every call counts as
    one row more.

    Args:
        rows: How many there are.
        sizes: The batches that a file takes.

    Example:
        >>> pieces(19, (1, 8)), pieces(3, (1, 8)), pieces(7, (1, 8))
        ((8, 8, 1, 1, 1), (1, 1, 1), (8,))
    """
    largest = max(sizes)
    # Far from the end the largest batch is the best: the rest is small enough to try all.
    whole = max(0, rows // largest - 1)
    best: list[list[int]] = [[]]
    for count in range(1, rows - whole * largest + 1):
        tried = [[size, *best[max(0, count - size)]] for size in sizes]
        best.append(min(tried, key=lambda run: (sum(run) + len(run), sum(run))))
    return tuple(sorted([largest] * whole + best[-1], reverse=True))


def split(arrays: Arrays, sizes: tuple[int, ...]) -> Iterator[dict[str, Array]]:
    """Yield all rows in batches of some sizes; the last is filled up with its own last row."""
    start = 0
    for size in pieces(len(next(iter(arrays.values()))), sizes):
        yield {name: _filled(array[start : start + size], size) for name, array in arrays.items()}
        start += size


def _filled(array: Array, size: int) -> Array:
    if len(array) == size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
