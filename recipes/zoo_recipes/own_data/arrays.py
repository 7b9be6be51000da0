"""Arrays of numbers in an ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.own_data.content import (
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_registry import UsageError
from zoo_runtime.preprocess.pixels import is_white_1

ARRAYS = Kind(
    name="arrays",
    input="x",
    label="y",
    tasks=(
        *("image-classification", "classification", "sequence-classification"),
        *("image-regression", "regression", "sequence-regression"),
    ),
    unit="numbers",
)
WHITE_1 = "x is 0 to 1: for recipes of images multiply it by 255, as their pixels are 0 to 255"
# As Keras' own data sets name them.
PARTS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


def is_arrays(path: Path) -> bool:
    """Return whether a path is an ``.npz`` file."""
    return path.is_file() and path.suffix.lower() == ".npz"


def read_arrays(path: Path, columns: Columns) -> Content:
    """Read ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_val``... of a file.

    Integers, words and booleans in ``y`` are classes, one an example; other numbers are targets.

    Args:
        path: The file; nothing in it is unpickled.
        columns: Not used.

    Raises:
        UsageError: Arrays are missing, or do not belong together.
    """
    parts = {split: _part(path, *pair) for split, pair in _pairs(path).items()}
    shapes = {str((x.dtype.name, x.shape[1:])) for x, _ in parts.values()}
    if len(shapes) > 1:
        raise UsageError(f"'{path}': the parts of x differ: {' and '.join(sorted(shapes))}.")
    targets = [y for _, y in parts.values()]
    are_classes = all(y.ndim == 1 and y.dtype.kind in "iubU" for y in targets)
    problems: list[Problem] = []
    examples: list[Example] = []
    for split, (x, y) in parts.items():
        for at, (numbers, target) in enumerate(zip(x, y, strict=True)):
            where = f"{path.name}:x{f'_{split}' if split else ''}[{at}]"
            if not (np.isfinite(numbers).all() and (are_classes or np.isfinite(target).all())):
                problems.append(Problem(where, "holds NaN or infinity"))
                continue
            value = _name(target) if are_classes else np.float32(target)
            digest = digest_of(str(numbers.shape), numbers.tobytes())
            examples.append(Example(where, split, digest, {"x": numbers, "y": value}, x.shape[1:]))
    pictures = [x for x, _ in parts.values() if x.ndim > 2 and x.size]
    remarks = [WHITE_1] if pictures and is_white_1(pictures) else []
    return Content(ARRAYS, _features(parts, are_classes), examples, problems, remarks)


def _pairs(path: Path) -> dict[str | None, tuple[Any, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"'{path}' cannot be read as arrays: {error}") from error
    ends = {"": None, **{f"_{end}": split for end, split in PARTS.items()}}
    found = {
        split: (arrays[f"x{end}"], arrays[f"y{end}"])
        for end, split in ends.items()
        if f"x{end}" in arrays and f"y{end}" in arrays
    }
    if not found or (None in found and len(found) > 1):
        raise UsageError(
            f"'{path}' holds {', '.join(arrays) or 'nothing'}: it needs x and y, or x_train and "
            "y_train, and where you have them x_val, y_val, x_test and y_test."
        )
    return found


def _part(path: Path, x: Any, y: Any) -> tuple[Any, Any]:
    if x.ndim < 2 or y.ndim < 1 or len(x) != len(y):
        raise UsageError(
            f"'{path}': x {x.shape} and y {y.shape} do not belong together: x has one row of "
            "numbers an example, y one target."
        )
    if x.dtype.kind not in "iufb":
        raise UsageError(f"'{path}': x holds {x.dtype}, not numbers.")
    # A column of classes is as common as a row of them.
    return x, (y[:, 0] if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "iubU" else y)


def _name(target: Any) -> str:
    return str(target).lower() if target.dtype.kind == "b" else str(target)


def _names(parts: dict[Any, tuple[Any, Any]]) -> Iterator[str]:
    for _, y in parts.values():
        yield from (_name(target) for target in y)


def _features(parts: dict[Any, tuple[Any, Any]], are_classes: bool) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    x, y = next(iter(parts.values()))
    target = (
        tfds.features.ClassLabel(names=class_names(list(_names(parts))))
        if are_classes
        else tfds.features.Tensor(shape=y.shape[1:], dtype=np.float32)
    )
    return {"x": tfds.features.Tensor(shape=x.shape[1:], dtype=x.dtype), "y": target}
