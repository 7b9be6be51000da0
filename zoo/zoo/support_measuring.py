"""One row of the matrix, measured in a process of its own that may crash, hang or starve.

``python -m zoo.support_measuring OUT NAME TASK SIZE TIMED FORMATS`` writes the row to ``OUT`` each
time that it knows more, so that what was measured stays whatever comes after.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import zoo_registry
from zoo.support_matrix import (
    CALIBRATION_ROWS,
    MISSES,
    NO,
    OK,
    Case,
    Cell,
    Matrix,
    Support,
    columns,
    read,
    short,
    to_json,
    versions,
)
from zoo_export.benchmarking import bench
from zoo_export.exporting import export
from zoo_export.making.assembly import Progress
from zoo_export.reading.samples import drawn_for
from zoo_models.build import get_model
from zoo_registry import ZooError
from zoo_runtime.bundle import Bundle
from zoo_runtime.formats import find
from zoo_runtime.verification import Verification, largest_share
from zoo_system import processes
from zoo_system.durable import write_text
from zoo_system.machine import in_short

TIME_LIMIT = 7200.0
_EXPORT_LIMIT = 900.0
_RUNS, _MAX_SECONDS = 50, 3.0


def measure(
    case: Case,
    *,
    formats: Sequence[str] | None = None,
    time_limit: float = TIME_LIMIT,
    times: bool = True,
    on_cell: Callable[[str, Cell], None] = lambda name, cell: None,
) -> Support:
    """Export a model to every format and scheme and return what came of each.

    Args:
        case: The model.
        formats: ``FORMAT[:SCHEME]`` each; all that are built in by default.
        time_limit: Seconds after which what is not known yet is given up.
        times: Whether latencies are measured too.
        on_cell: Called as each format is known, before its latency is.

    Returns:
        The row; a process that crashed or took too long is the reason in all cells that it left.
    """
    names = list(formats or columns())
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "row.json", Path(folder) / "log.txt"
        size = "full" if case.full_size else "reduced"
        timed = "timed" if times else ""
        arguments = (str(out), case.name, case.task or "", size, timed, ",".join(names))
        with log.open("wb") as file:
            process = processes.start_logged("zoo.support_measuring", *arguments, log=file)
        try:
            reason = _wait(process, log, out, time_limit, on_cell)
        finally:
            process.kill()
            process.wait()
        (row,) = read(out).rows or (Support(**_about(case), num_params=None, cells={}),)
    left = Cell(state=NO, reason=short(reason))
    return replace(row, cells={name: row.cells.get(name, left) for name in names})


def _wait(
    process: subprocess.Popen[Any],
    log: Path,
    out: Path,
    time_limit: float,
    on_cell: Callable[[str, Cell], None],
) -> str:
    reported: set[str] = set()
    for _ in range(int(time_limit)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        for row in read(out).rows:
            for name, cell in row.cells.items():
                if name not in reported:
                    reported.add(name)
                    on_cell(name, cell)
        if process.returncode is not None:
            return processes.how_it_ended(process, log.read_bytes(), "the measuring process")
    return f"the model took longer than {time_limit:g} s"


def _about(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "task": case.task,
        "full_size": case.full_size,
        "versions": versions(),
        "machine": in_short(),
    }


def build(case: Case, *, seed: int = 0) -> Any:
    """Build a model with drawn weights, its normalizations filled as training fills them."""
    import keras

    keras.utils.set_random_seed(seed)
    reduced = {} if case.full_size else zoo_registry.models.get(case.name).reduced
    model = get_model(case.name, task=case.task, **reduced)
    _fill_normalizations(model)
    return model


def _fill_normalizations(model: Any) -> None:
    """Give batch normalizations statistics: without, float noise grows layer by layer."""
    import keras

    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.12  # as after 20 steps
    if layers:
        images = np.random.default_rng(0).uniform(0, 255, (8, *model.inputs[0].shape[1:]))
        model(images.astype("float32"), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def main(out: Path, case: Case, names: Sequence[str], *, times: bool) -> None:
    """Measure one case and keep writing what is known."""
    row = Support(**_about(case), num_params=None, cells={})

    def keep(new: Support) -> None:
        nonlocal row
        row = new
        write_text(out, to_json(Matrix((row,))))

    def on_event(event: Progress) -> None:
        if event.state != "started":
            keep(replace(row, cells={**row.cells, event.format: _cell(event)}))

    try:
        model = build(case)
        keep(replace(row, num_params=int(model.count_params())))
        # Inside the parent's folder: it is gone with it, however this process ends.
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            bundle = _export(model, case, names, Path(folder) / "bundle", on_event)
            keep(replace(row, cells=_with_ratios(row.cells, {})))
            if times:
                keep(replace(row, cells=_with_ratios(row.cells, _latencies(bundle))))
    except Exception as error:  # whatever a model's own layers raise is the reason
        kind = "" if isinstance(error, ZooError) else f"{type(error).__name__}: "
        left = Cell(state=NO, reason=short(f"{kind}{error}"))
        keep(replace(row, cells={name: row.cells.get(name, left) for name in names}))


def calibration_for(model: Any) -> dict[str, Any]:
    """Return random inputs by name, enough to measure the ranges of activations on."""
    draws = [drawn_for(model, seed=1)]
    while sum(len(next(iter(draw.values()))) for draw in draws) < CALIBRATION_ROWS:
        draws.append(drawn_for(model, seed=1 + len(draws)))
    return {name: np.concatenate([draw[name] for draw in draws]) for name in draws[0]}


def _export(
    model: Any, case: Case, names: Sequence[str], out: Path, on_event: Callable[[Progress], None]
) -> Bundle:
    return export(
        model,
        to=names,
        out=out,
        task=case.task,
        calibration=calibration_for(model),
        keep_going=True,
        time_limit=_EXPORT_LIMIT,
        on_event=on_event,
    )


def _cell(event: Progress) -> Cell:
    tolerance = find(event.format).tolerance
    if event.artifact is not None:
        difference = largest_share(event.artifact.verification)
        size = event.artifact.bytes
        lost = _lost(event.artifact.verification)
        return Cell(state=OK, bytes=size, difference=difference, allowed=tolerance, lost=lost)
    reason = short(str(event.error))
    if not event.comparisons:
        return Cell(state=NO, reason=reason)
    difference = largest_share(Verification(event.format, tolerance, event.comparisons))
    if math.isinf(difference) or difference <= tolerance:  # whole numbers, or what columns lose
        return Cell(state=MISSES, reason=reason)
    miss = difference - tolerance
    reason = f"misses by {miss:.2g}: {difference:.2g} where {tolerance:.2g} is allowed"
    return Cell(state=MISSES, difference=difference, allowed=tolerance, reason=reason)


def _lost(figures: Verification) -> float:
    losses = [fit.difference / fit.deviation for fit in figures.fits if fit.deviation]
    return round(max(losses, default=0.0), 6)


def _latencies(bundle: Bundle) -> dict[str, float]:
    """Return medians by format, of the formats that have schemes to compare."""
    names = [a.format for a in bundle.artifacts if find(a.format.partition(":")[0]).schemes]
    if not names:
        return {}
    report = bench(bundle, only=names, runs=_RUNS, max_seconds=_MAX_SECONDS, batch_size=1)
    return {row.format: row.latency.p50 for row in report.rows if row.latency is not None}


def _with_ratios(cells: Mapping[str, Cell], latencies: dict[str, float]) -> dict[str, Cell]:
    found = {}
    for name, cell in cells.items():
        base = name.partition(":")[0]
        whole = cells.get(base)
        ratios: dict[str, Any] = {}
        if cell.bytes and whole is not None and whole.bytes:
            ratios["size_ratio"] = round(cell.bytes / whole.bytes, 4)
        if name in latencies and base in latencies:
            ratios["latency_ratio"] = round(latencies[name] / latencies[base], 4)
        found[name] = replace(cell, **ratios)
    return found


if __name__ == "__main__":
    file, name, task, size, timed, formats = sys.argv[1:]
    case = Case(name, task or None, size == "full")
    main(Path(file), case, formats.split(","), times=bool(timed))
