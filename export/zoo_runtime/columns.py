"""The columns of an output: how each one varies over the samples, and how much a file keeps of it.

A column is one unit of the last axis: a class, a coordinate of a box, a channel of a map. Where an
output has no such axis, or its size varies, all of it is one column. Each is compared by its own
spread over the samples: a score of 0 to 1 beside coordinates of hundreds of pixels, or a value of
2000 that moves by ten, is as good as its own differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zoo_runtime.tensors import Array
from zoo_runtime.verification import Fit

# Masked logits are so large, and so many times as large as what else is in their column.
_HUGE, _APART = 1e4, 1e3
# Probability that a file within its limit is refused because the samples are few.
_DOUBT = 0.01
# A column that moves less than the typical one of its output is given so much of that one's room.
_LENIENCE = 2.0
# Of fractions from 0 to 1: of the typical movement, what one that hardly moves is given.
_OF_FRACTIONS = 0.25
# Values of a column that show whether anything of it is left, and how many times its deviation may
# be allowed of fewer.
_FEW, _ANY = 8, 1e6
# Values computed together: doubles of them fit any memory.
_AT_ONCE = 1 << 22
# Times what Keras' own answer moves with the last bit of weights and inputs. Files that round
# otherwise at every step stay within nine times that; what moves more depends on the inputs.
ROUNDING = 16.0
# Roundings on the scale of a column's largest value, and the most of its spread that they may be.
_TERMS, _OF_SPREAD = 32, 0.02


@dataclass(frozen=True, eq=False)
class Scale:
    """What Keras gives in each column of an output, over all samples.

    Args:
        spread: Largest value less the smallest; masked ones (-1e9, infinities) do not count.
        deviation: Standard deviation.
        rounding: How far Keras' own answer moves with the last bit of weights and inputs.
        largest: Largest absolute value.
        last_bits: What the last bits of float32 amount to there; 0 where Keras computes in float64.
    """

    spread: Array
    deviation: Array
    rounding: Array
    largest: Array
    last_bits: Array

    def noise(self) -> Array:
        """Return how far a right float32 file may be from Keras, whatever the spread.

        What is added to a large number rounds on its scale, once for every term.
        """
        terms = _TERMS * np.finfo(np.float32).eps * self.largest
        many = np.minimum(terms, np.maximum(self.last_bits, _OF_SPREAD * self.spread))
        return np.asarray(ROUNDING * self.rounding + many)

    def steady(self) -> Array:
        """Return how far Keras' own answer moves by rounding, by its last bit at the least."""
        return np.maximum(ROUNDING * self.rounding, self.last_bits / 4)

    def varies(self) -> Array:
        """Return which columns distinguish the samples."""
        return np.asarray(self.spread > self.steady())


def as_columns(array: Array, has_columns: bool) -> Array:
    """Return an array as one of values by columns.

    Example:
        >>> as_columns(np.zeros((2, 3, 4)), True).shape, as_columns(np.zeros((2, 3)), False).shape
        ((6, 4), (6, 1))
    """
    width = array.shape[-1] if has_columns and array.ndim > 1 else 1
    return array.reshape(-1, width) if array.size else np.zeros((0, max(width, 1)), array.dtype)


def usual(values: Array) -> Array:
    """Return which values are neither infinite nor so much larger than others as masked ones are.

    Args:
        values: By columns.

    Example:
        >>> usual(np.array([[1.5, -1e9], [-1e9, -1e9], [-2.0, -1e9]]))[:, 0].tolist()
        [True, False, True]
    """
    with np.errstate(invalid="ignore"):
        sizes = np.abs(values)
    finite = np.isfinite(sizes)
    if not len(values) or sizes.max(initial=0.0, where=finite) < _HUGE:
        return finite
    ordered = np.sort(np.where(finite, sizes, np.inf), axis=0)
    before, after = ordered[:-1], ordered[1:]
    jumps = (after >= _HUGE) & (after >= _APART * before)
    least = np.where(jumps, after, np.inf).min(axis=0, initial=np.inf)
    return np.asarray(finite & (sizes < least))


