"""Calibration data: real inputs that show a quantizer how large the activations get."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.tensors import Array, Arrays, Tensor, bind

MIN_ROWS = 8
# Fewer leave out much of what other inputs give: TensorFlow's own guide asks for 100 to 500.
FEW_ROWS = 100
# From so many rows on, one of four is held out of the ranges, to verify what they clip.
_ENOUGH, _PARTS = 16, 4
# With so many samples of the caller none is held out.
_SAMPLES = 16
# How much larger samples may be than what was calibrated on, or smaller, to be of one scale.
_SAME_SCALE = 10.0


def check_calibration(
    tensors: Sequence[Tensor], given: Mapping[str, Any], samples: Arrays | None
) -> dict[str, Array]:
    """Return calibration rows as arrays of the model's dtypes.

    Args:
        tensors: The model's inputs.
        given: Arrays by input name, rows first.
        samples: Real inputs that the model is verified with, if there are any.

    Raises:
        UsageError: Too few rows, wrong inputs, values that are not finite, or of another scale
            than the samples.
    """
    rows = bind(tensors, given)
    count = len(next(iter(rows.values())))
    if count < MIN_ROWS:
        raise UsageError(f"Calibration needs at least {MIN_ROWS} rows, and got {count}.")
    for name, array in rows.items():
        if array.dtype.kind != "f":
            continue
        if not np.isfinite(array).all():
            raise UsageError(f"The calibration rows of input '{name}' hold NaN or infinite values.")
        _check_scale(name, array, None if samples is None else samples[name])
    return rows


def split(rows: dict[str, Array], samples: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the rows that ranges are measured on, and those held out to verify the file.

    They are the same ones where there are too few to split: ranges fit their own rows best.

    Args:
        rows: Of the calibration, by input name.
        samples: How many rows the caller gave to verify with.

    Example:
        >>> [len(part["x"]) for part in split({"x": np.zeros((64, 2))}, samples=0)]
        [48, 16]
        >>> [len(part["x"]) for part in split({"x": np.zeros((64, 2))}, samples=100)]
        [64, 64]
    """
    count = len(next(iter(rows.values())))
    if count < _ENOUGH or samples >= _SAMPLES:
        return rows, rows
    # At random, for rows may come in an order that repeats itself.
    order = np.random.default_rng(0).permutation(count)
    held_out, others = np.sort(order[: count // _PARTS]), np.sort(order[count // _PARTS :])
    return (
        {name: array[others] for name, array in rows.items()},
        {name: array[held_out] for name, array in rows.items()},
    )


def fingerprint(rows: Arrays) -> dict[str, Any]:
    """Return how many rows there are and a hash of them all.

    Example:
        >>> fingerprint({"x": np.zeros((8, 2), np.float32)})["rows"]
        8
    """
    digest = hashlib.sha256()
    for name, array in sorted(rows.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"rows": len(next(iter(rows.values()))), "sha256": digest.hexdigest()}


def _check_scale(name: str, rows: Array, samples: Array | None) -> None:
    if samples is None:
        return
    calibrated, sampled = float(np.abs(rows).max()), float(np.abs(samples).max())
    if sampled > _SAME_SCALE * calibrated or calibrated > _SAME_SCALE * sampled:
        raise UsageError(
            f"The calibration rows of input '{name}' reach {calibrated:.3g}, the samples "
            f"{sampled:.3g}: preprocess both in the same way."
        )
