"""What is exported: inputs, outputs, samples, and what Keras gives for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from zoo_export import samples as sampling
from zoo_export.comparing import check_finite
from zoo_export.converters.axes import (
    check_outputs,
    input_tensors,
    output_tensors,
    related,
    unrelated,
)
from zoo_export.converters.calibration import check_calibration
from zoo_export.converters.inference import inference_clone, named_inputs, reference
from zoo_export.errors import ExportError
from zoo_export.preprocess import Preprocessor
from zoo_export.preprocess.boxes import HEATMAP
from zoo_export.request import Request
from zoo_export.sizes import check_chosen, image_sizes, likely_sizes, oblong, unchosen
from zoo_export.tensors import BATCH, Array, Tensor, named_sizes
from zoo_registry import UsageError, ZooError

_MAX_EXAMPLE_VALUES = 1 << 26
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSIONS = ("kerazoo", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported, and what Keras gives for the samples.

    Args:
        request: Name, task, labels, preprocessing and provenance.
        inputs: Inputs with named sizes.
        outputs: Outputs with named sizes.
        sizes: Numbers for the named sizes where a format needs them fixed.
        cases: Sample batches.
        expected: What Keras gives for them.
        edges: Single rows of unusual numbers, for files that compute as Keras does.
        expected_edges: What Keras gives for those.
        left_out: Kinds of unusual numbers that Keras itself has no steady answer to.
        unchosen: Of ``sizes``, those that nobody asked for.
        examples: Real examples to count agreement on, or ``None``.
        expected_examples: What Keras gives for those.
        targets: The right answers for those, where they are known.
        calibration: Rows that the ranges of activations are measured on.
    """

    request: Request
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sizes: Mapping[str, int]
    cases: tuple[dict[str, Array], ...]
    expected: tuple[dict[str, Array], ...]
    examples: dict[str, Array] | None = None
    expected_examples: dict[str, Array] | None = None
    targets: Array | None = None
    calibration: dict[str, Array] | None = None
    edges: tuple[dict[str, Array], ...] = ()
    expected_edges: tuple[dict[str, Array], ...] = ()
    left_out: tuple[str, ...] = ()
    unchosen: Mapping[str, int] = field(default_factory=dict)


def read_source(request: Request) -> Source:
    """Look into the model, choose the samples and run Keras on them.

    Raises:
        UsageError: A model, labels, preprocessing or samples that do not fit together.
        ExportError: Keras itself gives NaN, or no answer.
    """
    if not _NAME.fullmatch(request.name):
        raise UsageError(
            f"'{request.name}' cannot name files: use letters, digits, '.', '_' and '-' (name=...)."
        )
    Preprocessor(request.preprocessing, request.assets)
    model = inference_clone(request.model)
    tensors = input_tensors(model)
    first = _first_rows(request, model, tensors)
    check_outputs(model, first)
    inputs = related(model, tensors, first)
    rows = _rows(request, model, inputs)
    sizes = named_sizes(inputs, rows)
    sizes.pop(BATCH, None)
    if request.batch_sizes:
        sizes[BATCH] = request.batch_sizes[0]
    check_chosen(request, inputs, sizes)
    cases, expected = _tried(request, model, inputs, rows)
    runs = [
        (named_sizes(inputs, case), outputs) for case, outputs in zip(cases, expected, strict=True)
    ]
    outputs = output_tensors(model, runs)
    inner = {dim for tensor in outputs for dim in tensor.shape[1:] if isinstance(dim, str)}
    found = named_sizes(outputs, expected[0])
    # A file with fixed inputs fixes what follows from them too.
    sizes = {dim: found[dim] for dim in inner} | sizes
    _check_labels(request, outputs)
    examples = _examples(rows, expected[0]) if request.is_run else None
    edges = sampling.edge_cases(model, inputs, rows) if request.rows is None else {}
    answered = [pair for pair in edges.values() if pair is not None]
    return Source(
        request=request,
        inputs=inputs,
        outputs=outputs,
        sizes=sizes,
        cases=tuple(cases),
        expected=tuple(expected),
        examples=examples,
        expected_examples=None if examples is None else _reference(request, model, examples),
        targets=request.targets,
        calibration=_calibration(request, inputs, rows),
        edges=tuple(case for case, _ in answered),
        expected_edges=tuple(outputs for _, outputs in answered),
        left_out=tuple(kind for kind, pair in edges.items() if pair is None),
        unchosen=unchosen(request, inputs, sizes),
    )


