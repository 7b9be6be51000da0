"""What is exported: signature, sizes, samples, and what Keras gives for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from zoo_export.reading import samples as sampling
from zoo_export.reading.axes import (
    HEIGHT,
    WIDTH,
    check_outputs,
    input_tensors,
    output_tensors,
    related,
    unrelated,
)
from zoo_export.reading.calibration import check_calibration, split
from zoo_export.reading.inference import (
    computes_in_float64,
    inference_clone,
)
from zoo_export.reading.reference import (
    Drawn,
    Reference,
    Samples,
    drawn_in_domain,
    reference_samples,
)
from zoo_export.reading.request import Request
from zoo_export.reading.samples import BATCHES, default_sizes, sample_batches
from zoo_export.reading.signature import Signature, signature_of
from zoo_models.finetuning import merge_lora
from zoo_registry import UsageError
from zoo_runtime.answers.boxes import HEATMAP
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.saved_samples import BESIDE, DRAWN, EDGE, EXAMPLE, GIVEN, SampleBatch
from zoo_runtime.tensors import (
    BATCH,
    SEQUENCE,
    Array,
    Arrays,
    Tensor,
    evenly_rows,
    joined,
    named_sizes,
)

# So many real rows are enough to verify quantized files.
_ENOUGH = 8
_MAX_EXAMPLE_VALUES, _MOST_EXAMPLES = 1 << 26, 64
_ADVICE = (
    "Give samples (samples=...), a length of sequences (sequence_length=...) or a size of images "
    "(image_size=...) that it can take."
)
_TAGS_TASK = "multi-label"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSIONS = ("kerazoo", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")
_SIDES = (HEIGHT, WIDTH)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported, and what Keras gives for the samples.

    Converters need all but the samples, which take Keras about as long as a conversion takes: so
    those are made when something first asks for them, as files are converted meanwhile.

    Args:
        request: Name, task, labels, preprocessing and provenance.
        inputs: Inputs with named sizes.
        outputs: Outputs with named sizes.
        sizes: Values of the named sizes where a format needs them fixed.
        first: The first sample batch.
        make_samples: Runs Keras on all of them.
        unchosen: Of ``sizes``, those that nobody asked for.
        targets: Of the examples, where they are known.
        calibration: Rows that the ranges of activations are measured on.
        judged_by_calibration: Whether files are verified on calibration rows alone.
        nan_inputs: Inputs in which Keras itself has an answer to NaN.
        is_float64: Whether the model computes in float64, which no file does.
    """

    request: Request
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sizes: Mapping[str, int]
    first: Arrays
    make_samples: Callable[[], Samples]
    targets: Array | None = None
    calibration: dict[str, Array] | None = None
    judged_by_calibration: bool = False
    unchosen: Mapping[str, int] = field(default_factory=dict)
    nan_inputs: tuple[str, ...] = ()
    is_float64: bool = False

    @cached_property
    def samples(self) -> Samples:
        """Sample batches, and what Keras gives for them.

        Raises:
            ExportError: Keras gives NaN, or another answer at every call.
        """
        return self.make_samples()


