"""A picture of a report: latency against size, the metric as colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_export.benchmarking.report import Report, Row
from zoo_registry import UsageError

SUFFIXES = (".svg", ".png")
# A larger ratio than this between the largest and the smallest is shown on a logarithmic axis.
_WIDE = 3.0
_MARKERS = "osD^vPX*"
_POINT_REACH = 6
_SMALLEST_SHARE = 1e-8
_LEAST_SPREAD = 0.01
_Box = tuple[float, float, float, float]


def check_chart(path: Path) -> None:
    """Refuse a file that no chart can be written to, before anything is measured.

    Raises:
        UsageError: Another suffix than .svg or .png, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"'{path}' is no chart: its name must end in {' or '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}' for the chart.")


def draw(report: Report, path: Path) -> None:
    """Draw latency against size, one panel for each number of threads.

    Colour is the accuracy where it is known, else the difference from Keras.

    Args:
        report: The figures; rows that were not measured are left out.
        path: An .svg or .png file.

    Raises:
        UsageError: Another kind of file, or no row with a latency.
    """
    from matplotlib.figure import Figure

    check_chart(path)
    rows = [row for row in report.rows if row.latency is not None]
    if not rows:
        raise UsageError(f"Nothing of '{report.bundle}' was measured: there is nothing to draw.")
    counts = list(dict.fromkeys(row.threads for row in rows))
    figure = Figure(figsize=(1.5 + 5.5 * len(counts), 5), dpi=72, layout="constrained")
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    _scale(panels[0].set_xscale, [_megabytes(row) for row in rows])
    _scale(panels[0].set_yscale, [_median(row) for row in rows])
    colours = _colours(rows)
    for axes, count in zip(panels, counts, strict=True):
        chosen = [row for row in rows if row.threads == count]
        _draw_points(axes, chosen, rows, colours)
        axes.set_title(f"threads: {count or 'auto'}", fontsize=9)
        axes.set_xlabel("size (MB)")
        axes.grid(alpha=0.25)
    panels[0].margins(x=0.15, y=0.12)
    _plain_ticks(panels[0])
    panels[0].set_ylabel("median latency at batch 1 (ms)")
    figure.colorbar(colours.mappable, ax=panels, label=colours.label)
    figure.suptitle(f"{report.name} on {report.machine.cpu}", fontsize=10)
    figure.draw_without_rendering()  # the layout must be settled before labels find their places
    figure.set_layout_engine("none")
    for axes, count in zip(panels, counts, strict=True):
        place_labels(axes, [row for row in rows if row.threads == count])
    figure.savefig(path, dpi=150)


def _megabytes(row: Row) -> float:
    return row.bytes / 1e6


def _median(row: Row) -> float:
    return row.latency.p50 if row.latency is not None else math.nan


def _scale(set_scale: Any, values: Sequence[float]) -> None:
    if max(values) > _WIDE * min(values):
        set_scale("log")


def _plain_ticks(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


@dataclass(frozen=True)
class _Colours:
    mappable: Any
    label: str
    scored: bool

    def of(self, row: Row) -> Any:
        value = row.accuracy if self.scored else max(row.max_share or 0.0, _SMALLEST_SHARE)
        return self.mappable.to_rgba(value)


def _colours(rows: Sequence[Row]) -> _Colours:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    if all(row.accuracy is not None for row in rows):
        values = [row.accuracy or 0.0 for row in rows]
        # Half a percent must not look like night and day.
        norm = Normalize(min(*values, max(values) - _LEAST_SPREAD), max(values))
        return _Colours(ScalarMappable(norm, "viridis"), "accuracy", scored=True)
    shares = [max(row.max_share or 0.0, _SMALLEST_SHARE) for row in rows]
    norm = LogNorm(min(shares), max(*shares, 10 * min(shares)))
    label = "difference from Keras (share of the largest output)"
    return _Colours(ScalarMappable(norm, "viridis_r"), label, scored=False)


def _draw_points(axes: Any, chosen: Sequence[Row], rows: Sequence[Row], colours: _Colours) -> None:
    formats = list(dict.fromkeys(row.format.partition(":")[0] for row in rows))
    for row in chosen:
        index = formats.index(row.format.partition(":")[0])
        axes.scatter(
            _megabytes(row),
            _median(row),
            color=colours.of(row),
            marker=_MARKERS[index % len(_MARKERS)],
            s=60,
            edgecolors="black",
            linewidths=0.6,
            zorder=3,
        )


def place_labels(axes: Any, rows: Sequence[Row]) -> list[Any]:
    """Write the name of each row near its point, where it covers no point and no other name.

    Returns:
        The texts.
    """
    points = [axes.transData.transform((_megabytes(row), _median(row))) for row in rows]
    taken = [_around(point, _POINT_REACH) for point in points]
    frame = axes.get_window_extent()
    texts = []
    for row, point in zip(rows, points, strict=True):
        text = axes.annotate(
            row.format,
            (_megabytes(row), _median(row)),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            zorder=2,
            arrowprops={"arrowstyle": "-", "color": "0.55", "linewidth": 0.6, "shrinkB": 4},
        )
        size = text.get_window_extent()
        boxes = (_moved(point, size.width, size.height, dx, dy) for dx, dy in _PLACES)
        free = (
            (place, box)
            for place, box in zip(_PLACES, boxes, strict=True)
            if _inside(box, frame) and not any(_overlap(box, other) for other in taken)
        )
        place, box = next(free, (_PLACES[0], _moved(point, size.width, size.height, *_PLACES[0])))
        text.set_position((place[0] + math.copysign(size.width / 2, place[0]), place[1]))
        taken.append(box)
        texts.append(text)
    return texts


# Where a name may begin, in points (1/72 inch) from its point, the nearest first.
_PLACES = [
    (side * radius * math.cos(angle), radius * math.sin(angle))
    for radius in (8, 15, 22, 30, 40, 50, 65, 80, 100)
    for angle in (0.0, 0.5, -0.5, 1.0, -1.0, 1.4, -1.4)
    for side in (1, -1)
]


def _around(point: Any, reach: float) -> _Box:
    return point[0] - reach, point[1] - reach, point[0] + reach, point[1] + reach


def _moved(point: Any, width: float, height: float, dx: float, dy: float) -> _Box:
    left = point[0] + dx if dx > 0 else point[0] + dx - width
    return left, point[1] + dy - height / 2, left + width, point[1] + dy + height / 2


def _inside(box: _Box, frame: Any) -> bool:
    return bool(box[0] > frame.x0 and box[1] > frame.y0 and box[2] < frame.x1 and box[3] < frame.y1)


def _overlap(one: _Box, other: _Box) -> bool:
    return bool(one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])
