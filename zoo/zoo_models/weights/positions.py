"""Learned positions of patches, for images of another size than the weights were trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Grid = tuple[int, int]
# Of the cubic kernel: PyTorch's plain one, and the one that it shares with Pillow.
SHARP, SMOOTH = -0.75, -0.5


def fit_positions(
    positions: Array, model: Any, config: Mapping[str, Any], *, antialias: bool
) -> Array:
    """Return the positions of a vision transformer for the size of its images.

    The class vector's stays; those of the patches, rows of a picture, are scaled bicubically, as
    ``interpolate_pos_encoding`` of transformers or ``resample_abs_pos_embed`` of timm does.

    Args:
        positions: float (1 + patches, width) as the weights have them.
        model: It says the size of its images and of its patches.
        config: It says for what size the weights are; without it, a square one.
        antialias: Whether a coarser grid is a weighted mean of all old positions (timm) or picks
            four by four of them (transformers).

    Returns:
        The same for the model's grid; positions that are no grid as they are.
    """
    patch = model.get_layer("patch_embedding").kernel_size[0]
    height, width = model.inputs[0].shape[1:3]
    new = (height // patch, width // patch)
    old = _old_grid(len(positions) - 1, config, patch, new)
    if old is None or old == new:
        return positions
    table = positions[1:].astype("float64").reshape(*old, -1)
    for axis in (0, 1):
        table = _scaled(np.moveaxis(table, axis, 0), new[axis], antialias)
        table = np.moveaxis(table, 0, axis)
    return np.concatenate([positions[:1], table.reshape(new[0] * new[1], -1)])


def _old_grid(patches: int, config: Mapping[str, Any], patch: int, new: Grid) -> Grid | None:
    size = config.get("image_size")
    if isinstance(size, list):
        grid = (size[0] // patch, size[1] // patch)
        if grid[0] * grid[1] == patches:
            return grid
    side = math.isqrt(patches)
    if not config and patches == new[0] * new[1]:
        return new
    return (side, side) if side * side == patches else None


def _scaled(rows: Array, count: int, antialias: bool) -> Array:
    """Return ``count`` rows in place of those along the first axis."""
    weights = _weights(len(rows), count, antialias)
    scaled: Array = np.tensordot(weights, rows, axes=1)
    return scaled


def _weights(old: int, new: int, antialias: bool) -> Array:
    """Return float (new, old): how much of each old row is in each new one."""
    scale = old / new
    centers = (np.arange(new)[:, None] + 0.5) * scale
    weights: Array = np.zeros((new, old))
    if antialias:
        stretch = max(scale, 1.0)
        weights += _cubic((np.arange(old)[None] + 0.5 - centers) / stretch, SMOOTH)
        weights /= weights.sum(axis=1, keepdims=True)
        return weights
    first = np.floor(centers - 0.5).astype(int) - 1
    for offset in range(4):
        index = first + offset
        # Beyond its border a picture goes on as it ends.
        near = np.clip(index, 0, old - 1)
        amount = _cubic(index + 0.5 - centers, SHARP)
        np.add.at(weights, (np.arange(new)[:, None], near), amount)
    return weights


def _cubic(distance: Array, a: float) -> Array:
    """Return the cubic convolution kernel (https://doi.org/10.1109/TASSP.1981.1163711)."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
