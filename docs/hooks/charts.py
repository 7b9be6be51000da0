"""Pictures of the catalogues, drawn from the same tables as the pages, when the site is built.

A page says ``<!-- picture: models -->`` where it wants one of ``CHARTS``. Each is SVG within the
page, in colours that can be seen on a light ground and on a dark one.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl

import zoo_registry

mpl.use("svg")
# After the back end is chosen.
from matplotlib.figure import Figure

TRAINED = Path(__file__).parents[1] / "trained-matrix.json"
_INK = "#808890"
_COLOURS = ("#1c7ed6", "#e8590c", "#2f9e44", "#9c36b5", "#c2255c", "#0c8599", "#a07000")
# The first tag of them that a model has says its colour.
_MODALITIES = ("vision", "text", "audio", "recommendation", "dense", "sequence")


def models() -> str:
    """Multiply-adds of our models over their parameters, a colour for each modality."""
    names = sorted({*zoo_registry.models.names()} - {*zoo_registry.models.cataloged()})
    specs = [spec for name in names if (spec := zoo_registry.models.peek(name)) is not None]
    known = [spec for spec in specs if spec.macs]
    figure = _figure(7.6, 4.6)
    (axes,) = figure.axes
    named = {end for family in _families(known).values() for end in (family[0], family[-1])}
    for kind, colour in zip(_MODALITIES, _COLOURS, strict=False):
        of_kind = [s for s in known if next((t for t in s.tags if t in _MODALITIES), "") == kind]
        sizes = [(s.num_params or 0, s.macs or 0) for s in of_kind]
        if sizes:
            parameters, macs = zip(*sizes, strict=True)
            axes.scatter(parameters, macs, s=22, color=colour, label=kind, zorder=3)
    _name(axes, [(s.num_params or 0, s.macs or 0, s.name) for s in known if s.name in named])
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="multiply-adds an example")
    axes.legend(frameon=False, labelcolor=_INK, fontsize=8, loc="upper left")
    return _svg(figure, "Multiply-adds of the models over their parameters")


def _families(specs: Sequence[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for spec in sorted(specs, key=lambda spec: spec.num_params):
        found[spec.family].append(spec.name)
    return found


def _name(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside marks, where there is room for them."""
    taken: list[tuple[float, float]] = [(x, y) for x, y, _ in points]
    for x, y, name in sorted(points, key=lambda point: len(point[2])):
        wide = 1.14 ** len(name)
        if any(x < a < x * wide and 0.6 < y / b < 1.7 for a, b in taken if (a, b) != (x, y)):
            continue
        taken += [(x * 1.14**letter, y) for letter in range(len(name))]
        axes.annotate(
            name, (x, y), xytext=(5, 0), textcoords="offset points", fontsize=6.5, color=_INK,
            va="center",
        )  # fmt: skip


def recipes() -> str:
    """The accuracy that recipes promise, and the minutes that a training takes."""
    found = {}
    for name in zoo_registry.recipes.names():
        recipe = zoo_registry.recipes.peek(name)
        promised = recipe.expected if recipe is not None else None
        if promised is not None and promised.metric == "accuracy" and not promised.published:
            found[name] = ([promised.value], [promised.cpu_minutes])
    titles = ("accuracy", "processor minutes of a training, no GPU")
    figure = _panels(found, titles)
    figure.axes[1].set_xscale("log")
    return _svg(figure, "Accuracy of the recipes, and the minutes of a training")


def formats() -> str:
    """What schemes cost and save: the middle, the least and the most of the trained recipes."""
    rows = json.loads(TRAINED.read_text("utf-8"))["rows"]
    found: dict[str, tuple[list[float], list[float], list[float]]] = {}
    for row in rows:
        for name, cell in row["cells"].items():
            base = row["cells"].get(name.partition(":")[0])
            if ":" not in name or not cell["times"] or row["measure"] != "accuracy":
                continue
            sizes, times, lost = found.setdefault(name, ([], [], []))
            sizes.append(cell["size"] / base["size"])
            times.append(cell["times"])
            lost.append(100 * (row["keras"] - cell["score"]))
    titles = ("size, of float32", "time, of float32", "points of accuracy lost")
    figure = _panels(found, titles)
    for axes, line in zip(figure.axes, (1, 1, 0), strict=True):
        axes.axvline(line, color=_INK, lw=0.8, ls=":")
    return _svg(figure, "Size, time and accuracy of each scheme over the trained recipes")


def _panels(found: Mapping[str, Sequence[Sequence[float]]], titles: Sequence[str]) -> Figure:
    """Draw columns beside names: the median of values, on a line from the least to the most."""
    names = sorted(found, reverse=True)
    figure = _figure(7.6, 0.22 * len(names) + 0.7, columns=len(titles))
    for at, (axes, title) in enumerate(zip(figure.axes, titles, strict=True)):
        for y, name in enumerate(names):
            values = found[name][at]
            axes.plot([min(values), max(values)], [y, y], color=_INK, lw=1, zorder=2)
            middle = statistics.median(values)
            axes.plot(middle, y, "o", color=_COLOURS[at], markersize=4.5, zorder=3)
        axes.set_title(title, fontsize=8, color=_INK)
        axes.set_yticks(range(len(names)), names if at == 0 else [""] * len(names))
        axes.set_ylim(-0.7, len(names) - 0.3)
    return figure


def _figure(width: float, height: float, columns: int = 1) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    for each in range(columns):
        axes = figure.add_subplot(1, columns, each + 1)
        axes.patch.set_alpha(0)
        axes.tick_params(colors=_INK, labelsize=7.5)
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
        axes.grid(color=_INK, alpha=0.25, lw=0.5)
        for side, spine in axes.spines.items():
            spine.set_visible(side in {"left", "bottom"})
            spine.set_color(_INK)
    return figure


def _svg(figure: Figure, title: str) -> str:
    out = StringIO()
    # Letters as text, so that they can be found and read aloud; the same bytes each time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawn = out.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
    # A blank line would end the block of HTML.
    lines = [line for line in drawn.splitlines() if line.strip()]
    lines[0] = lines[0].replace("<svg", f'<svg class="chart" role="img" aria-label="{title}"')
    return "\n".join(lines) + "\n"


CHARTS: dict[str, Callable[[], str]] = {"models": models, "recipes": recipes, "formats": formats}
