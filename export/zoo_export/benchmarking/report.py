"""Metrics of artifacts on one machine: as plain data, and as a plot of latency against size."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_system.machine import cores, cpu

# Background load, as a fraction of the cores, above which milliseconds are not to be trusted.
_BUSY = 0.5
SUFFIXES = (".svg", ".png")
# A larger ratio than this between the largest and the smallest is shown on a logarithmic axis.
_WIDE = 3.0
_MARKERS = "osD^vPX*"
_POINT_REACH = 6
_SMALLEST_FRACTION = 1e-8
_LEAST_SPREAD = 0.01
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single runs at batch 1.

    Args:
        p50: The median.
        p90: Nine of ten runs were at least as fast.
        p99: Ninety-nine of a hundred were.
        runs: How many runs there were.
    """

    p50: float
    p90: float
    p99: float
    runs: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Latency:
        """Return the percentiles of some times.

        Example:
            >>> Latency.of([1.0, 2.0, 3.0])
            Latency(p50=2.0, p90=2.8, p99=2.98, runs=3)
        """
        p50, p90, p99 = (round(float(p), 4) for p in np.percentile(times, (50, 90, 99)))
        return cls(p50, p90, p99, len(times))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One artifact with one number of threads, in a process of its own.

    What could not be measured is ``None``, and ``error`` says why.

    Args:
        format: The artifact's format.
        threads: Threads of the runtime; ``None`` is the runtime's own choice.
        bytes: Size of all its files.
        start_ms: From a process with NumPy alone to a loaded file: imports the runtime too.
        load_ms: Loading it again in the same process.
        first_ms: The first run.
        latency: The later runs.
        per_second: Examples a second, one at a time.
        batch: A larger batch, where the artifact takes any.
        batch_per_second: Examples a second at that batch.
        peak_mb: Most memory that the process held at batch 1, with Python, in MB.
        max_abs_diff: Largest difference from Keras on the bundle's samples, here.
        max_share: The same as a fraction of the largest value of its output.
        accuracy: Fraction of right answers.
        keras_accuracy: That of Keras, where it was measured at export.
        examples: How many examples those are of.
        error: Why metrics are missing.
    """

    format: str
    threads: int | None
    bytes: int
    start_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    latency: Latency | None = None
    per_second: float | None = None
    batch: int | None = None
    batch_per_second: float | None = None
    peak_mb: float | None = None
    max_abs_diff: float | None = None
    max_share: float | None = None
    accuracy: float | None = None
    keras_accuracy: float | None = None
    examples: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """All that was measured of one bundle or run.

    Args:
        name: Name of the model.
        bundle: Its folder.
        rows: Metrics of each artifact and number of threads.
        machine: Where.
        warnings: What makes them doubtful.
    """

    name: str
    bundle: str
    rows: tuple[Measurement, ...]
    machine: Machine
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """One machine at one time.

    Args:
        cpu: Model of the processor.
        cores: Logical cores that this process may use.
        memory_gb: Main memory in GB.
        os: System and version.
        python: Version of Python.
        versions: Of NumPy and the runtimes, by package.
        load_before: Processes that wanted a core in the minute before measuring, on average.
        load_after: The same afterwards, with our own.
    """

    cpu: str
    cores: int
    memory_gb: float
    os: str
    python: str
    versions: dict[str, str]
    load_before: float
    load_after: float


def look(packages: Iterable[str], load_before: float) -> Machine:
    """Return the facts about this machine, at the end of a measurement.

    Args:
        packages: Distributions whose versions matter; those that are absent are left out.
        load_before: What :func:`load` returned at its beginning.
    """
    return Machine(
        cpu=cpu(),
        cores=cores(),
        memory_gb=round(_memory() / 1e9, 1),
        os=platform.platform(terse=True),
        python=platform.python_version(),
        versions=installed_versions(packages),
        load_before=load_before,
        load_after=load(),
    )


def warnings(load_before: float) -> tuple[str, ...]:
    """Return what makes metrics doubtful.

    Example:
        >>> warnings(load_before=0.0)
        ()
    """
    if load_before <= _BUSY * cores():
        return ()
    return (
        f"the machine was busy before measuring began: a load of {load_before:.1f} on {cores()} "
        "cores. Read the ratios, which the others' work falls on alike, not the milliseconds.",
    )


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def free_memory() -> int | None:
    """Return the bytes that new processes can have without swapping, where Linux reports it."""
    path = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+)", path.read_text()) if path.is_file() else None
    return int(found[1]) * 1024 if found else None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed.

    Example:
        >>> sorted(installed_versions(["numpy", "no-such-package"]))
        ['numpy']
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_chart(path: Path) -> None:
    """Refuse a file that no chart can be written to, before anything is measured.

    Raises:
        UsageError: Another suffix than .svg or .png, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"'{path}' is not a chart file: its name must end in {' or '.join(SUFFIXES)}."
        )
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder '{path.parent}' for the chart.")


def draw(report: BenchmarkReport, path: Path) -> None:
    """Draw latency against size, one panel for each number of threads.

    Colour is the accuracy where it is known, else the difference from Keras.

    Args:
        report: The metrics; artifacts that were not measured are left out.
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
    figure.draw_without_rendering()  # the layout must be settled before labels are placed
    figure.set_layout_engine("none")
    for axes, count in zip(panels, counts, strict=True):
        place_labels(axes, [row for row in rows if row.threads == count])
    figure.savefig(path, dpi=150)


def _megabytes(row: Measurement) -> float:
    return row.bytes / 1e6


def _median(row: Measurement) -> float:
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

    def of(self, row: Measurement) -> Any:
        value = row.accuracy if self.scored else max(row.max_share or 0.0, _SMALLEST_FRACTION)
        return self.mappable.to_rgba(value)


def _colours(rows: Sequence[Measurement]) -> _Colours:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    if all(row.accuracy is not None for row in rows):
        values = [row.accuracy or 0.0 for row in rows]
        # Half a percent must not fill the whole colour scale.
        norm = Normalize(min(*values, max(values) - _LEAST_SPREAD), max(values))
        return _Colours(ScalarMappable(norm, "viridis"), "accuracy", scored=True)
    fractions = [max(row.max_share or 0.0, _SMALLEST_FRACTION) for row in rows]
    norm = LogNorm(min(fractions), max(*fractions, 10 * min(fractions)))
    label = "difference from Keras (fraction of the largest output)"
    return _Colours(ScalarMappable(norm, "viridis_r"), label, scored=False)


def _draw_points(
    axes: Any, chosen: Sequence[Measurement], rows: Sequence[Measurement], colours: _Colours
) -> None:
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


def place_labels(axes: Any, rows: Sequence[Measurement]) -> list[Any]:
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
        boxes = (_moved(point, size.width, size.height, dx, dy) for dx, dy in _POSITIONS)
        free = (
            (position, box)
            for position, box in zip(_POSITIONS, boxes, strict=True)
            if _inside(box, frame) and not any(_overlap(box, other) for other in taken)
        )
        position, box = next(
            free, (_POSITIONS[0], _moved(point, size.width, size.height, *_POSITIONS[0]))
        )
        text.set_position((position[0] + math.copysign(size.width / 2, position[0]), position[1]))
        taken.append(box)
        texts.append(text)
    return texts


# Where a name may begin, in points (1/72 inch) from its point, the nearest first.
_POSITIONS = [
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