def read_source(request: Request) -> Source:
    """Look into the model, choose the samples and run Keras on some of them.

    Raises:
        UsageError: A model, labels, preprocessing or samples that do not fit together.
        ExportError: Keras itself gives NaN, or no answer.
    """
    if not _NAME.fullmatch(request.name):
        raise UsageError(
            f"'{request.name}' cannot name files: use letters, digits, '.', '_' and '-' (name=...)."
        )
    Preprocessor(request.preprocessing, request.assets)
    signature = signature_of(inference_clone(request.model))
    request = _with_named_rows(_with_fixed_batch(request, signature), signature)
    tensors = input_tensors(signature)
    first = _first_rows(request, signature, tensors)
    check_outputs(signature, first)
    is_float64 = computes_in_float64(request.model)
    in_own_dtype = signature_of(merge_lora(request.model)) if is_float64 else signature
    reference = Reference(in_own_dtype, request.name, _ADVICE)
    inputs = related(signature, tensors, first)
    real = _real_rows(request, inputs)
    drawn = _drawn(request, reference, signature, inputs, real)
    rows = drawn.rows if real is None else real
    sizes = named_sizes(inputs, rows)
    sizes.pop(BATCH, None)
    if request.options.batch_sizes:
        sizes[BATCH] = request.options.batch_sizes[0]
    check_chosen(request, inputs, sizes)
    found = _answered(request, reference, inputs, real, drawn)
    runs = [(named_sizes(inputs, batch.inputs), batch.expected) for batch in found]
    outputs = output_tensors(signature, runs)
    if is_float64:  # files hold what the model in float32 gives
        outputs = tuple(replace(t, dtype=signature.outputs[t.name].dtype) for t in outputs)
    inner = {dim for tensor in outputs for dim in tensor.shape[1:] if isinstance(dim, str)}
    usual = named_sizes(outputs, found[0].expected)
    # A file with fixed inputs fixes what follows from them too.
    sizes = {dim: usual[dim] for dim in inner} | sizes
    _check_labels(request, outputs)
    calibration, held_out = _calibration(request, inputs, real, rows)
    on_calibration_alone = (
        calibration is not None and held_out is calibration and request.rows is None
    )
    examples = _examples(request, real, (held_out, calibration), found[0].expected)
    nan_inputs = tuple(sampling.takes_nan(signature, inputs, rows))

    def make_samples() -> Samples:
        batches = [*found]
        if examples is not None:
            batches.append(SampleBatch(EXAMPLE, examples, reference(examples)))
        edges = sampling.edge_cases(reference.signature, inputs, rows, nan_inputs=nan_inputs)
        batches += [SampleBatch(EDGE, *pair) for pair in edges.values() if pair is not None]
        left_out = [kind for kind, pair in edges.items() if pair is None]
        notes = {"edges_left_out": left_out, **drawn.note}
        return reference_samples(reference, outputs, signature, batches, notes)

    return Source(
        request=request,
        inputs=inputs,
        outputs=outputs,
        sizes=sizes,
        first=found[0].inputs,
        make_samples=make_samples,
        targets=_targets_of(request, examples),
        calibration=calibration,
        judged_by_calibration=on_calibration_alone,
        unchosen=unchosen(request, inputs, sizes),
        nan_inputs=nan_inputs,
        is_float64=is_float64,
    )


