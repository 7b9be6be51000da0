"""Names, then shapes, then values: what an artifact gives against what Keras gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from zoo_export.errors import ExportError
from zoo_export.manifest import Comparison, Verification
from zoo_export.tensors import Array, Arrays

# Outputs smaller than this are compared as if they were this large: below it float32 sums of
# larger numbers leave noise.
_SMALLEST_SCALE = 1e-3
# What rows at the edges may differ more than others: where all of an image is zero, every place
# rounds alike and it adds up, to 3e-5 between Keras in float32 and in float64.
EDGE_SLACK = 100


def compare(
    expected: Sequence[Arrays], received: Sequence[Arrays], tolerance: float | Sequence[float]
) -> tuple[Comparison, ...]:
    """Compare the outputs of some sample batches.

    Args:
        expected: What Keras gave, by output name, a mapping for each batch.
        received: What the artifact gave.
        tolerance: Allowed difference as a share of the largest value of each output, one for all
            batches or one for each; whole numbers and booleans must be equal.

    Returns:
        A row for every batch and output, allowed or not.

    Raises:
        ExportError: Other names, shapes or dtypes, or a value that is not finite.

    Example:
        >>> keras, artifact = np.array([[1.0, -4.0]]), np.array([[1.0, -4.00001]])
        >>> rows = compare([{"logits": keras}], [{"logits": artifact}], tolerance=1e-5)
        >>> rows[0].ok, rows[0].allowed
        (True, 4e-05)
    """
    rows = []
    shares = [tolerance] * len(expected) if isinstance(tolerance, float) else tolerance
    for wanted, given, share in zip(expected, received, shares, strict=True):
        if set(given) != set(wanted):
            raise ExportError(f"its outputs are {sorted(given)}, those of Keras {sorted(wanted)}")
        for name, array in wanted.items():
            _check_shape(name, array, given[name])
            rows.append(_row(name, array, given[name], share))
    return tuple(rows)


def check_finite(outputs: Arrays, owner: str) -> None:
    """Refuse outputs that are not numbers.

    Raises:
        ExportError: NaN in an output.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            share = float(np.isnan(array).mean())
            raise ExportError(f"output '{name}' of {owner} is NaN in {share:.0%} of its values")


def worst(rows: Sequence[Comparison]) -> str:
    """Return one line about the row that is furthest beyond what is allowed.

    Example:
        >>> worst([Comparison("logits", (1, 2), 0.5, 1e-5)])
        "output 'logits' of shape [1, 2] differs from Keras by 0.5 where 1e-05 is allowed"
    """
    row = max(rows, key=lambda row: row.max_abs_diff / (row.allowed or 1e-30))
    return (
        f"output '{row.output}' of shape {list(row.shape)} differs from Keras by "
        f"{row.max_abs_diff:.3g} where {row.allowed:.3g} is allowed"
    )


def largest_share(figures: Verification) -> float:
    """Return the largest difference as a share of the largest value of its output.

    Whole numbers and booleans must be equal: any difference of theirs is infinite.

    Example:
        >>> row = Comparison("logits", (1, 2), max_abs_diff=0.5, allowed=0.2)
        >>> largest_share(Verification("tflite:int8", tolerance=0.1, comparisons=(row,)))
        0.25
    """
    shares = [
        row.max_abs_diff / row.allowed * figures.tolerance if row.allowed else math.inf
        for row in figures.comparisons
        if row.max_abs_diff
    ]
    return max(shares, default=0.0)


def top1_agreement(expected: Arrays, received: Arrays) -> float | None:
    """Return the share of rows whose largest logit is the same, if there are logits."""
    if "logits" not in expected:
        return None
    same = expected["logits"].argmax(-1) == received["logits"].argmax(-1)
    return float(same.mean())


def accuracy(outputs: Arrays, targets: Array | None) -> float | None:
    """Return the share of rows, or of steps of a text, whose largest logit is the target.

    Steps are counted where negative targets tell which of them are not: padding is not, and no
    other mark says so.

    Example:
        >>> accuracy({"logits": np.array([[1.0, 2.0], [3.0, 0.0]])}, np.array([1, 1]))
        0.5
        >>> accuracy({"logits": np.array([[[1.0, 2.0], [3.0, 0.0]]])}, np.array([[1, -1]]))
        1.0
    """
    logits = outputs.get("logits")
    if targets is None or logits is None or targets.dtype.kind not in "iu":
        return None
    rows = targets[: len(logits)]
    counted = rows >= 0
    if rows.shape != logits.shape[:-1] or (rows.ndim > 1 and counted.all()):
        return None
    return float((logits.argmax(-1) == rows)[counted].mean())


def _check_shape(name: str, wanted: Array, given: Array) -> None:
    if given.shape != wanted.shape:
        raise ExportError(f"output '{name}' has shape {given.shape}, in Keras {wanted.shape}")
    if given.dtype != wanted.dtype:
        raise ExportError(f"output '{name}' is {given.dtype}, in Keras {wanted.dtype}")


def _row(name: str, wanted: Array, given: Array, tolerance: float) -> Comparison:
    check_finite({name: given}, "the artifact")
    if wanted.dtype.kind != "f":
        difference = np.abs(wanted.astype(np.float64) - given.astype(np.float64)).max(initial=0.0)
        return Comparison(name, wanted.shape, float(difference), 0.0)
    # Equal infinities, as masked logits may have, differ by nothing.
    same = wanted == given
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0, np.abs(wanted.astype(np.float64) - given)).max(initial=0.0)
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(float(finite.max(initial=0.0)), _SMALLEST_SCALE)
    return Comparison(name, wanted.shape, float(difference), tolerance * scale)