def versions() -> dict[str, str]:
    """Return the versions that an export depends on."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in VERSIONS}}


def _first_rows(request: Request, model: Any, tensors: Sequence[Tensor]) -> dict[str, Array]:
    if request.rows is not None:
        return sampling.given_rows(unrelated(tensors), request.rows)
    return sampling.drawn_rows(model, tensors, likely_sizes(request, model, tensors))


def _rows(request: Request, model: Any, inputs: Sequence[Tensor]) -> dict[str, Array]:
    if request.rows is not None:
        return sampling.given_rows(inputs, request.rows)
    sizes = oblong(likely_sizes(request, model, inputs)) | image_sizes(request, inputs)
    count = max(sampling.DRAWN, *request.batch_sizes, 0)
    return sampling.drawn_rows(model, inputs, sizes, count=count)


def _tried(
    request: Request, model: Any, inputs: Sequence[Tensor], rows: dict[str, Array]
) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Return sample batches and what Keras gives for them."""
    cases = sampling.sample_cases(rows, request.batch_sizes)
    expected = [_reference(request, model, case) for case in cases]
    other = sampling.other_sizes(inputs, cases[-1])
    if other is None:
        return cases, expected
    try:
        outputs = reference(model, other)
    except Exception:  # not every size suits every model; that of the other cases does
        return cases, expected
    _check_answer(request, outputs)
    return [*cases, other], [*expected, outputs]


def _calibration(
    request: Request, inputs: Sequence[Tensor], rows: dict[str, Array]
) -> dict[str, Array] | None:
    if request.calibration is None:
        return None
    samples = rows if request.rows is not None else None
    found = check_calibration(inputs, request.calibration, samples)
    if any(found[name].shape[1:] != array.shape[1:] for name, array in rows.items()):
        shapes = {name: array.shape[1:] for name, array in found.items()}
        raise UsageError(
            f"The calibration rows have shapes {shapes}, the samples "
            f"{ ({name: array.shape[1:] for name, array in rows.items()}) }."
        )
    return found


def _examples(rows: dict[str, Array], one: Mapping[str, Array]) -> dict[str, Array]:
    # Logits over a large vocabulary at every position would fill the memory.
    count = max(1, _MAX_EXAMPLE_VALUES // sum(array.size for array in one.values()))
    return {name: array[:count] for name, array in rows.items()}


def _reference(request: Request, model: Any, case: Mapping[str, Array]) -> dict[str, Array]:
    try:
        outputs = reference(model, case)
    except ZooError:
        raise
    except Exception as error:  # whatever the user's own layers raise
        shapes = {name: array.shape for name, array in case.items()}
        raise ExportError(
            f"Model '{request.name}' fails in Keras on inputs of shapes {shapes}: "
            f"{type(error).__name__}: {error}. {_advice(model, case)}"
        ) from error
    _check_answer(request, outputs)
    return outputs


def _check_answer(request: Request, outputs: Mapping[str, Array]) -> None:
    check_finite(outputs, f"model '{request.name}' in Keras itself")


def _advice(model: Any, case: Mapping[str, Array]) -> str:
    batches = {name: tensor.shape[0] for name, tensor in named_inputs(model).items()}
    fixed = [size for name, size in batches.items() if size not in {None, len(case[name])}]
    if not fixed:
        return "Give samples (samples=...) or a size of images (image_size=...) that it can take."
    return (
        f"Its inputs have a fixed batch of {fixed[0]}, and an export tries 1 and 3 rows: build "
        "it from keras.Input((...)) without a batch size, and with stateful=False."
    )


def _check_labels(request: Request, outputs: Sequence[Tensor]) -> None:
    logits = next((tensor for tensor in outputs if tensor.name in {"logits", HEATMAP}), None)
    if request.labels is None or logits is None:
        return
    size = logits.shape[-1]
    # One logit is the answer yes or no.
    if len(request.labels) != (2 if size == 1 else size):
        raise UsageError(
            f"Model '{request.name}' has {size} logits and there are {len(request.labels)} labels."
        )
