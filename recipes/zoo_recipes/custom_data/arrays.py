"""Arrays of numbers in an ``.npz`` file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.custom_data.content import (
    LABELS,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.several import label_feature
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL
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
# A column of y for each class.
SEVERAL = replace(
    ARRAYS,
    name="arrays with several classes each",
    label=LABELS,
    tasks=(MULTI_LABEL,),
    of_one=("image-classification", "classification", "sequence-classification"),
    roles=(LABELS,),
    outcome="y",
)
ONE_HOT = (
    "y has a single 1 in every row: its column is the class; --column labels=y makes each column a "
    "class by itself"
)
WHITE_1 = "x is 0 to 1: for recipes of images multiply it by 255, as their pixels are 0 to 255"
# What NumPy and zipfile raise of damaged files.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
# As Keras' own data sets name them.
PARTS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


def is_arrays(path: Path) -> bool:
    """Return whether a path is an ``.npz`` file."""
    return path.is_file() and path.suffix.lower() == ".npz"


def arrays_kind(path: Path, columns: Columns) -> Kind:
    """Return whether examples have one class or number each, or several classes."""
    targets = {split: y for split, (y, _) in _pairs(path, "y").items()}
    return _targets(path, targets, columns)[1]


def read_arrays(path: Path, columns: Columns) -> Content:
    """Read ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_val``... of a file.

    Integers, words and booleans in ``y`` are classes, one an example, and columns of 0 and 1 are a
    class each; other numbers are targets.

    Args:
        path: The file; nothing in it is unpickled.
        columns: ``{"labels": "y"}`` where columns of ``y`` are a class each although every row has
            but one.

    Raises:
        UsageError: Arrays are missing, or do not belong together.
    """
    parts = {split: _part(path, *pair) for split, pair in _pairs(path, "x").items()}
    targets, kind, notes = _targets(path, {split: y for split, (_, y) in parts.items()}, columns)
    parts = {split: (x, targets[split]) for split, (x, _) in parts.items()}
    shapes = {str((x.dtype.name, x.shape[1:])) for x, _ in parts.values()}
    if len(shapes) > 1:
        raise UsageError(f"'{path}': the parts of x differ: {' and '.join(sorted(shapes))}.")
    label_name = str(kind.label)
    problems: list[Problem] = []
    examples: list[Example] = []
    for split, (x, y) in parts.items():
        for at, (numbers, target) in enumerate(zip(x, y, strict=True)):
            where = f"{path.name}:x{f'_{split}' if split else ''}[{at}]"
            if not (np.isfinite(numbers).all() and _is_there(target)):
                problems.append(Problem(where, "holds NaN or infinity"))
                continue
            digest = digest_of(str(numbers.shape), numbers.tobytes())
            values = {"x": numbers, label_name: _value(kind, target)}
            examples.append(Example(where, split, digest, values, x.shape[1:]))
    images = [x for x, _ in parts.values() if x.ndim > 2 and x.size]
    notes += [WHITE_1] if images and is_white_1(images) else []
    features = _features(kind, *next(iter(parts.values())), examples)
    return Content(kind, features, examples, problems, notes)


def _targets(
    path: Path, targets: Mapping[str | None, Any], columns: Columns
) -> tuple[dict[str | None, Any], Kind, list[str]]:
    """Return y of each split as it is learned, what it makes of the arrays, and notes."""
    # A column of classes is as common as a row of them.
    learned = {
        split: y[:, 0] if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "iubU" else y
        for split, y in targets.items()
    }
    _check_targets(path, list(learned.values()), columns)
    if not all(map(_are_marks, learned.values())):
        if not all(y.ndim == 1 and y.dtype.kind in "iubU" for y in learned.values()):
            learned = {split: _numbers(path, y) for split, y in learned.items()}
        return learned, ARRAYS, []
    if not columns and all((y.sum(axis=1) == 1).all() for y in learned.values()):
        return {split: y.argmax(axis=1) for split, y in learned.items()}, ARRAYS, [ONE_HOT]
    return learned, SEVERAL, ["columns of y are a class each, called by their indices from 0 on"]


def _check_targets(path: Path, targets: Sequence[Any], columns: Columns) -> None:
    if columns not in ({}, {LABELS: "y"}):
        given = " ".join(f"{role}={column}" for role, column in columns.items())
        raise UsageError(
            f"Columns ({given}) are those of tables, and '{path}' holds arrays: leave them out, or "
            f"say --column {LABELS}=y where its columns are a class each."
        )
    shapes = {str(y.shape[1:]) for y in targets}
    if len(shapes) > 1:
        raise UsageError(f"'{path}': the parts of y differ: {' and '.join(sorted(shapes))}.")
    for y in targets:
        if y.dtype.kind not in "iubfU" or (y.dtype.kind == "U" and y.ndim > 1):
            raise UsageError(
                f"'{path}': y {y.shape} holds {y.dtype}: it has a class or a number an example, or "
                "a column of 0 and 1 for each class."
            )
    if columns and not all(map(_are_marks, targets)):
        raise UsageError(f"'{path}': y has no columns of 0 and 1 (--column {LABELS}=y).")


def _numbers(path: Path, y: Any) -> Any:
    if y.dtype.kind == "U":
        raise UsageError(f"'{path}': y holds words in one part, and numbers in another.")
    return y.astype(np.float32)


def _are_marks(y: Any) -> bool:
    """Return whether y has columns of 0 and 1, of which a few may be missing."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "iubf":
        return False
    return bool(((y == 0) | (y == 1) | (y != y)).all())  # noqa: PLR0124


def _is_there(target: Any) -> bool:
    return target.dtype.kind not in "fc" or bool(np.isfinite(target).all())


def _value(kind: Kind, target: Any) -> Any:
    if kind == SEVERAL:
        return tuple(str(column) for column in np.flatnonzero(target))
    return np.float32(target) if target.dtype.kind == "f" else _name(target)


def _pairs(path: Path, wanted: str) -> dict[str | None, tuple[Any, Any]]:
    ends = {"": None, **{f"_{end}": split for end, split in PARTS.items()}}
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(file.files)
            found = {
                split: (file[f"{wanted[0]}{end}"], file[f"y{end}"])
                for end, split in ends.items()
                if {f"x{end}", f"y{end}"} <= set(names)
            }
    except _UNREADABLE as error:
        raise UsageError(f"'{path}' cannot be read as arrays: {error}") from error
    if not found or (None in found and len(found) > 1):
        raise UsageError(
            f"'{path}' holds {', '.join(names) or 'nothing'}: it needs x and y, or x_train and "
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
    return x, y


def _name(target: Any) -> str:
    return str(target).lower() if target.dtype.kind == "b" else str(target)


def _features(kind: Kind, x: Any, y: Any, examples: Sequence[Example]) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    label_name = str(kind.label)
    if kind == SEVERAL:
        label: Any = label_feature([example.values for example in examples], label_name)
    elif y.dtype.kind == "f":
        label = tfds.features.Tensor(shape=y.shape[1:], dtype=np.float32)
    else:
        names = class_names([str(example.values[label_name]) for example in examples])
        label = tfds.features.ClassLabel(names=names)
    return {"x": tfds.features.Tensor(shape=x.shape[1:], dtype=x.dtype), label_name: label}
