"""Rows of numbers and categories as one vector: what was learned of each column is data.

A number becomes its distance from the mean in standard deviations and, beside it, its position
among the quantiles of the column, piecewise linear (Gorishniy et al. 2022,
https://arxiv.org/abs/2203.05556); a category is one-hot encoded. Values that are
missing or were never seen have positions of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean

# What people write where there is no number.
MISSING = {"", "?", "-", "na", "n/a", "nan", "null", "none"}
# In standard deviations: values are clipped there.
FARTHEST = 10.0


def as_number(value: Any) -> float:
    """Return a cell as a number, NaN where it is missing.

    Raises:
        ValueError: It is not a number, or infinite.

    Example:
        >>> as_number(" 3.5 "), as_number("?"), as_number(7)
        (3.5, nan, 7.0)
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return math.nan
    # Python reads 1_000 as a number, and nobody else does.
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"{value!r} is not a number")
    number = float(value)
    if math.isinf(number):
        raise ValueError(f"{value!r} is infinite")
    return number


@dataclass(frozen=True, kw_only=True)
class Column:
    """What is known of a column of the training split.

    Args:
        name: Its name.
        mean: Of a number.
        scale: Standard deviation of a number, 1 where all are the same.
        fill: What stands for a number that is missing, the median.
        edges: Quantiles of a number, rising.
        gaps: Whether training examples missed it.
        categories: Of a category; ``None`` for a number.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    edges: tuple[float, ...] = ()
    gaps: bool = False
    categories: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """The number of features it becomes."""
        if self.categories is not None:
            return len(self.categories) + 1
        return 1 + max(len(self.edges) - 1, 0) + self.gaps

    def vectors(self, values: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Return float32 (values, width).

        Raises:
            UsageError: A value that is not a number, of a column of numbers.

        Example:
            >>> Column(name="colour", categories=("blue", "red")).vectors(["red", "green"]).tolist()
            [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        if self.categories is not None:
            return self._of_categories(values)
        numbers = np.asarray([self._number(value) for value in values], np.float64)
        missing = np.isnan(numbers)
        numbers = np.where(missing, self.fill, numbers)
        parts = [np.clip((numbers - self.mean) / self.scale, -FARTHEST, FARTHEST)[:, np.newaxis]]
        if len(self.edges) > 1:
            low, high = np.asarray(self.edges[:-1]), np.asarray(self.edges[1:])
            parts.append(np.clip((numbers[:, np.newaxis] - low) / (high - low), 0, 1))
        if self.gaps:
            parts.append(missing[:, np.newaxis])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _number(self, value: Any) -> float:
        try:
            return as_number(value)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"Column '{self.name}' holds numbers, and {value!r} is not one."
            ) from error

    def _of_categories(self, values: Sequence[Any]) -> np.ndarray[Any, Any]:
        indices = {category: at for at, category in enumerate(self.categories or ())}
        vectors = np.zeros((len(values), self.width), np.float32)
        for row, value in enumerate(values):
            vectors[row, indices.get(category_of(value), len(indices))] = 1
        return vectors


def category_of(value: Any) -> str:
    """Return a cell as the name of a category.

    Example:
        >>> category_of(" red "), category_of(None), category_of(3.0), category_of(True)
        ('red', '', '3', 'true')
    """
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def look_at_column(
    name: str, values: Sequence[Any], *, bins: int, min_count: int, max_categories: int
) -> Column:
    """Return what is learned of a column; it holds numbers where every value is one.

    Args:
        name: Its name.
        values: Those of the training split.
        bins: Quantiles that numbers are placed among; 0 for none.
        min_count: How often a category must be there for a position of its own.
        max_categories: Most categories with one, the most frequent ones.

    Example:
        >>> look_at_column("age", ["1", "3", "?"], bins=0, min_count=1, max_categories=9)
        Column(name='age', mean=2.0, scale=1.0, fill=2.0, edges=(), gaps=True, categories=None)
    """
    try:
        numbers = np.asarray([as_number(value) for value in values], np.float64)
    except (ValueError, TypeError):
        numbers = np.full(1, np.nan)
    there = numbers[~np.isnan(numbers)]
    if not len(there):
        names, counts = np.unique([category_of(value) for value in values], return_counts=True)
        ranked = sorted(zip(-counts, names.tolist(), strict=True))
        kept = [name for count, name in ranked if -count >= min_count][:max_categories]
        return Column(name=name, categories=tuple(sorted(kept)))
    edges = np.unique(np.quantile(there, np.linspace(0, 1, bins + 1))) if bins else np.empty(0)
    return Column(
        name=name,
        mean=float(there.mean()),
        scale=float(there.std()) or 1.0,
        fill=float(np.median(there)),
        edges=tuple(edges.tolist()),
        gaps=len(there) < len(numbers),
    )


def to_json(columns: Sequence[Column]) -> str:
    """Return columns as the text of an asset."""
    rows = [
        {"name": column.name, "categories": list(column.categories)}
        if column.categories is not None
        else {
            "name": column.name,
            "mean": column.mean,
            "scale": column.scale,
            "fill": column.fill,
            "edges": list(column.edges),
            "gaps": column.gaps,
        }
        for column in columns
    ]
    return json.dumps(rows, indent=0, ensure_ascii=False)


def load_columns(assets: Path | None, name: str) -> tuple[Column, ...]:
    """Return the columns that a file of the assets describes.

    Raises:
        UsageError: There is no such file, or it does not describe columns.
    """
    path = None if assets is None else Path(assets) / name
    if path is None or not path.is_file():
        raise UsageError(f"Step 'table' needs the file '{name}' among the assets: {assets}.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(_column(row) for row in rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"'{path}' describes no columns of a table: {error}") from error
    if not columns or len({column.name for column in columns}) < len(columns):
        raise UsageError(f"'{path}' describes no columns of a table: none, or one twice.")
    return columns


def _column(row: Mapping[str, Any]) -> Column:
    name = row["name"]
    if not isinstance(name, str):
        raise TypeError(f"a name is a text, not {name!r}")
    if "categories" in row:
        categories = row["categories"]
        if not isinstance(categories, list) or not all(isinstance(c, str) for c in categories):
            raise TypeError(f"the categories of '{name}' are no list of texts")
        return Column(name=name, categories=tuple(categories))
    mean, scale, fill = (float(row[key]) for key in ("mean", "scale", "fill"))
    edges = tuple(map(float, row["edges"]))
    rising = all(low < high for low, high in pairwise(edges))
    if not (scale > 0 and rising and all(map(math.isfinite, (mean, scale, fill, *edges)))):
        raise ValueError(f"the numbers of '{name}' cannot be computed with")
    return Column(name=name, mean=mean, scale=scale, fill=fill, edges=edges, gaps=bool(row["gaps"]))


def cells_of(raw: Any, columns: Sequence[Column], index: int) -> Sequence[Any]:
    """Return the cells of a row in the order of the columns.

    Args:
        raw: A mapping of column to value, which may have others too, or the values in order.
        columns: Those of the training.
        index: Of the row, for messages.

    Raises:
        UsageError: A column is not there, or there are other values than columns.
    """
    names = [column.name for column in columns]
    if isinstance(raw, Mapping):
        missing = next((name for name in names if name not in raw), None)
        if missing is not None:
            hint = did_you_mean(missing, raw)
            raise UsageError(
                f"Input {index} has no column '{missing}'.{hint} It needs: {', '.join(names)}."
            )
        return [raw[name] for name in names]
    if len(names) == 1 and not isinstance(raw, list | tuple | np.ndarray):
        return [raw]
    if not isinstance(raw, list | tuple | np.ndarray) or len(raw) != len(names):
        count = f"{len(raw)} values" if isinstance(raw, list | tuple | np.ndarray) else repr(raw)
        raise UsageError(
            f"Input {index} is {count}: a row is a mapping of column to value, or one value for "
            f"each of {', '.join(names)}."
        )
    return list(raw)
