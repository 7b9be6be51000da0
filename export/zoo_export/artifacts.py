"""One format's part of an export: the job it gives, and the verified artifact it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo_export.comparing import compare, top1_agreement, worst
from zoo_export.converters.conversion import Converted
from zoo_export.converters.job import Job
from zoo_export.errors import ExportError
from zoo_export.formats import Format
from zoo_export.manifest import Artifact, Comparison, Verification
from zoo_export.source import Source
from zoo_export.tensors import Array, fits


def make_job(
    source: Source, row: Format, model: Path, modules: tuple[str, ...], bundle: Path
) -> tuple[Job, tuple[dict[str, Array], ...]]:
    """Return the job of one format and the sample batches that its file can take.

    Args:
        source: What is exported.
        row: The format.
        model: The ``.keras`` file.
        modules: Modules that the child process imports first.
        bundle: The folder that the artifact is written to.
    """
    sizes = source.sizes if row.static else {}
    job = Job(
        format=row.name,
        converter=row.converter,
        runtime=row.runtime,
        model=str(model.resolve()),
        modules=modules,
        path=str((bundle / row.path(source.request.name)).resolve()),
        inputs=tuple(tensor.fixed(sizes) for tensor in source.inputs),
        outputs=tuple(tensor.fixed(sizes) for tensor in source.outputs),
    )
    cases = tuple(case for case in source.cases if fits(job.inputs, case))
    return job, (*cases, source.examples) if source.examples is not None else cases


def verified(source: Source, row: Format, converted: Converted) -> Artifact:
    """Compare what a conversion gave with Keras and return the artifact with its figures.

    Raises:
        ExportError: The conversion failed, or its file disagrees with Keras.
    """
    if converted.error is not None or converted.result is None:
        raise converted.error or ExportError("it ended without a result")
    job, received = converted.job, list(converted.outputs)
    expected = [
        outputs
        for case, outputs in zip(source.cases, source.expected, strict=True)
        if fits(job.inputs, case)
    ]
    agreement, examples = None, 0
    if source.expected_examples is not None:
        given = received.pop()
        _check(compare([source.expected_examples], [given], row.tolerance))
        agreement = top1_agreement(source.expected_examples, given)
        examples = len(next(iter(given.values()))) if agreement is not None else 0
    rows = compare(expected, received, row.tolerance)
    _check(rows)
    path = Path(job.path)
    return Artifact(
        format=row.name,
        path=path.name,
        bytes=_size(path),
        inputs=job.inputs,
        outputs=job.outputs,
        verification=Verification(row.name, row.tolerance, rows, examples, agreement),
        facts=converted.result.facts,
        seconds=converted.seconds,
        peak_mb=converted.result.peak_mb,
    )


def _check(rows: Sequence[Comparison]) -> None:
    if not all(row.ok for row in rows):
        raise ExportError(worst(rows))


def _size(path: Path) -> int:
    paths = path.rglob("*") if path.is_dir() else [path, *path.parent.glob(f"{path.name}.*")]
    return sum(file.stat().st_size for file in paths if file.is_file())
