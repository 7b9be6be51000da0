"""What came of an evaluation: metrics with intervals, groups, label errors; its files and plots."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.compiling.keras_names import is_cost
from zoo_recipes.metrics.classification import LabelError
from zoo_recipes.run import write_json
from zoo_registry import UsageError, ZooError
from zoo_system.durable import write

FORMAT_VERSION = 2
FILE, PICTURE = "evaluation.json", "confusion.png"
Interval = tuple[float, float]
# More numbers than these would not be read.
MOST_NUMBERS = 30
MOST_NAMES = 60
LONGEST_NAME = 18


@dataclass(frozen=True, kw_only=True)
class Group:
    """The metrics of some of the examples.

    Args:
        name: Their value of the column.
        num_examples: How many they are.
        small: Whether they are too few for a reliable metric.
        metrics: By name.
        intervals: At 95 %.
    """

    name: str
    num_examples: int
    small: bool
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far apart the best and the worst group are in one metric."""

    best: str
    worst: str
    difference: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often a class is right in a group, and how often it was given there.

    Args:
        wanted: Fraction of the examples that are of the class.
        wanted_interval: At 95 %.
        given: Fraction of the examples that it was given to.
        given_interval: At 95 %.
    """

    wanted: float
    wanted_interval: Interval
    given: float
    given_interval: Interval


@dataclass(frozen=True, kw_only=True)
class Groups:
    """An evaluation by group.

    Args:
        column: What puts the examples into groups.
        groups: Largest first.
        compared: Those that gaps and parity are of: the ones that are not small, if they are two
            or more, or else all.
        gaps: By metric.
        parity: By class, the measures of fairlearn; empty where nothing is classified.
        rates: By class and group, what the measures compare; of the same classes.
    """

    column: str
    groups: tuple[Group, ...]
    compared: tuple[str, ...]
    gaps: Mapping[str, Gap]
    parity: Mapping[str, Mapping[str, float]]
    rates: Mapping[str, Mapping[str, Rates]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation of a model on a split.

    Args:
        where: Folder of the run or bundle.
        runtime: ``keras``, or the format of the bundle's file.
        task: The model's head.
        dataset: Name and version of the data.
        split: In slicing syntax.
        num_examples: Rows that were measured; windows of text for a language model.
        metrics: By name: what the run recorded, and the metrics of the task.
        intervals: 95 % bootstrap intervals of metrics.
        labels: Class names.
        per_class: By class: precision, recall, F1 and support, or the average precision of boxes,
            where they are defined.
        class_intervals: By class, the intervals of those.
        confusion: How often each class (row) was taken for each (column).
        groups: By group, if it was asked for.
        label_errors: Examples whose label is likely wrong, the likeliest first.
        format_version: Version of this layout.

    Example:
        >>> found = Evaluation(
        ...     where="runs/mine",
        ...     runtime="keras",
        ...     task="regression",
        ...     dataset="mine/1.0.0",
        ...     split="test",
        ...     num_examples=90,
        ...     metrics={"mae": 0.25},
        ...     intervals={"mae": (0.2, 0.31)},
        ... )
        >>> found
        runs/mine in keras on mine/1.0.0, test (90 examples)
        mae  0.2500  (0.2000 to 0.3100)
        >>> Evaluation.from_json(found.to_json()) == found
        True
    """

    where: str
    runtime: str
    task: str
    dataset: str
    split: str
    num_examples: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    labels: tuple[str, ...] = ()
    per_class: Mapping[str, Mapping[str, float]] | None = None
    class_intervals: Mapping[str, Mapping[str, Interval]] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    groups: Groups | None = None
    label_errors: tuple[LabelError, ...] = ()
    format_version: int = FORMAT_VERSION

    def __repr__(self) -> str:
        """Return the metrics as a table, also in a notebook."""
        width = max(map(len, self.metrics))
        rows = [
            f"{name:{width}}  {value:.4f}  {between(self.intervals.get(name))}".rstrip()
            for name, value in self.metrics.items()
        ]
        return "\n".join([self.title, *rows])

    @property
    def title(self) -> str:
        """What was measured, on what, in one line."""
        unit = "windows" if self.task == "causal-lm" else "examples"
        return (
            f"{self.where} in {self.runtime} on {self.dataset}, {self.split} "
            f"({self.num_examples:,} {unit})"
        )

    @property
    def name(self) -> str:
        """A name for a folder: runtime, data, split and column."""
        dataset = self.dataset.removeprefix("own_data/").rpartition("/")[0]
        parts = [self.runtime, dataset, self.split]
        parts += [f"by-{self.groups.column}"] if self.groups else []
        return re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(parts)).strip("-")

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Return what :meth:`to_json` wrote.

        Raises:
            UsageError: Text that is not an evaluation.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise UsageError(f"The text is not an evaluation: {error}") from error

    def save(self, folder: str | Path) -> Path:
        """Write ``evaluation.json`` and, for classes, ``confusion.png``; return the folder.

        Args:
            folder: It is made if needed; files of an earlier evaluation are replaced.

        Raises:
            ZooError: It cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(f"'{folder}' cannot be written: {error}") from error
        write_json(folder / FILE, asdict(self))
        if self.confusion is not None:
            confusion, labels = self.confusion, self.labels
            write(
                folder / PICTURE, lambda path: draw_confusion(confusion, labels, self.title, path)
            )
        return folder


def between(interval: Interval | None) -> str:
    """Return an interval in readable form, or nothing.

    Example:
        >>> between((0.25, 0.5))
        '(0.2500 to 0.5000)'
    """
    return "" if interval is None else f"({interval[0]:.4f} to {interval[1]:.4f})"


def find_gaps(groups: Sequence[Group]) -> dict[str, Gap]:
    """Return the gap between the best and the worst group in each metric that all have.

    Args:
        groups: One or more.
    """
    gaps = {}
    for name in groups[0].metrics:
        if not all(name in group.metrics for group in groups):
            continue
        ranked = sorted(groups, key=lambda group: group.metrics[name])
        best, worst = (ranked[0], ranked[-1]) if is_cost(name) else (ranked[-1], ranked[0])
        difference = abs(best.metrics[name] - worst.metrics[name])
        gaps[name] = Gap(best=best.name, worst=worst.name, difference=difference)
    return gaps


def draw_confusion(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str, path: Path
) -> None:
    """Draw which class is taken for which: the darker, the larger the fraction of the right class.

    Args:
        confusion: Counts, the right class a row, the predicted one a column.
        labels: Class names.
        title: Above the plot.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    counts = np.asarray(confusion)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.36 * len(counts) + 1.6, 3.6, 11))
    figure = Figure(figsize=(side + 1, side + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # Drawn in proportion, the few errors of a good model would not be seen.
    image = axes.imshow(fractions, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(image, ax=axes, label="fraction of the right class", shrink=0.8)
    step = -(-len(counts) // MOST_NAMES)
    positions = range(0, len(counts), step)
    names = [_short(labels[at]) for at in positions]
    size = float(np.clip(36 * side / len(names), 4, 9))
    turn = 90 if len(names) > 20 or max(map(len, names)) > 3 else 0
    axes.set_xticks(positions, names, rotation=turn, fontsize=size)
    axes.set_yticks(positions, names, fontsize=size)
    axes.set(xlabel="answer", ylabel="right class")
    axes.set_title(title, fontsize=9, wrap=True)
    if len(counts) <= MOST_NUMBERS:
        _write_counts(axes, counts, fractions)
    figure.savefig(path, dpi=120)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _write_counts(axes: Any, counts: Any, fractions: Any) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if fractions[row, column] > 0.3 else "black"
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color=colour,
            fontsize=8,
        )
