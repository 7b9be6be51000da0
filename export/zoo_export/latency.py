"""How long one run takes in each runtime."""

from __future__ import annotations

import statistics
import time

from zoo_export.bundle import Bundle
from zoo_export.manifest import SAMPLES
from zoo_export.stored import load_samples


def measure(
    bundle: Bundle,
    *,
    runs: int = 50,
    warm_up: int = 5,
    threads: int | None = None,
    max_seconds: float = 10.0,
) -> dict[str, float]:
    """Return the median milliseconds of one run at batch 1, by format.

    The runtimes take turns, so that whatever else the machine does falls on all of them alike.

    Args:
        bundle: The bundle; the first of its stored samples is what is run.
        runs: Runs of each format that count.
        warm_up: Runs before those.
        threads: Threads to use; each runtime's own choice by default.
        max_seconds: No further round is begun after so long, once each format has run three
            times.

    Raises:
        MissingRuntimeError: A runtime is not installed.
    """
    inputs = load_samples(bundle.path / SAMPLES)[0].inputs
    runners = {row.format: bundle.runner(row.format, threads) for row in bundle.artifacts}
    times: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        for _ in range(warm_up):
            runner.run(inputs)
    started = time.perf_counter()
    for count in range(runs):
        if count >= 3 and time.perf_counter() - started > max_seconds:
            break
        for name, runner in runners.items():
            before = time.perf_counter()
            runner.run(inputs)
            times[name].append(time.perf_counter() - before)
    return {name: statistics.median(values) * 1000 for name, values in times.items()}
