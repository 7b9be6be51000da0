"""The picture of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw_curves(history: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Draw a panel for each metric, training and validation, by epoch.

    Args:
        history: Values of each epoch by metric; those of validation begin with ``val_``.
        title: Above the picture.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [name for name in history if not name.startswith("val_") and name != "learning_rate"]
    figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in history:
                epochs = range(1, len(history[key]) + 1)
                panel.plot(epochs, history[key], marker=".", label=label)
        panel.set(xlabel="epoch", title=name.replace("_", " "))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
