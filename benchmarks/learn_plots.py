"""The plots of the course in docs/learn: `python benchmarks/learn_plots.py` draws them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "learn"
# Blue, orange and green of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8c8c8c"


def valley(axes: Any) -> None:
    """Chapter 2: three optimizers on a loss that is 20 times as steep along one axis."""
    steepness, start = np.array([1.0, 20.0]), np.array([-3.0, 1.0])
    x, y = np.meshgrid(np.linspace(-3.4, 0.9, 200), np.linspace(-1.3, 1.3, 200))
    levels = np.geomspace(0.05, 20, 9)
    axes.contour(x, y, (x**2 + 20 * y**2) / 2, levels, colors=GREY, linewidths=0.6)
    paths: dict[str, tuple[str, list[Any]]] = {}
    for name, color in (("descent", BLUE), ("momentum", ORANGE), ("Adam", GREEN)):
        w, v, m, s = start.copy(), np.zeros(2), np.zeros(2), np.zeros(2)
        path = [w]
        for step in range(1, 31):
            g = steepness * w
            if name == "descent":
                w = w - 0.09 * g
            elif name == "momentum":
                v = 0.7 * v - 0.04 * g
                w = w + v
            else:
                m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
                w = w - 0.2 * (m / (1 - 0.9**step)) / np.sqrt(s / (1 - 0.999**step))
            path.append(w)
        paths[name] = color, path
    for name, (color, path) in paths.items():
        axes.plot(*np.array(path).T, "o-", color=color, markersize=2.5, linewidth=1.2, label=name)
    axes.plot(0, 0, "k*", markersize=9)
    axes.set(xlabel="weight 1", ylabel="weight 2")
    axes.legend(frameon=False, loc="lower right")


def gradients(axes: Any) -> None:
    """Chapter 4: what remains along the cell of an LSTM."""
    steps = np.arange(0, 101)
    for gate, color in ((0.5, BLUE), (0.731, ORANGE), (0.95, GREY), (0.993, GREEN)):
        axes.semilogy(steps, gate**steps, color=color, label=f"forget gate {gate}")
    axes.set(xlabel="steps", ylabel="fraction of the gradient", ylim=(1e-12, 3))
    axes.legend(frameon=False, loc="center right")


def sampling(axes: Any) -> None:
    """Chapter 7: five tokens after temperature and top-p."""
    p = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
    cut = np.where(np.arange(5) < 3, p, 0)
    shown = (
        ("as they are", p, GREY),
        ("temperature 0.5", p**2 / (p**2).sum(), BLUE),
        ("temperature 2", p**0.5 / (p**0.5).sum(), ORANGE),
        ("top-p 0.8", cut / cut.sum(), GREEN),
    )
    for index, (name, values, color) in enumerate(shown):
        axes.bar(np.arange(5) + 0.2 * (index - 1.5), values, 0.19, color=color, label=name)
    axes.set(xlabel="token", ylabel="probability", xticks=range(5), xticklabels="ABCDE")
    axes.legend(frameon=False)


def rounding(axes: Any) -> None:
    """Chapter 10: affine quantization to eight values."""
    x = np.linspace(-1.6, 3.2, 1000)
    low, high = -1.0, 2.5
    scale = (high - low) / 7
    zero_point = round(-low / scale)
    q = np.clip(np.round(x / scale) + zero_point, 0, 7)
    axes.plot(x, x, color=GREY, linewidth=0.8, label="the value")
    axes.plot(x, (q - zero_point) * scale, color=BLUE, label="scale (q - zero point)")
    for limit in ((0 - zero_point) * scale, (7 - zero_point) * scale):
        axes.axvline(limit, color=ORANGE, linewidth=0.8, linestyle="--")
    axes.plot(0, 0, "o", color=GREEN, markersize=5, label="zero is exact")
    axes.set(xlabel="value", ylabel="after rounding to 3 bits")
    axes.legend(frameon=False, loc="lower right")


def calibration(axes: Any) -> None:
    """Chapter 11: reliability of logits that are twice too large, and of the scaled ones."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=200_000)
    labels = rng.random(logits.size) < 1 / (1 + np.exp(-logits))
    for name, scores, color in (
        ("before", 2 * logits, ORANGE),
        ("after temperature scaling", logits, GREEN),
    ):
        p = 1 / (1 + np.exp(-np.abs(scores)))
        right = (scores > 0) == labels
        bins = np.clip(((p - 0.5) * 20).astype(int), 0, 9)
        sure = [p[bins == at].mean() for at in range(10)]
        fraction = [right[bins == at].mean() for at in range(10)]
        axes.plot(sure, fraction, "o-", color=color, markersize=3.5, label=name)
    axes.plot([0.5, 1], [0.5, 1], color=GREY, linewidth=0.8, label="calibrated")
    axes.set(xlabel="probability of the answer", ylabel="fraction right")
    axes.legend(frameon=False, loc="upper left")


PLOTS = {
    "02-valley": valley,
    "04-gradients": gradients,
    "07-sampling": sampling,
    "10-rounding": rounding,
    "11-calibration": calibration,
}


def main() -> None:
    """Write every plot."""
    mpl.use("svg")
    # Letters stay letters, and the same plot is the same file.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "kerazoo", "font.size": 9}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        figure, axes = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        # White behind it, for readers of a dark page.
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


if __name__ == "__main__":
    main()
