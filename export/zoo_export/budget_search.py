"""The search for the smallest artifact that keeps a budget of accuracy, size and latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from zoo_export import benchmarking
from zoo_export.budget import Budget, BudgetError, Candidate, Report
from zoo_export.exporting import TIME_LIMIT, check_calibrated, put_in_place
from zoo_export.making.assembly import Progress, complete, convert
from zoo_export.options import ExportOptions
from zoo_export.reading.request import from_run
from zoo_export.reading.source import Source, read_source
from zoo_registry import UsageError
from zoo_runtime import files
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.comparing import accuracy
from zoo_runtime.formats import Format, find
from zoo_runtime.kinds import EXAMPLE
from zoo_runtime.manifest import Artifact
from zoo_runtime.tensors import Arrays

FORMATS = ("tflite", "onnx")
# Tried where the scheme before it missed the budget.
PLAIN, MIXED = "int8", "int8-mixed"


def export_within(
    run: str | Path,
    budget: Budget,
    *,
    to: Sequence[str] = FORMATS,
    out: str | Path | None = None,
    force: bool = False,
    sequence_length: int | None = None,
    time_limit: float = TIME_LIMIT,
    on_event: Callable[[Progress], None] | None = None,
) -> tuple[Bundle, Report]:
    """Try every scheme of some formats and write a bundle of the smallest that keeps a budget.

    Where the plain ``int8`` of a format loses too much, ``int8-mixed`` is tried, which keeps the
    worst layers in float.

    Args:
        run: A run folder; accuracy is measured on the held-out examples in it.
        budget: What the artifact may cost.
        to: Formats, of which all schemes are tried, or ``FORMAT:SCHEME``.
        out: Folder to write; ``bundles/<name>`` by default.
        force: Replace a bundle that is there.
        sequence_length: As for :func:`zoo_export.export`.
        time_limit: Seconds that one conversion may take.
        on_event: Called as each format starts, is verified, or fails.

    Returns:
        The bundle, whose manifest has the report too, and the report.

    Raises:
        UsageError: A run that has no accuracy, or arguments as for :func:`zoo_export.export`.
        BudgetError: Nothing keeps the budget; its ``report`` says by how much.
    """
    rows = candidates(to)
    options = ExportOptions.of({"sequence_length": sequence_length}, rows)
    request = replace(from_run(Path(run)), options=options)
    folder = Path(out) if out is not None else Path("bundles") / request.name
    files.check_target(folder, force=force)
    check_calibrated(rows, request)
    source = read_source(request)
    wanted = accuracy(_examples(source), source.targets)
    if wanted is None:
        raise UsageError(
            f"Run '{run}' has no accuracy to keep: a budget needs logits, and the right class of "
            "each held-out example."
        )
    with files.work_folder(folder) as work:
        search = _Search(source, budget, work, time_limit, on_event)
        search.convert(rows)
        report = search.report(wanted)
        mixed = _mixed(rows, report)
        if mixed:
            search.convert(mixed)
            report = search.report(wanted)
        if report.kept is None:
            raise BudgetError(request.name, report)
        search.finish(report)
        bundle = put_in_place(work, folder, force=force)
    return bundle, report


def candidates(to: Sequence[str]) -> list[Format]:
    """Return what is tried at first: every scheme of a format that is named without one.

    Example:
        >>> [row.name for row in candidates(["onnx", "tflite:int8"])]
        ['onnx', 'onnx:float16', 'onnx:dynamic-int8', 'onnx:int8', 'tflite:int8']
    """
    rows = {row.name: row for word in to for row in _with_schemes(find(word))}
    return list(rows.values())


def _with_schemes(row: Format) -> Iterator[Format]:
    yield row
    for scheme in row.schemes if row.scheme is None else ():
        if scheme.searched:
            yield row.quantized(scheme.name)


def _mixed(rows: Sequence[Format], report: Report) -> list[Format]:
    """Return the mixed scheme of formats whose plain one was tried and lost too much."""
    lost = {row.format for row in report.candidates if row.drop > report.budget.max_drop}
    lost |= set(report.failures)
    mixed = [
        find(row.name.removesuffix(PLAIN) + MIXED)
        for row in rows
        if row.name in lost
        and row.scheme is not None
        and row.scheme.name == PLAIN
        and any(scheme.name == MIXED for scheme in row.schemes)
    ]
    tried = {row.name for row in rows}
    return [row for row in mixed if row.name not in tried]


def _examples(source: Source) -> Arrays:
    """Return what Keras gives for the held-out examples."""
    return next((batch.expected for batch in source.trials.of(EXAMPLE)), {})


class _Search:
    def __init__(
        self,
        source: Source,
        budget: Budget,
        work: Path,
        time_limit: float,
        on_event: Callable[[Progress], None] | None,
    ) -> None:
        self._source, self._budget = source, budget
        self._work, self._time_limit = work, time_limit
        self._on_event = on_event
        self._artifacts: list[Artifact] = []
        self._failures: dict[str, str] = {}
        self._layer_errors: dict[str, Mapping[str, float]] = {}

    def convert(self, rows: Sequence[Format]) -> None:
        found, _ = convert(self._source, rows, self._work, self._time_limit, self._note)
        self._artifacts += found

    def _note(self, event: Progress) -> None:
        facts = event.artifact.facts if event.artifact else event.facts
        if "layer_errors" in facts:
            self._layer_errors[event.format] = facts["layer_errors"]
        if event.error is not None:
            self._failures[event.format] = event.error
        if self._on_event is not None:
            self._on_event(event)

    def report(self, keras_accuracy: float) -> Report:
        tried = [self._candidate(artifact, ms) for artifact, ms in self._timed()]
        tried.sort(key=lambda row: (row.bytes, row.ms))
        within = [row.format for row in tried if not self._budget.misses(row)]
        return Report(
            budget=self._budget,
            examples=len(next(iter(_examples(self._source).values()))),
            keras_accuracy=keras_accuracy,
            candidates=tuple(tried),
            failures=dict(self._failures),
            layer_errors=dict(self._layer_errors),
            kept=within[0] if within else None,
        )

    def _timed(self) -> Iterator[tuple[Artifact, float]]:
        if not self._artifacts:
            return
        folder = self._work / "bundle"
        complete(self._source, self._artifacts, folder)
        measured = benchmarking.measure(load_bundle(folder))
        for artifact in self._artifacts:
            yield artifact, measured[artifact.format]

    def _candidate(self, artifact: Artifact, ms: float) -> Candidate:
        figures = artifact.verification
        found, wanted = figures.accuracy or 0.0, figures.keras_accuracy or 0.0
        return Candidate(
            format=artifact.format,
            bytes=artifact.bytes,
            ms=ms,
            accuracy=found,
            drop=wanted - found,
        )

    def finish(self, report: Report) -> None:
        folder = self._work / "bundle"
        for artifact in self._artifacts:
            if artifact.format != report.kept:
                files.remove(folder / artifact.path)
        kept = [artifact for artifact in self._artifacts if artifact.format == report.kept]
        complete(self._source, kept, folder, budget=asdict(report))
