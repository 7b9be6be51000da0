"""A format that writes texts as part of an export: its job, and the verified artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo_export.generation.dialect import PLAN
from zoo_export.making.artifacts import base_job, check, check_agreement, check_weights
from zoo_export.making.conversion import Converted, LoadedJob, Trial
from zoo_export.reading.source import Source
from zoo_runtime.errors import ExportError
from zoo_runtime.files import size_of
from zoo_runtime.formats import Format
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.manifest import Artifact
from zoo_runtime.running.writing import INPUTS, OUTPUTS, TEXT
from zoo_runtime.tensors import Array
from zoo_runtime.tokenizing import decoded
from zoo_runtime.verification import Comparison, Verification
from zoo_runtime.writing import TEXTS, WrittenText, texts_compared

if TYPE_CHECKING:
    from zoo_export.generation.plan import Plan, Reference

# Two logits that are as near to each other, as a fraction of the largest, may change places: in a
# float32 file, and in one whose activations are rounded by what each processor computes.
_TIE, _TIE_OF_SCHEME = 1e-4, 0.02


def make_text_job(
    source: Source,
    fmt: Format,
    model: Path,
    modules: tuple[str, ...],
    bundle: Path,
    *,
    plan: Plan,
) -> LoadedJob:
    """Return the job of one format that writes texts.

    Args:
        source: What is exported.
        fmt: The format.
        model: The model as Keras loads it, a file or folder.
        modules: Modules that the child process imports first.
        bundle: The folder that the artifact is written to.
        plan: What its file is made of, and what Keras writes.
    """
    job = base_job(source, fmt, model, modules, bundle)
    job = replace(
        job,
        about={**job.about, PLAN: plan.data()},
        generating=fmt.generating,
        dialect=fmt.dialect,
    )
    samples = plan.samples()
    return LoadedJob(job, samples, lambda: Trial((samples,)))


def verified_texts(source: Source, fmt: Format, converted: Converted, plan: Plan) -> Artifact:
    """Compare what a file wrote with what Keras wrote and return the artifact.

    The logits of its graph are compared as those of every format, before each token that Keras
    wrote. The texts must be equal as far as the graph's own most probable tokens are Keras': those
    of a float32 file all are, but where two logits of Keras are equal.

    Raises:
        ExportError: The conversion failed, or its file disagrees with Keras.
    """
    if converted.error is not None or converted.result is None:
        raise converted.error or ExportError("it ended without a result")
    (outputs,) = converted.outputs
    facts = dict(converted.result.facts)
    check_weights(fmt, facts)
    size = plan.vocab_size
    wanted = np.concatenate([each.logits[:, :size] for each in plan.references])
    verification = _verification(fmt, wanted, outputs[LOGITS])
    check(source, verification, facts)
    check_agreement(fmt, verification, is_run=source.request.is_run)
    texts = [str(text) for text in outputs[TEXT]]
    rows = same_texts(fmt, plan, outputs[LOGITS], texts)
    path = Path(converted.job.path)
    of_plan = {"sampler_left_out": list(plan.left_out)} if plan.left_out else {}
    scheme = {"scheme": fmt.scheme.name} if fmt.scheme else {}
    return Artifact(
        format=fmt.name,
        path=path.name,
        bytes=size_of(path),
        inputs=INPUTS,
        outputs=OUTPUTS,
        verification=replace(
            verification, comparisons=(*verification.comparisons, texts_compared(len(rows), 0))
        ),
        facts={**facts, **of_plan, **scheme, TEXTS: [asdict(row) for row in rows]},
        seconds=converted.seconds,
        peak_mb=converted.result.peak_mb,
    )


def _verification(fmt: Format, wanted: Array, found: Array) -> Verification:
    difference = float(np.abs(wanted - found).max())
    allowed = fmt.tolerance * float(np.abs(wanted).max())
    agreement = float((wanted.argmax(-1) == found.argmax(-1)).mean())
    row = Comparison(LOGITS, wanted.shape, difference, allowed)
    return Verification(
        fmt.name, fmt.tolerance, (row,), examples=len(wanted), top1_agreement=agreement
    )


def same_texts(fmt: Format, plan: Plan, logits: Array, texts: Sequence[str]) -> list[WrittenText]:
    """Return what was written of each prompt, as far as it must be that on every device."""
    begin, rows = 0, []
    for each, text in zip(plan.references, texts, strict=True):
        steps = len(each.written)
        steady = _steady(fmt, each, logits[begin : begin + steps])
        begin += steps
        new = [token for token in each.written[:steady] if token not in plan.language.stops]
        forms = [
            WrittenText(each.prompt, steps, form, is_whole=steady == steps)
            for form in _texts_of(plan.tokenizer, each, new)
        ]
        same = next((form for form in forms if form.is_in(text)), None)
        if same is None:
            raise ExportError(
                f"after {each.prompt[:40]!r} {plan.runtime} writes {text!r}, and Keras "
                f"{forms[0].text!r}"
            )
        rows.append(same)
    if not any(row.text for row in rows):
        raise ExportError(
            "none of its most probable tokens is one that Keras writes, so that nothing shows "
            f"whether {plan.runtime} writes what the model does"
        )
    return rows


def _steady(fmt: Format, each: Reference, logits: Array) -> int:
    """Return how many tokens the graph itself would write as Keras does, whatever it rounds."""
    tie = _TIE if fmt.scheme is None else _TIE_OF_SCHEME
    best = np.sort(logits, axis=-1)[:, -2:]
    is_clear = best[:, 1] - best[:, 0] > tie * np.abs(logits).max()
    is_same = logits.argmax(-1) == np.array(each.written)
    return int(np.append(is_clear & is_same, False).argmin())


def _texts_of(tokenizer: Any, each: Reference, written: Sequence[int]) -> list[str]:
    """Return the text of new tokens as Keras has it, and the ways in which a runtime may.

    LiteRT-LM decodes new tokens by themselves, so that the space before the first word is left out
    that a tokenizer of words puts there, and writes special tokens out.
    """
    found = []
    for skipped in (True, False):
        rows = (each.tokens, [*each.tokens, *written], written)
        before, whole, alone = decoded(tokenizer, rows, skip_special_tokens=skipped)
        found += [whole[len(before) :] if whole.startswith(before) else alone, alone]
    return found