def versions() -> dict[str, str]:
    """Return the versions that an export depends on."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in VERSIONS}}


def _with_fixed_batch(request: Request, signature: Signature) -> Request:
    """Return the request of a model that takes one batch alone, with that in every format."""
    fixed, options = signature.batch, request.options
    if fixed is None or options.batch_sizes == (fixed,):
        return request
    if options.batch_sizes != (1,):
        raise UsageError(
            f"batch_sizes={list(options.batch_sizes)}: the inputs of model '{request.name}' have a "
            f"fixed batch of {fixed}. Build it from keras.Input((...)) without a batch size."
        )
    return replace(request, options=replace(options, batch_sizes=(fixed,)))


def _with_named_rows(request: Request, signature: Signature) -> Request:
    """Return a request whose rows have the names of inputs, which a caller may give as the model's.

    States of a streaming model that are left out begin as zeros.
    """
    from zoo_export.reading.functional import zero_states

    names = dict(zip(signature.raw_names, signature.inputs, strict=True))

    def named(rows: Mapping[str, Any] | None) -> dict[str, Array] | None:
        if rows is None:
            return None
        given = {names.get(name, name): np.asarray(row) for name, row in rows.items()}
        return {**zero_states(request.model, given), **given}

    return replace(request, rows=named(request.rows), calibration=named(request.calibration))


def _first_rows(
    request: Request, signature: Signature, tensors: Sequence[Tensor]
) -> dict[str, Array]:
    real = _real_rows(request, unrelated(tensors))
    if real is not None:
        return real
    return sampling.drawn_rows(signature, tensors, likely_sizes(request, signature, tensors))


def _real_rows(request: Request, inputs: Sequence[Tensor]) -> dict[str, Array] | None:
    """Return the samples that were given, or rows of the calibration data where there are none."""
    if request.rows is not None:
        return sampling.given_rows(inputs, request.rows)
    if request.calibration is None:
        return None
    return split(check_calibration(inputs, request.calibration, None), 0)[1]


def _drawn(
    request: Request,
    reference: Reference,
    signature: Signature,
    inputs: Sequence[Tensor],
    real: Mapping[str, Array] | None,
) -> Drawn:
    sizes = oblong(likely_sizes(request, signature, inputs)) | image_sizes(request, inputs)
    count = max(sampling.draws_for(signature), *request.options.batch_sizes, 0)
    if real is not None:
        sizes |= {name: size for name, size in named_sizes(inputs, real).items() if name != BATCH}
        count = BATCHES[-1]

    def draw(positive: bool) -> dict[str, Array]:
        return sampling.drawn_rows(signature, inputs, sizes, count=count, positive=positive)

    def batches_of(rows: dict[str, Array]) -> list[dict[str, Array]]:
        # Beside real rows they are one batch.
        return [rows] if real is not None else sample_batches(rows, request.options.batch_sizes)

    return drawn_in_domain(reference, draw, batches_of, needed=real is None)


def _answered(
    request: Request,
    reference: Reference,
    inputs: Sequence[Tensor],
    real: dict[str, Array] | None,
    drawn: Drawn,
) -> list[SampleBatch]:
    beside = [SampleBatch(_beside(real), *each) for each in drawn.answered]
    if real is None:
        kind, rows, found, beside = DRAWN, drawn.rows, beside, []
    else:
        batches = sample_batches(real, request.options.batch_sizes)
        kind, rows = GIVEN, real
        found = [SampleBatch(kind, batch, reference(batch)) for batch in batches]
    others = [
        sampling.other_sizes(inputs, found[len(BATCHES) - 1].inputs),
        sampling.masked_rows(reference.signature, inputs, rows),
    ]
    for batch in others:
        answer = None if batch is None else reference.or_none(batch)
        if batch is not None and answer is not None:
            found.append(SampleBatch(kind, batch, answer))
    return found + beside


def _beside(real: Mapping[str, Array] | None) -> str:
    # What a few rows do not show of a quantized file, random ones have to.
    count = 0 if real is None else len(next(iter(real.values())))
    return BESIDE if count >= _ENOUGH else DRAWN


def _calibration(
    request: Request,
    inputs: Sequence[Tensor],
    real: Mapping[str, Array] | None,
    rows: Mapping[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]] | tuple[None, None]:
    """Return the rows that ranges are measured on, and those that verify a file beside samples."""
    if request.calibration is None:
        return None, None
    samples = real if request.rows is not None else None
    found = check_calibration(inputs, request.calibration, samples)
    if any(found[name].shape[1:] != array.shape[1:] for name, array in rows.items()):
        shapes = {name: array.shape[1:] for name, array in found.items()}
        raise UsageError(
            f"The calibration rows have shapes {shapes}, the samples "
            f"{ ({name: array.shape[1:] for name, array in rows.items()}) }."
        )
    if request.is_run:  # it has examples of its own
        return found, found
    return split(found, len(next(iter(samples.values()))) if samples is not None else 0)


def _examples(
    request: Request,
    real: Mapping[str, Array] | None,
    calibration: Sequence[Mapping[str, Array] | None],
    one: Mapping[str, Array],
) -> dict[str, Array] | None:
    """Return real inputs that verify a file together: samples, then calibration rows."""
    if real is None:
        return None
    if not request.is_run:
        parts = [real if request.rows is not None else None, *calibration]
        different = {id(part): part for part in parts if part is not None}
        real = joined([evenly_rows(part, _MOST_EXAMPLES) for part in different.values()])
    # Logits over a large vocabulary at every position would fill the memory.
    size = sum(array.size // len(array) for array in one.values())
    count = max(1, _MAX_EXAMPLE_VALUES // max(size, 1))
    return {name: array[:count] for name, array in real.items()}


def _targets_of(request: Request, examples: Mapping[str, Array] | None) -> Array | None:
    """Return the targets of the examples: of a run these are its first ones.

    Example:
        >>> request = Request(model=None, name="m", targets=np.array([3, 1, 2]))
        >>> _targets_of(request, {"x": np.zeros((2, 5))})
        array([3, 1])
    """
    if request.targets is None or examples is None:
        return request.targets
    return request.targets[: len(next(iter(examples.values())))]


def _check_labels(request: Request, outputs: Sequence[Tensor]) -> None:
    logits = next((tensor for tensor in outputs if tensor.name in {"logits", HEATMAP}), None)
    if request.labels is None or logits is None:
        return
    size = logits.shape[-1]
    # One logit is the answer yes or no, unless there is one of them for each label.
    fits = {size} if logits.name == HEATMAP or size != 1 else {2}
    if request.task == _TAGS_TASK:
        fits = {size}
    if len(request.labels) not in fits:
        raise UsageError(
            f"Model '{request.name}' has {size} logits and there are {len(request.labels)} labels."
        )


# Values of the sizes that a model leaves open, and who chose them.


def likely_sizes(
    request: Request, signature: Signature, inputs: Sequence[Tensor]
) -> dict[str, int]:
    """Return a value for each named size: what was asked for, or what suits the model."""
    return default_sizes(signature, inputs, _length(request)) | image_sizes(request, inputs)


def image_sizes(request: Request, inputs: Sequence[Tensor]) -> dict[str, int]:
    """Return the sides of images that preprocessing makes, or that were asked for."""
    shapes = [step["size"] for step in request.preprocessing if "size" in step]
    chosen = next(iter(shapes), request.options.image_size)
    if chosen is None:
        return {}
    return {name: chosen[_SIDES.index(side)] for name, side in _sides(inputs).items()}


def oblong(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return sizes with widths that differ from heights.

    Example:
        >>> oblong({"height": 64, "width": 64})
        {'height': 64, 'width': 96}
    """
    return {name: size * 3 // 2 if name.endswith(WIDTH) else size for name, size in sizes.items()}


def unchosen(
    request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]
) -> dict[str, int]:
    """Return the sizes of inputs that neither an argument, nor preprocessing or samples gave."""
    if request.rows is not None:
        return {}
    named = dict.fromkeys(d for t in inputs for d in t.shape[1:] if isinstance(d, str))
    chosen = set(image_sizes(request, inputs))
    if _length(request) is not None:
        chosen |= {name for name in named if name.rpartition("_")[2] == SEQUENCE}
    return {name: sizes[name] for name in named if name not in chosen}


