"""One format's part of an export: the job it gives, and the verified artifact it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making.conversion import Converted, Job, Task
from zoo_export.reading.calibration import FEW_ROWS, fingerprint
from zoo_export.reading.causes import cause
from zoo_export.reading.encoders import compared_inputs
from zoo_export.reading.source import Source, versions
from zoo_runtime.columns import Scale
from zoo_runtime.comparing import (
    accuracy,
    compared,
    fitted,
    settle,
    top1_agreement,
    usual_sizes,
    with_label,
    worst_of_groups,
)
from zoo_runtime.errors import ExportError
from zoo_runtime.files import size_of
from zoo_runtime.formats import Format, find
from zoo_runtime.manifest import Artifact
from zoo_runtime.saved_samples import EDGE, EXAMPLE, GIVEN
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_runtime.verification import Comparison, Fit, Verification, why

# Of the weights' bytes that a scheme must bring into its dtype.
_MOST = 0.5
_FLOAT16 = float(np.finfo(np.float16).max)
# Chance that a right file is refused for answers of a few samples.
_DOUBT = 0.01
_OF_COPY = "with its weights changed, as Keras gives one answer for all samples with its own, "


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
    options = source.request.options.for_format(row)
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
        options=options,
        dynamic=row.static and not options.batch_sizes,
        proof=bool(source.trials.proof),
    )
    batches = source.trials.batches
    cases = tuple(batches[at].inputs for at in _tried(source, row, job.inputs))
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
    if row.static and converted.job.options.batch_sizes and source.trials.beside:
        error = _of_mixed_rows(source.trials.beside, source.request.model)
        raise ExportError(error) from converted.error
    if converted.error is not None or converted.result is None:
        raise converted.error or ExportError("it ended without a result")
    job = converted.job
    facts = _with_calibration(source, row, dict(converted.result.facts))
    _check_weights(row, facts)
    figures = _judged(source, row, converted, facts)
    path = Path(job.path)
    return Artifact(
        format=row.name,
        path=path.name,
        bytes=size_of(path),
        inputs=job.inputs,
        outputs=job.outputs,
        verification=figures,
        facts=facts | _of_samples(source, row),
        seconds=converted.seconds,
        peak_mb=converted.result.peak_mb,
        batch_sizes=job.options.batch_sizes,
    )


def _judged(
    source: Source, row: Format, converted: Converted, facts: Mapping[str, Any]
) -> Verification:
    tried = _tried(source, row, converted.job.inputs)
    received = dict(zip(tried, converted.outputs, strict=False))
    try:
        figures = _figures(source, row, received)
        _check(source, figures, facts)
        _check_agreement(row, figures, is_run=source.request.is_run)
        if not source.trials.proof:
            return figures
        # The copy with changed weights ran all of them too, after the file itself.
        proof = dict(zip(tried, converted.outputs[len(tried) :], strict=True))
        _check(source, _proof_figures(source, row, proof), facts, is_proof=True)
        return replace(figures, perturbed=True)
    except ExportError as error:
        inside = cause(
            row, source.request.model, [source.trials.batches[at].inputs for at in tried]
        )
        if not inside:
            raise
        raise ExportError(f"{error}. {inside}", comparisons=error.comparisons) from error


def _tried(source: Source, row: Format, inputs: Sequence[Tensor]) -> list[int]:
    return source.trials.for_file(inputs, is_scheme=row.scheme is not None)


# Of each batch by its index, what Keras gave and what the file gave.
_Pairs = Mapping[int, tuple[dict[str, Array], dict[str, Array]]]


def _figures(source: Source, row: Format, received: Mapping[int, dict[str, Array]]) -> Verification:
    trials = source.trials
    pairs = {at: (trials.batches[at].expected, given) for at, given in received.items()}
    for at, (expected, given) in pairs.items():
        settle(expected, given, trials.batches[at].unsteady)
    rows = _rows(source, row, pairs, trials.scales)
    examples = [at for at in pairs if trials.batches[at].kind == EXAMPLE]
    # Of examples the agreement is told, and the rows of those that are too far.
    kept = [at for at in pairs if at not in examples or not all(one.ok for one in rows[at])]
    figures = Verification(
        row.name,
        row.tolerance,
        tuple(one for at in kept for one in rows[at]),
        fits=_fits(source, row, pairs, trials.scales),
    )
    return _with_examples(source, figures, *pairs[examples[0]]) if examples else figures


def _proof_figures(
    source: Source, row: Format, received: Mapping[int, dict[str, Array]]
) -> Verification:
    """Return how near the file of the copy is, on what Keras was asked for with its weights."""
    proof, scales = source.trials.proof, source.trials.proof_scales
    pairs = {at: (proof[at], given) for at, given in received.items() if at in proof}
    rows = _rows(source, row, pairs, scales)
    fits = _fits(source, row, pairs, scales)
    found = tuple(one for at in pairs for one in rows[at])
    return Verification(row.name, row.tolerance, found, fits=fits)


def _rows(
    source: Source, row: Format, pairs: _Pairs, scales: Mapping[str, Mapping[str, Scale]]
) -> dict[int, tuple[Comparison, ...]]:
    dtypes = {tensor.name: tensor.dtype for tensor in source.outputs}
    sizes = usual_sizes(scales)
    found = {}
    for at, pair in pairs.items():
        batch = source.trials.batches[at]
        own, is_edge = scales.get(batch.group or ""), batch.kind == EDGE
        found[at] = compared(row, *pair, own, dtypes, sizes=sizes, is_edge=is_edge)
    return found


def _fits(
    source: Source, row: Format, pairs: _Pairs, scales: Mapping[str, Mapping[str, Scale]]
) -> tuple[Fit, ...]:
    found: list[Fit] = []
    for group, by_name in scales.items():
        places = [at for at in pairs if source.trials.batches[at].group == group]
        if places:
            expected, received = zip(*(pairs[at] for at in places), strict=True)
            found += fitted(source.outputs, expected, received, by_name, row.max_loss)
    return tuple(with_label(fit, source.request.labels) for fit in worst_of_groups(found))


def _with_examples(
    source: Source, figures: Verification, expected: Arrays, given: Arrays
) -> Verification:
    # Where all samples have one answer, that the file gives it too is no agreement.
    known = {} if "logits" in figures.uninformative else expected
    agreement = top1_agreement(known, given, source.trials.scales[GIVEN])
    right = accuracy(given, source.targets), accuracy(expected, source.targets)
    found, wanted = right if None not in right else (None, None)
    return replace(
        figures,
        examples=len(next(iter(given.values()))) if agreement is not None else 0,
        top1_agreement=agreement,
        accuracy=found,
        keras_accuracy=wanted,
    )


def _check_weights(row: Format, facts: Mapping[str, Any]) -> None:
    weights = facts.get("weights")
    if row.scheme is None or not weights:
        return
    dtype = row.scheme.dtype
    # ONNX Runtime holds tables that are gathered from in uint8, for all that int8 is asked for.
    reached = weights.get(dtype, 0) + weights.get(f"u{dtype}", 0)
    floats = {"float32", "float16"} - {dtype}
    # Sizes, axes and the biases of quantized layers are whole numbers, which no scheme is for.
    left = sum(weights.get(name, 0) for name in floats) - facts.get("float_constants", 0)
    share = reached / (reached + left) if reached + left else 1.0
    if share < _MOST:
        held = ", ".join(f"{size:,} bytes of {dtype}" for dtype, size in weights.items())
        raise ExportError(
            f"only {share:.0%} of its weights are {dtype} ({held}): this scheme does not reach "
            "the layers that hold them"
        )


def _check_agreement(row: Format, figures: Verification, *, is_run: bool) -> None:
    wanted = row.scheme.min_agreement if row.scheme else 0.0
    agreement, count = figures.top1_agreement, figures.examples
    if agreement is None or agreement >= wanted:
        return
    # Of examples of a run the share is known; of a few samples it is what chance makes of it.
    if not is_run and _by_chance(round((1 - agreement) * count), count, 1 - wanted) > _DOUBT:
        return
    raise ExportError(
        f"it gives the same answer as Keras for {agreement:.1%} of the examples; "
        f"{wanted:.0%} is the least for this scheme"
    )


def _by_chance(others: int, count: int, share: float) -> float:
    """Return how likely so many other answers or more are, where that share of all is another.

    Example:
        >>> round(_by_chance(1, 4, 0.05), 3), round(_by_chance(9, 64, 0.05), 3)
        (0.185, 0.004)
    """
    return sum(
        math.comb(count, k) * share**k * (1 - share) ** (count - k)
        for k in range(others, count + 1)
    )


def _of_samples(source: Source, row: Format) -> dict[str, Any]:
    notes = source.trials.notes
    is_float = row.scheme is None
    known: dict[str, Any] = {
        "unchosen_sizes": dict(source.unchosen) if row.static else {},
        "edges_left_out": notes.get("edges_left_out") if is_float else [],
        "drawn_left_out": notes.get("drawn_left_out"),
        "ties_left_out": sum(
            int(places.sum())
            for batch in source.trials.batches
            for places in batch.unsteady.values()
        ),
        "from_float64": source.is_float64,
        "rows_depend": source.trials.beside,
        "unrolled_by_author": notes.get("unrolled"),
        "judged_by_calibration": row.scheme is not None
        and row.scheme.calibrated
        and source.judged_by_calibration,
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


def _check(
    source: Source, figures: Verification, facts: Mapping[str, Any], *, is_proof: bool = False
) -> None:
    if figures.ok:
        return
    advice = _advice(source, figures, facts)
    if source.is_float64:
        advice += ". The model computes in float64 and the file in float32: build it in float32"
    before = _OF_COPY if is_proof else ""
    raise ExportError(before + why(figures) + advice, comparisons=figures.comparisons)


def _advice(source: Source, figures: Verification, facts: Mapping[str, Any]) -> str:
    if find(figures.format).scheme is None:
        return ""
    if str(facts.get("ranges")).startswith("trained"):
        return (
            ". Its ranges are what the last steps of training saw: train longer, or take a scheme "
            "that measures them, such as tflite:int16x8"
        )
    if not all(fit.ok for fit in figures.fits):
        return _few_rows(facts) + _other_schemes(source, figures.format)
    if any(not row.ok and not row.allowed for row in figures.comparisons):
        return (
            ". Whole numbers are equal or not, and those that are made by comparing or rounding "
            "quantized ones change at once: let the model give what they are made of (logits for "
            "an argmax), or take float32"
        )
    return _few_rows(facts)


def _few_rows(facts: Mapping[str, Any]) -> str:
    rows = facts.get("calibration", {}).get("rows", FEW_ROWS)
    if rows >= FEW_ROWS:
        return ""
    return (
        f". Its ranges are those of {rows} calibration rows, and what is beyond them is cut off: "
        "give a few hundred"
    )


def _other_schemes(source: Source, name: str) -> str:
    kept = f"{name.partition(':')[0]}:float16"
    if name == kept:
        return ". Numbers of float16 have three digits, and end at 65,504: take float32"
    groups = source.trials.scales.values()
    columns = [scale for by_name in groups for scale in by_name.values()]
    sizes = [float(scale.largest.max(initial=0, where=scale.varies())) for scale in columns]
    others = f"take {kept} or float32" if max(sizes, default=0) <= _FLOAT16 else "take float32"
    return (
        f". This scheme holds all columns of an output on one scale: {others}, or give what is on "
        "another scale an output of its own"
    )


def _of_mixed_rows(moves: float, model: Any) -> str:
    return (
        f"its rows depend on each other: in Keras the answer to one row moves by {moves:.3g} with "
        "the rows beside it, and this file runs one batch size alone, and fills it up. Take onnx "
        f"or saved_model, whose batch is what they are given, or batch_sizes='dynamic'"
        f"{_of_encoders(model)}"
    )


def _of_encoders(model: Any) -> str:
    names = [f"'{name[0]}'" for name in compared_inputs(model)]
    if not names:
        return ""
    return (
        f". It compares every row of {' with every row of '.join(names)}: export each encoder by "
        "itself (for name, encoder in zoo_export.encoders(model).items(): "
        "zoo_export.export(encoder, name=name))"
    )
