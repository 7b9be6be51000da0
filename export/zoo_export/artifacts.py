"""One format's part of an export: the job it gives, and the verified artifact it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_export.comparing import EDGE_SLACK, accuracy, compare, top1_agreement, worst
from zoo_export.converters.calibration import fingerprint
from zoo_export.converters.conversion import Converted
from zoo_export.converters.job import Job, Task
from zoo_export.errors import ExportError
from zoo_export.files import size_of
from zoo_export.formats import Format
from zoo_export.manifest import Artifact, Comparison, Verification
from zoo_export.source import Source, versions
from zoo_export.tensors import Array, Arrays, Tensor, fits

# Of the weights' bytes that a scheme must bring into its dtype.
_MOST = 0.5


def make_task(
    source: Source, row: Format, model: Path, modules: tuple[str, ...], bundle: Path
) -> Task:
    """Return the job of one format with the sample batches that its file can take.

    Args:
        source: What is exported.
        row: The format.
        model: The model as Keras loads it, a file or folder.
        modules: Modules that the child process imports first.
        bundle: The folder that the artifact is written to.
    """
    sizes = source.sizes if row.static else {}
    static_batches = source.request.batch_sizes if row.static else ()
    job = Job(
        format=row.name,
        converter=row.converter,
        runtime=row.runtime,
        model=str(model.resolve()),
        modules=modules,
        path=str((bundle / row.path(source.request.name)).resolve()),
        inputs=tuple(tensor.fixed(sizes) for tensor in source.inputs),
        outputs=tuple(tensor.fixed(sizes) for tensor in source.outputs),
        about=_about(source),
        batch_sizes=static_batches,
        dynamic=row.static and not static_batches,
        rnn=source.request.rnn,
        optimize=source.request.optimize if row.optimizers else None,
        train_batch=source.request.train_batch,
    )
    cases = tuple(case for case, _, _ in _tried(source, row, job.inputs))
    if source.examples is not None:
        cases = (*cases, source.examples)
    is_calibrated = row.scheme is not None and row.scheme.calibrated
    return Task(job, cases, source.calibration or {} if is_calibrated else {})


def _about(source: Source) -> dict[str, Any]:
    request = source.request
    known = {
        "name": request.name,
        "task": request.task,
        "labels": request.labels,
        "preprocessing": request.preprocessing,
        "license": request.license,
        "versions": versions(),
    }
    return {key: value for key, value in known.items() if value}


def verified(source: Source, row: Format, converted: Converted) -> Artifact:
    """Compare what a conversion gave with Keras and return the artifact with its figures.

    Raises:
        ExportError: The conversion failed, or its file disagrees with Keras.
    """
    if (
        row.static
        and source.joined_output is not None
        and max(source.request.batch_sizes, default=0) < 2
    ):
        raise ExportError(
            f"rows of output '{source.joined_output}' depend on the other rows of their batch, and "
            "the file takes one row. Where that compares what several encoders give, export each "
            "encoder by itself, keras.Model(its inputs, its output), and compare outside"
        ) from converted.error
    if converted.error is not None or converted.result is None:
        raise converted.error or ExportError("it ended without a result")
    job, received = converted.job, list(converted.outputs)
    facts = dict(converted.result.facts)
    _check_weights(row, facts)
    tried = _tried(source, row, job.inputs)
    agreement, examples, metric = None, 0, {}
    if source.expected_examples is not None:
        given = received.pop()
        _check(compare([source.expected_examples], [given], row.tolerance), facts)
        agreement = top1_agreement(source.expected_examples, given)
        examples = len(next(iter(given.values()))) if agreement is not None else 0
        _check_agreement(row, agreement)
        metric = _accuracies(source, given)
    rows = compare(
        [outputs for _, outputs, _ in tried], received, [tolerance for *_, tolerance in tried]
    )
    _check(rows, facts)
    path = Path(job.path)
    return Artifact(
        format=row.name,
        path=path.name,
        bytes=size_of(path),
        inputs=job.inputs,
        outputs=job.outputs,
        verification=Verification(row.name, row.tolerance, rows, examples, agreement, **metric),
        facts=_with_calibration(source, row, facts | _of_samples(source, row)),
        seconds=converted.seconds,
        peak_mb=converted.result.peak_mb,
        batch_sizes=job.batch_sizes,
    )


def _tried(
    source: Source, row: Format, inputs: Sequence[Tensor]
) -> list[tuple[dict[str, Array], dict[str, Array], float]]:
    """Return the cases that a file can take, with what Keras gives and how far the file may."""
    tried = [(*pair, row.tolerance) for pair in zip(source.cases, source.expected, strict=True)]
    if row.scheme is None:
        # Other schemes are made for the ranges that inputs usually have.
        edges = zip(source.edges, source.expected_edges, strict=True)
        tried += [(*pair, row.tolerance * EDGE_SLACK) for pair in edges]
    return [one for one in tried if fits(inputs, one[0])]


def _check_weights(row: Format, facts: Mapping[str, Any]) -> None:
    weights = facts.get("weights")
    if row.scheme is None or not weights:
        return
    dtype = row.scheme.dtype
    whole = sum(weights.values()) - facts.get("float_constants", 0)
    # ONNX Runtime holds tables that are gathered from in uint8, for all that int8 is asked for.
    share = (weights.get(dtype, 0) + weights.get(f"u{dtype}", 0)) / whole
    if share < _MOST:
        held = ", ".join(f"{size:,} bytes of {dtype}" for dtype, size in weights.items())
        raise ExportError(
            f"only {share:.0%} of its weights are {dtype} ({held}): this scheme does not reach "
            "the layers that hold them"
        )


def _check_agreement(row: Format, agreement: float | None) -> None:
    wanted = row.scheme.min_agreement if row.scheme else 0.0
    if agreement is not None and agreement < wanted:
        raise ExportError(
            f"it gives the same answer as Keras for {agreement:.1%} of the examples; "
            f"{wanted:.0%} is the least for this scheme"
        )


def _accuracies(source: Source, given: Arrays) -> dict[str, float]:
    targets, expected = source.targets, source.expected_examples
    found = accuracy(given, targets), accuracy(expected or {}, targets)
    if None in found:
        return {}
    return dict(zip(("accuracy", "keras_accuracy"), found, strict=True))  # type: ignore[arg-type]


def _of_samples(source: Source, row: Format) -> dict[str, Any]:
    known = {
        "unchosen_sizes": dict(source.unchosen) if row.static else {},
        "edges_left_out": list(source.left_out) if row.scheme is None else [],
    }
    return {key: value for key, value in known.items() if value}


def _with_calibration(source: Source, row: Format, facts: dict[str, Any]) -> dict[str, Any]:
    if row.scheme is None:
        return facts
    facts["scheme"] = row.scheme.name
    is_measured = facts.get("ranges") != "trained"
    if row.scheme.calibrated and is_measured and source.calibration is not None:
        facts["calibration"] = fingerprint(source.calibration)
    return facts


def _check(rows: Sequence[Comparison], facts: Mapping[str, Any]) -> None:
    if all(row.ok for row in rows):
        return
    advice = ""
    if str(facts.get("ranges")).startswith("trained"):
        advice = (
            ". Its ranges are what the last steps of training saw: train longer, or take a scheme "
            "that measures them, such as tflite:int16x8"
        )
    raise ExportError(worst(rows) + advice, comparisons=rows)
