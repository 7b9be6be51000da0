"""What an artifact may cost, and the search for the smallest one that keeps to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from zoo_export import benchmarking
from zoo_export.card import table
from zoo_export.exporting import TIME_LIMIT, check_schemes, put_in_place
from zoo_export.making import children
from zoo_export.making.assembly import Progress, complete, convert
from zoo_export.options import ExportOptions
from zoo_export.reading.request import from_run
from zoo_export.reading.source import Source, read_source
from zoo_registry import UsageError
from zoo_runtime import files
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.comparing import accuracy
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import Format, find
from zoo_runtime.manifest import Artifact
from zoo_runtime.saved_samples import EXAMPLE
from zoo_runtime.tensors import Arrays

HEADER = ("FORMAT", "SIZE kB", "LATENCY ms", "ACCURACY", "DROP", "RESULT")
RIGHT = (1, 2, 3, 4)
_DOUBT = 0.05
_SHOWN_LAYERS = 8
FORMATS = ("tflite", "onnx")
# Tried where the scheme before it missed the budget.
PLAIN, MIXED = "int8", "int8-mixed"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an artifact may cost.

    Args:
        max_drop: Accuracy that may be lost, as a fraction of all examples: 0.005 is half a percent.
        max_mb: Largest size in MB (1,000,000 bytes).
        max_ms: Longest median of one run at batch 1, on this machine.

    Raises:
        UsageError: A limit that nothing can keep, or a fraction over 1.
    """

    max_drop: float
    max_mb: float | None = None
    max_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < 1:
            raise UsageError(
                f"max_drop={self.max_drop:g} is not a fraction from 0 to 1: 0.005 is 0.5 %."
            )
        for name in ("max_mb", "max_ms"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value:g} must be above 0.")

    def misses(self, candidate: Candidate) -> str:
        """Return what a candidate has too much of; empty if it keeps the budget."""
        limits = (
            ("drop", candidate.drop, self.max_drop, "{:.2%}"),
            ("MB", candidate.bytes / 1e6, self.max_mb, "{:.3g}"),
            ("ms", candidate.ms, self.max_ms, "{:.3g}"),
        )
        return ", ".join(
            f"{name} {form.format(value)} > {form.format(limit)}"
            for name, value, limit, form in limits
            if limit is not None and value > limit
        )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One artifact that was tried.

    Args:
        format: Format and scheme.
        bytes: Size of its files.
        ms: Median milliseconds of one run.
        accuracy: On the held-out examples.
        drop: How much less that is than with Keras.
    """

    format: str
    bytes: int
    ms: float
    accuracy: float
    drop: float


@dataclass(frozen=True, kw_only=True)
class BudgetReport:
    """All that was tried.

    Args:
        budget: The budget.
        examples: Held-out examples that accuracy was measured on.
        keras_accuracy: That of Keras on them.
        candidates: What was tried, smallest first.
        failures: What could not be made at all, with the reason.
        layer_errors: For formats whose plain int8 missed the budget: what each layer alone costs
            in int8, as a fraction of the outputs, worst first.
        kept: The format that was chosen.
    """

    budget: Budget
    examples: int
    keras_accuracy: float
    candidates: tuple[Candidate, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    layer_errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kept: str | None = None

    def rows(self) -> list[list[str]]:
        """Return the cells of a table under :data:`HEADER`, smallest artifact first."""
        tried = [
            [
                row.format,
                f"{row.bytes / 1000:,.1f}",
                f"{row.ms:.3f}",
                f"{row.accuracy:.4f}",
                f"{row.drop:.2%}",
                "kept" if row.format == self.kept else self.budget.misses(row) or "within",
            ]
            for row in self.candidates
        ]
        return tried + [[name, "", "", "", "", text] for name, text in self.failures.items()]

    def notes(self) -> list[str]:
        """Return notes on the report: what so many examples can show, and the layers."""
        seen = visible_drop(self.examples)
        lines = [
            f"Drops are against Keras' {self.keras_accuracy:.4f} on {self.examples} held-out "
            f"examples: one answer is {1 / self.examples:.2%}, and a true drop of {seen:.2%} "
            "would be seen 19 times out of 20."
        ]
        if self.budget.max_drop < seen:
            needed = math.ceil(math.log(_DOUBT) / math.log1p(-max(self.budget.max_drop, 1e-6)))
            lines.append(
                f"A drop of {self.budget.max_drop:.2%} is finer than they can show: that takes "
                f"{needed:,} examples."
            )
        for name, errors in self.layer_errors.items():
            worst = list(errors.items())[:_SHOWN_LAYERS]
            shown = ", ".join(f"{layer} {error:.2%}" for layer, error in worst)
            more = f" and {len(errors) - len(worst)} more" if len(errors) > len(worst) else ""
            lines.append(f"Cost of each layer alone in int8 ({name}): {shown}{more}.")
        return lines

    def __str__(self) -> str:
        return "\n".join([table(HEADER, self.rows(), right=RIGHT), *self.notes()])


class BudgetError(ExportError):
    """No artifact keeps the budget; nothing was written.

    Args:
        name: The run's name.
        report: All that was tried.
    """

    def __init__(self, name: str, report: BudgetReport) -> None:
        super().__init__(
            f"No artifact of '{name}' keeps the budget. Nothing was written.\n{report}"
        )
        self.report = report


def visible_drop(examples: int) -> float:
    """Return the smallest drop that so many examples show at least once, 19 times out of 20.

    Example:
        >>> round(visible_drop(256), 4), round(visible_drop(1024), 4)
        (0.0116, 0.0029)
    """
    return 1 - float(_DOUBT ** (1 / examples))


@children.ended_unless_used()
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
) -> tuple[Bundle, BudgetReport]:
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
    formats = candidates(to)
    options = ExportOptions.of({"sequence_length": sequence_length}, formats)
    children.begin()
    request = replace(from_run(Path(run)), options=options)
    folder = Path(out) if out is not None else Path("bundles") / request.name
    files.check_target(folder, force=force)
    check_schemes(formats, request)
    source = read_source(request)
    wanted = accuracy(_examples(source), source.targets)
    if wanted is None:
        raise UsageError(
            f"Run '{run}' has no accuracy to keep: a budget needs logits, and the right class of "
            "each held-out example."
        )
    with files.work_folder(folder) as work:
        search = _Search(source, budget, work, time_limit, on_event)
        search.convert(formats)
        report = search.report(wanted)
        mixed = _mixed(formats, report)
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
    formats = {fmt.name: fmt for word in to for fmt in _with_schemes(find(word))}
    return list(formats.values())


def _with_schemes(fmt: Format) -> Iterator[Format]:
    yield fmt
    for scheme in fmt.schemes if fmt.scheme is None else ():
        if scheme.searched:
            yield fmt.quantized(scheme.name)


def _mixed(formats: Sequence[Format], report: BudgetReport) -> list[Format]:
    """Return the mixed scheme of formats whose plain one was tried and lost too much."""
    lost = {row.format for row in report.candidates if row.drop > report.budget.max_drop}
    lost |= set(report.failures)
    mixed = [
        find(fmt.name.removesuffix(PLAIN) + MIXED)
        for fmt in formats
        if fmt.name in lost
        and fmt.scheme is not None
        and fmt.scheme.name == PLAIN
        and any(scheme.name == MIXED for scheme in fmt.schemes)
    ]
    tried = {fmt.name for fmt in formats}
    return [fmt for fmt in mixed if fmt.name not in tried]


def _examples(source: Source) -> Arrays:
    """Return what Keras gives for the held-out examples."""
    return next((batch.expected for batch in source.samples.of(EXAMPLE)), {})


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

    def convert(self, formats: Sequence[Format]) -> None:
        found, _ = convert(self._source, formats, self._work, self._time_limit, self._note)
        self._artifacts += found

    def _note(self, event: Progress) -> None:
        facts = event.artifact.facts if event.artifact else event.facts
        if "layer_errors" in facts:
            self._layer_errors[event.format] = facts["layer_errors"]
        if event.error is not None:
            self._failures[event.format] = event.error
        if self._on_event is not None:
            self._on_event(event)

    def report(self, keras_accuracy: float) -> BudgetReport:
        tried = [self._candidate(artifact, ms) for artifact, ms in self._timed()]
        tried.sort(key=lambda row: (row.bytes, row.ms))
        within = [row.format for row in tried if not self._budget.misses(row)]
        return BudgetReport(
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
        verification = artifact.verification
        found, wanted = verification.accuracy or 0.0, verification.keras_accuracy or 0.0
        return Candidate(
            format=artifact.format,
            bytes=artifact.bytes,
            ms=ms,
            accuracy=found,
            drop=wanted - found,
        )

    def finish(self, report: BudgetReport) -> None:
        folder = self._work / "bundle"
        for artifact in self._artifacts:
            if artifact.format != report.kept:
                files.remove(folder / artifact.path)
        kept = [artifact for artifact in self._artifacts if artifact.format == report.kept]
        complete(self._source, kept, folder, budget=asdict(report))