def measure(expected: Sequence[Array], moved: Sequence[tuple[Array, Array]]) -> Scale:
    """Return the scale of each column.

    Args:
        expected: What Keras gave, by columns, an array for each batch.
        moved: Some of it, and the same with the last bits of weights and inputs changed.

    Example:
        >>> scale = measure([np.array([[0.0, 7.0], [4.0, 7.0]])], [])
        >>> scale.spread.tolist(), scale.varies().tolist()
        ([4.0, 0.0], [True, False])
    """
    parts = [_measured(piece) for piece in _pieces(expected)]
    spread, deviation, largest = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    rounding = np.zeros_like(spread)
    if moved:
        before = _pieces([pair[0] for pair in moved])
        after = _pieces([pair[1] for pair in moved])
        rounding = np.concatenate([_moves(*both) for both in zip(before, after, strict=True)])
        # Few values show little of one column, and all of them bound it.
        rounding = np.maximum(rounding, np.minimum(np.median(rounding), 1e-3 * spread))
    is_exact = all(array.dtype == np.float64 for array in expected)
    last_bits = 0 * largest if is_exact else 4 * np.finfo(np.float32).eps * largest
    return Scale(spread, deviation, rounding, largest, last_bits)


def keeps(
    name: str,
    expected: Sequence[Array],
    received: Sequence[Array],
    scale: Scale,
    limit: float,
) -> Fit:
    """Return the column of which a file loses most.

    Where values are few, the standard deviation of a column is only guessed from them: a column is
    refused where less than one right file in a hundred would lose so much (an F test over all
    columns), and, of eight values or more, always where nothing of it is left.

    Args:
        name: The output's name.
        expected: What Keras gave, by columns, an array for each batch.
        received: What the file gave.
        scale: Of ``expected``.
        limit: Root mean square difference that is allowed, as a fraction of the standard deviation.

    Example:
        >>> keras = np.linspace([0, 2000], [1, 2010], 50)
        >>> file = np.round(keras / 8) * 8
        >>> found = keeps("y", [keras], [file], measure([keras], []), 0.15)
        >>> found.ok, found.column, round(found.difference, 2)
        (False, 0, 0.58)
    """
    varies = scale.varies()
    lost = [_lost(*both) for both in zip(_pieces(expected), _pieces(received), strict=True)]
    difference, counts, moved, stuck = (np.concatenate(rows) for rows in zip(*lost, strict=True))
    width = len(varies)
    room = _room(scale, varies, expected)
    factor = np.array([_factor(int(n), width) for n in counts])
    # Of many columns one or another hardly moves over a few values, at random.
    can_tell = counts >= _FEW
    allowed = limit * np.minimum(factor, np.where(can_tell, 1 / limit, _ANY)) * room
    allowed += scale.noise()
    # Nothing is left of a column that is one number in the file.
    moves = varies & can_tell & (moved > scale.deviation) & (scale.deviation >= room / _LENIENCE)
    dead = stuck & moves
    ratios = np.where(dead, np.inf, difference / np.maximum(allowed, 1e-300))
    ratios = np.where(varies | (counts == 0), ratios, 0.0)
    worst = int(ratios.argmax()) if width else 0
    return Fit(
        output=name,
        column=worst if width > 1 else None,
        difference=float(difference[worst]),
        deviation=float(scale.deviation[worst]),
        allowed=0.0 if dead[worst] else float(allowed[worst]),
        columns=width,
        constant=int((~varies).sum()),
        values=int(counts[worst]),
    )