def check_chosen(request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
    """Refuse a length or image size that does not come true.

    Args:
        request: What was asked for.
        inputs: The model's, with named sizes.
        sizes: What the named ones are in the samples.

    Raises:
        UsageError: The model has no such size, or its samples or preprocessing have another one.
    """
    _check_length(request, sizes)
    _check_image_size(request, inputs, sizes)


def _length(request: Request) -> int | None:
    lengths = [step["length"] for step in request.preprocessing if "length" in step]
    return request.options.sequence_length or next(iter(lengths), None)


def _check_length(request: Request, sizes: Mapping[str, int]) -> None:
    wanted = request.options.sequence_length
    if wanted is None:
        return
    if SEQUENCE not in sizes:
        raise UsageError(
            f"Model '{request.name}' has no variable sequence: leave sequence_length={wanted} out."
        )
    if sizes[SEQUENCE] != wanted:
        raise UsageError(
            f"sequence_length={wanted}, but the examples of '{request.name}' have "
            f"{sizes[SEQUENCE]} steps: leave it out."
        )


def _check_image_size(request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
    wanted = request.options.image_size
    if wanted is None:
        return
    named = f"image_size={wanted[0]}x{wanted[1]}"
    sides = _sides(inputs)
    if not sides:
        raise UsageError(
            f"Model '{request.name}' takes no images of another size: leave {named} out."
        )
    found = {name: sizes[name] for name in sides}
    if any(size != wanted[_SIDES.index(sides[name])] for name, size in found.items()):
        given = ", ".join(f"{name} {size}" for name, size in found.items())
        raise UsageError(
            f"{named}, but the samples or preprocessing of '{request.name}' have {given}: "
            "leave it out."
        )


def _sides(inputs: Sequence[Tensor]) -> dict[str, str]:
    # The sides of a second image have its name before.
    named = [dim for tensor in inputs for dim in tensor.shape if isinstance(dim, str)]
    sides = {name: name.rpartition("_")[2] for name in named}
    return {name: side for name, side in sides.items() if side in _SIDES}
