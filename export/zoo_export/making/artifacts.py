"""One format's part of an export: the job it gives, and the verified artifact it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making.conversion import Converted, Job, LoadedJob, Trial
from zoo_export.reading.calibration import FEW_ROWS, fingerprint
from zoo_export.reading.causes import cause
from zoo_export.reading.source import Source, versions
from zoo_runtime import schema
from zoo_runtime.columns import Scale
from zoo_runtime.comparing import (
    accuracy,
    compared,
    fitted,
    perplexity,
    settle,
    top1_agreement,
    usual_sizes,
    with_label,
    worst_of_groups,
)
from zoo_runtime.errors import ExportError
from zoo_runtime.files import size_of
from zoo_runtime.formats import Format, find
from zoo_runtime.generation.checking import check_cached
from zoo_runtime.generation.files import CACHED, GENERATING, GENERATION, Generation
from zoo_runtime.manifest import Artifact
from zoo_runtime.saved_samples import EDGE, EXAMPLE, GIVEN
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_runtime.verification import Comparison, Fit, Verification, why

# Fraction of the weights' bytes that a scheme must bring into its dtype.
_MOST = 0.5
_FLOAT16 = float(np.finfo(np.float16).max)
# Probability that a right file is refused for answers of a few samples.
_DOUBT = 0.01
# Of a language model, whose perplexity is known: many next tokens are about as probable as others.
_SAME_NEXT_TOKENS = 0.9
_OF_COPY = "with its weights changed, as Keras gives one answer for all samples with its own, "


def make_job(
    source: Source, fmt: Format, model: Path, modules: tuple[str, ...], bundle: Path
) -> LoadedJob:
    """Return the job of one format, tried on the sample batches that its file can take.

    Args:
        source: What is exported.
        fmt: The format.
        model: The model as Keras loads it, a file or folder.
        modules: Modules that the child process imports first.
        bundle: The folder that the artifact is written to.
    """
    sizes = source.sizes if fmt.static else {}
    job = base_job(source, fmt, model, modules, bundle)
    job = replace(
        job,
        inputs=tuple(tensor.fixed(sizes) for tensor in source.inputs),
        outputs=tuple(tensor.fixed(sizes) for tensor in source.outputs),
        dynamic=fmt.static and not job.options.batch_sizes,
        generating=fmt.generating if source.request.task in GENERATING else "",
        decoder=fmt.decoder,
        tolerance=fmt.tolerance,
    )

    def trial() -> Trial:
        batches = source.samples.batches
        inputs = tuple(batches[at].inputs for at in _tried(source, fmt, job.inputs))
        return Trial(inputs, perturbed=bool(source.samples.perturbed))

    is_calibrated = fmt.scheme is not None and fmt.scheme.calibrated
    return LoadedJob(job, source.first, trial, source.calibration or {} if is_calibrated else {})


def base_job(
    source: Source, fmt: Format, model: Path, modules: tuple[str, ...], bundle: Path
) -> Job:
    """Return what the jobs of all formats have, as :func:`make_job` is called."""
    return Job(
        format=fmt.name,
        converter=fmt.converter,
        runtime=fmt.runtime,
        model=str(model.resolve()),
        modules=modules,
        path=str((bundle / fmt.path(source.request.name)).resolve()),
        inputs=source.inputs,
        outputs=source.outputs,
        about=_about(source),
        options=source.request.options.for_format(fmt),
    )


def _about(source: Source) -> dict[str, Any]:
    """Return what a file may say about itself."""
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


def verified(source: Source, fmt: Format, converted: Converted) -> Artifact:
    """Compare what a conversion gave with Keras and return the artifact with its verification.

    Raises:
        ExportError: The conversion failed, or its file disagrees with Keras.
    """
    if fmt.static and converted.job.options.batch_sizes and source.samples.row_dependence:
        error = _of_mixed_rows(source.samples.row_dependence, source.request.model)
        raise ExportError(error) from converted.error
    if converted.error is not None or converted.result is None:
        raise converted.error or ExportError("it ended without a result")
    job = converted.job
    facts = _with_calibration(source, fmt, dict(converted.result.facts))
    check_weights(fmt, facts)
    generation = facts.pop(GENERATION, None)
    cached = tuple(schema.read(Comparison, row, CACHED) for row in facts.pop(CACHED, ()))
    verification = _verification(source, fmt, converted, facts)
    check_cached(cached)
    verification = replace(verification, comparisons=(*verification.comparisons, *cached))
    path = Path(job.path)
    return Artifact(
        format=fmt.name,
        path=path.name,
        bytes=size_of(path),
        inputs=job.inputs,
        outputs=job.outputs,
        verification=verification,
        facts=facts | _of_samples(source, fmt),
        seconds=converted.seconds,
        peak_mb=converted.result.peak_mb,
        batch_sizes=job.options.batch_sizes,
        generation=generation and schema.read(Generation, generation, GENERATION),
    )


def _verification(
    source: Source, fmt: Format, converted: Converted, facts: Mapping[str, Any]
) -> Verification:
    tried = _tried(source, fmt, converted.job.inputs)
    received = dict(zip(tried, converted.outputs, strict=False))
    try:
        verification = _of_file(source, fmt, received)
        check(source, verification, facts)
        check_agreement(fmt, verification, is_run=source.request.is_run)
        if not source.samples.perturbed:
            return verification
        # The copy with changed weights ran all of them too, after the file itself.
        outputs = dict(zip(tried, converted.outputs[len(tried) :], strict=True))
        perturbed = _perturbed_verification(source, fmt, outputs)
        check(source, perturbed, facts, is_perturbed=True)
        return replace(verification, perturbed=True)
    except ExportError as error:
        inside = cause(
            fmt, source.request.model, [source.samples.batches[at].inputs for at in tried]
        )
        if not inside:
            raise
        raise ExportError(f"{error}. {inside}", comparisons=error.comparisons) from error


def _tried(source: Source, fmt: Format, inputs: Sequence[Tensor]) -> list[int]:
    return source.samples.for_file(inputs, is_scheme=fmt.scheme is not None)


# Of each batch by its index, what Keras gave and what the file gave.
_Pairs = Mapping[int, tuple[dict[str, Array], dict[str, Array]]]


def _of_file(source: Source, fmt: Format, received: Mapping[int, dict[str, Array]]) -> Verification:
    samples = source.samples
    pairs = {at: (samples.batches[at].expected, given) for at, given in received.items()}
    for at, (expected, given) in pairs.items():
        settle(expected, given, samples.batches[at].unsteady)
    rows = _rows(source, fmt, pairs, samples.scales)
    examples = [at for at in pairs if samples.batches[at].kind == EXAMPLE]
    # Of examples the agreement is reported, and those outputs that are too far.
    kept = [at for at in pairs if at not in examples or not all(one.ok for one in rows[at])]
    verification = Verification(
        fmt.name,
        fmt.tolerance,
        tuple(one for at in kept for one in rows[at]),
        fits=_fits(source, fmt, pairs, samples.scales),
    )
    return _with_examples(source, verification, *pairs[examples[0]]) if examples else verification


def _perturbed_verification(
    source: Source, fmt: Format, received: Mapping[int, dict[str, Array]]
) -> Verification:
    """Return the verification of the copy, on what Keras gives with its perturbed weights."""
    wanted, scales = source.samples.perturbed, source.samples.perturbed_scales
    pairs = {at: (wanted[at], given) for at, given in received.items() if at in wanted}
    rows = _rows(source, fmt, pairs, scales)
    fits = _fits(source, fmt, pairs, scales)
    found = tuple(one for at in pairs for one in rows[at])
    return Verification(fmt.name, fmt.tolerance, found, fits=fits)


def _rows(
    source: Source, fmt: Format, pairs: _Pairs, scales: Mapping[str, Mapping[str, Scale]]
) -> dict[int, tuple[Comparison, ...]]:
    dtypes = {tensor.name: tensor.dtype for tensor in source.outputs}
    sizes = usual_sizes(scales)
    found = {}
    for at, pair in pairs.items():
        batch = source.samples.batches[at]
        own, is_edge = scales.get(batch.group or ""), batch.kind == EDGE
        found[at] = compared(fmt, *pair, own, dtypes, sizes=sizes, is_edge=is_edge)
    return found


def _fits(
    source: Source, fmt: Format, pairs: _Pairs, scales: Mapping[str, Mapping[str, Scale]]
) -> tuple[Fit, ...]:
    found: list[Fit] = []
    for group, by_name in scales.items():
        chosen = [at for at in pairs if source.samples.batches[at].group == group]
        if chosen:
            expected, received = zip(*(pairs[at] for at in chosen), strict=True)
            found += fitted(source.outputs, expected, received, by_name, fmt.max_loss)
    return tuple(with_label(fit, source.request.labels) for fit in worst_of_groups(found))


def _with_examples(
    source: Source, verification: Verification, expected: Arrays, given: Arrays
) -> Verification:
    # Where all samples have one answer, agreement on it means nothing.
    known = {} if "logits" in verification.uninformative else expected
    agreement = top1_agreement(known, given, source.samples.scales[GIVEN])
    right = accuracy(given, source.targets), accuracy(expected, source.targets)
    found, wanted = right if None not in right else (None, None)
    fluent: tuple[float | None, float | None] = None, None
    if source.request.task in GENERATING:
        fluent = perplexity(given, source.targets), perplexity(expected, source.targets)
    return replace(
        verification,
        examples=len(next(iter(given.values()))) if agreement is not None else 0,
        top1_agreement=agreement,
        accuracy=found,
        keras_accuracy=wanted,
        perplexity=fluent[0],
        keras_perplexity=fluent[1],
        max_loss=find(verification.format).max_loss,
    )


def check_weights(fmt: Format, facts: Mapping[str, Any]) -> None:
    """Refuse a scheme that does not reach the layers that hold the weights.

    Raises:
        ExportError: Less than half of the bytes of its weights are in its dtype.
    """
    weights = facts.get("weights")
    if fmt.scheme is None or not weights:
        return
    dtype = fmt.scheme.dtype
    # ONNX Runtime holds tables that are gathered from in uint8, for all that int8 is asked for;
    # beside int4 those of embeddings are int8.
    alike = {"int8": ("uint8",), "int4": ("int8",)}.get(dtype, ())
    reached = sum(weights.get(name, 0) for name in (dtype, *alike))
    floats = {"float32", "float16"} - {dtype}
    # Sizes, axes and the biases of quantized layers are integers, which no scheme is for.
    left = sum(weights.get(name, 0) for name in floats) - facts.get("float_constants", 0)
    fraction = reached / (reached + left) if reached + left else 1.0
    if fraction < _MOST:
        held = ", ".join(f"{size:,} bytes of {dtype}" for dtype, size in weights.items())
        raise ExportError(
            f"only {fraction:.0%} of its weights are {dtype} ({held}): this scheme does not reach "
            "the layers that hold them"
        )


def check_agreement(fmt: Format, verification: Verification, *, is_run: bool) -> None:
    """Refuse a file that gives other answers than Keras too often.

    Raises:
        ExportError: Fewer examples have Keras' own answer than its scheme asks for.
    """
    wanted = fmt.scheme.min_agreement if fmt.scheme else 0.0
    if verification.perplexity is not None:
        wanted = min(wanted, _SAME_NEXT_TOKENS)
    agreement, count = verification.top1_agreement, verification.examples
    if agreement is None or agreement >= wanted:
        return
    # Of examples of a run the fraction is known; of a few samples it is random.
    if not is_run and _probability(round((1 - agreement) * count), count, 1 - wanted) > _DOUBT:
        return
    raise ExportError(
        f"it gives the same answer as Keras for {agreement:.1%} of the examples; "
        f"{wanted:.0%} is the least for this scheme"
    )


def _probability(others: int, count: int, fraction: float) -> float:
    """Return the probability of at least ``others`` different answers, of that fraction of all.

    Example:
        >>> round(_probability(1, 4, 0.05), 3), round(_probability(9, 64, 0.05), 3)
        (0.185, 0.004)
    """
    return sum(
        math.comb(count, k) * fraction**k * (1 - fraction) ** (count - k)
        for k in range(others, count + 1)
    )


def _of_samples(source: Source, fmt: Format) -> dict[str, Any]:
    notes = source.samples.notes
    is_float = fmt.scheme is None
    known: dict[str, Any] = {
        "unchosen_sizes": dict(source.unchosen) if fmt.static else {},
        "edges_left_out": notes.get("edges_left_out") if is_float else [],
        "drawn_left_out": notes.get("drawn_left_out"),
        "ties_left_out": sum(
            int(ties.sum()) for batch in source.samples.batches for ties in batch.unsteady.values()
        ),
        "from_float64": source.is_float64,
        "no_tokenizer": source.request.no_tokenizer,
        "rows_depend": source.samples.row_dependence,
        "unrolled_by_author": notes.get("unrolled"),
        "judged_by_calibration": fmt.scheme is not None
        and fmt.scheme.calibrated
        and source.judged_by_calibration,
    }
    return {key: value for key, value in known.items() if value}


def _with_calibration(source: Source, fmt: Format, facts: dict[str, Any]) -> dict[str, Any]:
    if fmt.scheme is None:
        return facts
    facts["scheme"] = fmt.scheme.name
    is_measured = facts.get("ranges") != "trained"
    if fmt.scheme.calibrated and is_measured and source.calibration is not None:
        facts["calibration"] = fingerprint(source.calibration)
    return facts


def check(
    source: Source,
    verification: Verification,
    facts: Mapping[str, Any],
    *,
    is_perturbed: bool = False,
) -> None:
    """Refuse a file that gives other numbers than Keras.

    Raises:
        ExportError: With what is too far, and what can be done about it.
    """
    if verification.ok:
        return
    advice = _advice(source, verification, facts)
    if source.is_float64:
        advice += ". The model computes in float64 and the file in float32: build it in float32"
    before = _OF_COPY if is_perturbed else ""
    raise ExportError(before + why(verification) + advice, comparisons=verification.comparisons)


def _advice(source: Source, verification: Verification, facts: Mapping[str, Any]) -> str:
    if find(verification.format).scheme is None:
        return ""
    if str(facts.get("ranges")).startswith("trained"):
        return (
            ". Its ranges are what the last steps of training saw: train longer, or take a scheme "
            "that measures them, such as tflite:int16x8"
        )
    if not all(fit.ok for fit in verification.fits):
        return _few_rows(facts) + _other_schemes(source, verification.format)
    if any(not row.ok and not row.allowed for row in verification.comparisons):
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
    groups = source.samples.scales.values()
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
    from zoo_export.reading.functional import compared_inputs  # Keras, where it is needed

    names = [f"'{name[0]}'" for name in compared_inputs(model)]
    if not names:
        return ""
    return (
        f". It compares every row of {' with every row of '.join(names)}: export each encoder by "
        "itself (for name, encoder in zoo_export.encoders(model).items(): "
        "zoo_export.export(encoder, name=name))"
    )