def centred(values: Array, like: Array) -> Array:
    """Return values less the mean of their row, as softmax takes them; masked ones stay.

    Args:
        values: By columns.
        like: What Keras gave, which shows what is masked.
    """
    ok = usual(like)
    counts = np.maximum(ok.sum(axis=1), 1)
    means = np.where(ok, values, 0).sum(axis=1, dtype=np.float64) / counts
    return np.where(ok, values - means[:, None], values).astype(values.dtype)


def _pieces(arrays: Sequence[Array]) -> Iterator[Array]:
    rows, width = sum(len(array) for array in arrays), arrays[0].shape[1]
    step = max(1, _AT_ONCE // max(rows, 1))
    for start in range(0, width, step):
        parts = [array[:, start : start + step] for array in arrays]
        yield np.concatenate(parts).astype(np.float64)


def _measured(values: Array) -> tuple[Array, Array, Array]:
    ok = usual(values)
    count = ok.sum(axis=0)
    high = values.max(axis=0, where=ok, initial=-np.inf)
    low = values.min(axis=0, where=ok, initial=np.inf)
    known = count > 0
    spread = np.where(known, high, 0) - np.where(known, low, 0)
    largest = np.where(known, np.maximum(np.abs(high), np.abs(low)), 0)
    mean = values.sum(axis=0, where=ok) / np.maximum(count, 1)
    squares = np.square(np.where(ok, values - mean, 0)).sum(axis=0)
    return spread, np.sqrt(squares / np.maximum(count - 1, 1)), largest


def _moves(before: Array, after: Array) -> Array:
    ok = usual(before) & np.isfinite(after)
    squares = np.square(np.where(ok, after - before, 0)).sum(axis=0)
    return np.asarray(np.sqrt(squares / np.maximum(ok.sum(axis=0), 1)))


def _lost(expected: Array, received: Array) -> tuple[Array, Array, Array, Array]:
    """Return root mean square differences, of how many values, their spread, and which are stuck.

    A column is stuck where the file gives one number.
    """
    ok = usual(expected)
    counts = ok.sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(np.where(ok, received - expected, 0)).sum(axis=0)
    moved = _span(expected, ok)
    return np.sqrt(squares / np.maximum(counts, 1)), counts, moved, _span(received, ok) <= 0


def _span(values: Array, ok: Array) -> Array:
    high = values.max(axis=0, where=ok, initial=-np.inf)
    low = values.min(axis=0, where=ok, initial=np.inf)
    return np.asarray(np.where(ok.any(axis=0), high, 0) - np.where(ok.any(axis=0), low, 0))


def _room(scale: Scale, varies: Array, expected: Sequence[Array]) -> Array:
    """Return what the loss of each column is measured by: about its standard deviation."""
    deviation = scale.deviation
    if not varies.any() or len(deviation) < 2:
        return deviation
    typical = float(np.median(deviation[varies]))
    room = np.minimum(np.maximum(deviation, typical), _LENIENCE * deviation)
    if all(array.min(initial=0) >= 0 and array.max(initial=1) <= 1 for array in expected):
        together = float(np.sqrt(np.square(deviation).mean()))
        room = np.maximum(room, _OF_FRACTIONS * together)
    return room


def _factor(count: int, columns: int) -> float:
    """Return how much larger than its limit a ratio of deviations may be found at random.

    The root of the quantile of F(n, n - 1), by Paulson's approximation; infinite where so few
    values show nothing.

    Example:
        >>> round(_factor(64, 10), 1), round(_factor(4000, 10), 2), _factor(3, 1000)
        (1.5, 1.05, inf)
    """
    if count < 3:
        return math.inf
    from statistics import NormalDist

    z = NormalDist().inv_cdf(1 - _DOUBT / columns)
    a, b = 2 / (9 * count), 2 / (9 * (count - 1))
    below = (1 - b) ** 2 - b * z * z
    if below <= 0:
        return math.inf
    root = z * math.sqrt((1 - a) ** 2 * b + (1 - b) ** 2 * a - a * b * z * z)
    return float((((1 - a) * (1 - b) + root) / below) ** 1.5)
