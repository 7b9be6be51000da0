"""Figures of artifacts on one machine, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zoo_export.benchmarking.machine import Machine


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
class Row:
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
        max_share: The same as a share of the largest value of its output.
        accuracy: Share of right answers.
        keras_accuracy: That of Keras, where it was measured at export.
        examples: How many examples those are of.
        error: Why figures are missing.
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
class Report:
    """All that was measured of one bundle.

    Args:
        name: Name of the model.
        bundle: Its folder.
        rows: A row for each artifact and number of threads.
        machine: Where.
        warnings: What makes the figures doubtful.
    """

    name: str
    bundle: str
    rows: tuple[Row, ...]
    machine: Machine
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)
