"""Weights as integers in blocks: neighbours that share a scale, without a zero point.

A language model reads every weight once for each token, so that bytes are its time. A scale for
each block of values keeps int4 useful, where one for each channel does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zoo_runtime.tensors import Array

# Smaller weights take as much in scales and nodes as they save.
FEWEST = 1024
# Of them the largest that fits: ONNX Runtime has products for powers of two from 16 on, and takes a
# quarter less time for blocks of 128 than for blocks of 32.
_SIZES = (128, 64, 32, 16)
# As fractions of the scale that clips nothing: what is clipped is paid by what is then finer.
_TRIED = np.linspace(0.6, 1.0, 9, dtype=np.float32)
# Values that are tried at once.
_PART = 1 << 24


@dataclass(frozen=True)
class Blocks:
    """A matrix in blocks along its last axis: ``integers * scales``, each scale for its block.

    Args:
        integers: int8 (rows, columns), within the bits that were asked for.
        scales: float32 (rows, columns / size).
        bits: 4 or 8.
    """

    integers: Array
    scales: Array
    bits: int

    @property
    def size(self) -> int:
        """Values that share a scale."""
        return int(self.integers.shape[1] // self.scales.shape[1])

    def floats(self) -> Array:
        """Return what the integers stand for."""
        rows, columns = self.integers.shape
        parts = self.integers.reshape(rows, -1, self.size) * self.scales[..., None]
        return np.asarray(parts.reshape(rows, columns), np.float32)


def block_size(columns: int) -> int | None:
    """Return the size of blocks that a row is cut into; ``None`` where none fits.

    Example:
        >>> block_size(768), block_size(80), block_size(41)
        (128, 16, None)
    """
    return next((size for size in _SIZES if columns % size == 0), None)


def in_blocks(
    matrix: Array,
    bits: int,
    size: int,
    *,
    signed_scales: bool = False,
    stored: Callable[[Array], Array] = np.asarray,
) -> Blocks:
    """Return a matrix in blocks along its last axis.

    A block of int8 has the scale that clips nothing, one of int4 the scale of the smallest squared
    error among those that clip up to two fifths.

    Args:
        matrix: float32 (rows, columns), of as many columns as fill blocks.
        bits: 4 or 8.
        size: Values that share a scale.
        signed_scales: Whether a scale may be negative, so that the largest value, if it is a
            positive one, is -8 times the scale and not 7 times.
        stored: Rounds scales to what a file holds of them, before integers are chosen.

    Example:
        >>> blocks = in_blocks(np.array([[1.0, -2.0, 0.0, 4.0]], np.float32), 8, 2)
        >>> blocks.integers.tolist(), (blocks.floats() * 127).round().tolist()
        ([[64, -127, 0, 127]], [[128.0, -254.0, 0.0, 508.0]])
    """
    rows, columns = matrix.shape
    step = max(1, _PART // columns)
    parts = [
        _blocks(matrix[at : at + step].reshape(-1, size), bits, signed_scales, stored)
        for at in range(0, rows, step)
    ]
    integers, scales = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Blocks(integers.reshape(rows, columns), scales.reshape(rows, -1), bits)


def _blocks(
    values: Array, bits: int, signed_scales: bool, stored: Callable[[Array], Array]
) -> tuple[Array, Array]:
    most = 2 ** (bits - 1) - 1
    largest = np.abs(values).max(axis=1, keepdims=True).astype(np.float32)
    whole = stored(np.where(largest > 0, largest / most, 1).astype(np.float32))
    if bits == 8:
        return _rounded(values, whole, most), whole
    best, least = whole, np.full_like(whole, np.inf)
    for factor in (*_TRIED, *(-_TRIED if signed_scales else ())):
        scale = stored(whole * factor)
        error = np.square(_rounded(values, scale, most) * scale - values).sum(1, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return _rounded(values, best, most), best


def _rounded(values: Array, scale: Array, most: int) -> Array:
    # In int8 nothing is clipped; of int4 the lowest integer has no opposite.
    return np.clip(np.rint(values / scale), -most - (most == 7), most).astype(np.int8)
