"""The picture of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO


def draw_curves(history: Mapping[str, Sequence[float]], title: str, path: Path | BinaryIO) -> None:
    """Draw a panel for each metric, training and validation, by epoch.

    Args:
        history: Values of each epoch by metric; those of validation begin with ``val_``.
        title: Above the picture.
        path: The PNG to write, or what takes its bytes.
    """
    panels = {
        name: {
            label: history[key]
            for key, label in ((name, "training"), (f"val_{name}", "validation"))
            if key in history
        }
        for name in history
        if not name.startswith("val_") and name != "learning_rate"
    }
    _draw(panels, title, path)


def curves_png(history: Mapping[str, Sequence[float]]) -> bytes:
    """Return the picture of :func:`draw_curves`, with no title, as the bytes of a PNG."""
    picture = BytesIO()
    draw_curves(history, "", picture)
    return picture.getvalue()


def draw_side_by_side(histories: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Draw a panel for each metric with a curve for each run, by epoch.

    Args:
        histories: Values of each epoch by metric, of each run by its name.
        path: The PNG to write.
    """
    metrics = dict.fromkeys(key for history in histories.values() for key in history)
    panels = {
        metric.replace("val_", "validation "): {
            name: history[metric] for name, history in histories.items() if metric in history
        }
        for metric in metrics
        if metric != "learning_rate"
    }
    _draw(panels, " and ".join(histories) if len(histories) < 4 else "", path)


def _draw(
    panels: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path | BinaryIO
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (name, curves) in zip(axes, panels.items(), strict=True):
        for label, values in curves.items():
            panel.plot(range(1, len(values) + 1), values, marker=".", label=label)
        panel.set(xlabel="epoch", title=name.replace("_", " "))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
