"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# More numbers than these would not be read.
MOST_NUMBERS = 30
MOST_NAMES = 60
LONGEST_NAME = 18


def draw_confusion(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str, path: Path
) -> None:
    """Draw which class is taken for which: the darker, the larger a share of the right class.

    Args:
        confusion: Counts, the right class a row, the answer a column.
        labels: Class names.
        title: Above the picture.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.36 * len(counts) + 1.6, 3.6, 11))
    figure = Figure(figsize=(side + 1, side + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # Drawn in proportion, the few errors of a good model would not be seen.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(image, ax=axes, label="share of the right class", shrink=0.8)
    step = -(-len(counts) // MOST_NAMES)
    places = range(0, len(counts), step)
    names = [_short(labels[at]) for at in places]
    size = float(np.clip(36 * side / len(names), 4, 9))
    turn = 90 if len(names) > 20 or max(map(len, names)) > 3 else 0
    axes.set_xticks(places, names, rotation=turn, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.set(xlabel="answer", ylabel="right class")
    axes.set_title(title, fontsize=9, wrap=True)
    if len(counts) <= MOST_NUMBERS:
        _write_counts(axes, counts, shares)
    figure.savefig(path, dpi=120)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _write_counts(axes: Any, counts: Any, shares: Any) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.3 else "black"
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color=colour,
            fontsize=8,
        )
