"""The reference of an export: samples, what Keras gives for them, and what that can verify."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zoo_export.reading.causes import random_layers
from zoo_export.reading.inference import idle_weights, perturbed_weights
from zoo_export.reading.samples import moved_answers
from zoo_export.reading.signature import Signature
from zoo_registry import ZooError
from zoo_runtime.columns import ROUNDING, Scale
from zoo_runtime.comparing import check_finite, compare, different_answers, measured
from zoo_runtime.errors import ExportError
from zoo_runtime.saved_samples import EDGE, EXAMPLE, GIVEN, SampleBatch, is_compared
from zoo_runtime.tensors import Array, Arrays, Tensor, fits
from zoo_system.errors import plain

# As a fraction of the spread of a column: what a row's answer may move with the rows beside it.
_ROW_DEPENDENCE = 1e-3
# What makes probabilities, and layers behind it that leave the numbers as they are. Runtimes
# compute them to the last bit of 1, also those that are next to nothing: ONNX Runtime's sigmoid of
# -9, which is 1.2e-4, is off by 4e-8.
_PROBABILITIES = {"sigmoid", "softmax"}
_AS_THEY_ARE = {"Reshape", "Flatten", "Permute", "Transpose", "Squeeze", "ExpandDims", "GetItem"}
_LAST_BIT = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Sample batches, and what Keras gives for them.

    Args:
        batches: All of them.
        scales: By group and output, what Keras gives in each column.
        perturbed: What Keras gives with perturbed weights, by the index of a batch, where its own
            give one answer for all samples or some of them are not used; else none.
        perturbed_scales: Of those.
        row_dependence: How far the answer to a row moves with the rows beside it; 0 where it does
            not.
        notes: What to know about the samples, for the facts of artifacts.
    """

    batches: tuple[SampleBatch, ...]
    scales: Mapping[str, Mapping[str, Scale]]
    perturbed: Mapping[int, dict[str, Array]] = field(default_factory=dict)
    perturbed_scales: Mapping[str, Mapping[str, Scale]] = field(default_factory=dict)
    row_dependence: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[SampleBatch]:
        """Return the batches of some kinds."""
        return [batch for batch in self.batches if batch.kind in kinds]

    def for_file(self, inputs: Sequence[Tensor], *, is_scheme: bool) -> list[int]:
        """Return the indices of the batches that a file can take and is compared on."""
        return [
            at
            for at, batch in enumerate(self.batches)
            if is_compared(batch.kind, is_scheme=is_scheme) and fits(inputs, batch.inputs)
        ]


class Reference:
    """The Keras model that files are compared with, with errors that name it.

    Args:
        signature: The model's, in float64 where it computes so.
        name: Of the export.
        advice: What to do about inputs that it fails on.
    """

    def __init__(self, signature: Signature, name: str, advice: str) -> None:
        self.signature = signature
        self._name = name
        self.name = f"model '{name}'"
        self._advice = advice

    def __call__(self, case: Arrays) -> dict[str, Array]:
        """Return its answer.

        Raises:
            ExportError: It fails, or gives NaN.
        """
        try:
            outputs = self.signature.reference(case)
        except ZooError:
            raise
        except Exception as error:  # whatever the user's own layers raise
            shapes = {name: array.shape for name, array in case.items()}
            raise ExportError(
                f"Model '{self._name}' fails in Keras on inputs of shapes {shapes}: "
                f"{type(error).__name__}: {plain(str(error))}. "
                f"{_NEEDS_ONEDNN if _WITHOUT_ONEDNN.search(str(error)) else self._advice}"
            ) from error
        check_finite(outputs, f"{self.name} in Keras itself")
        return outputs

    def or_none(self, case: Arrays) -> dict[str, Array] | None:
        """Return its answer, or ``None`` where it fails or gives NaN."""
        try:
            return self(case)
        except Exception:  # not every size and mask suits every model
            return None


# TensorFlow switches oneDNN on by itself where a processor has AVX-512 with VNNI. Its other kernels
# have neither `channels_first` nor, in transposed convolutions, dilation.
_NEEDS_ONEDNN = (
    "On this processor TensorFlow computes such a layer only with oneDNN: set the environment "
    "variable TF_ENABLE_ONEDNN_OPTS=1."
)
_WITHOUT_ONEDNN = re.compile("only supports (the )?ND?HWC|dilation rates larger than 1")


def check_deterministic(reference: Reference, batch: SampleBatch) -> None:
    """Refuse a model that is not deterministic: no file could be verified against it.

    Raises:
        ExportError: Keras gives another answer to the same inputs at the next call.
    """
    again = reference.or_none(batch.inputs)
    if again is None or all(row.ok for row in compare([batch.expected], [again], _ROW_DEPENDENCE)):
        return
    layers = random_layers(reference.signature, batch.inputs)
    what = f"{', '.join(layers)} draws random numbers" if layers else "something in it is random"
    raise ExportError(
        f"{reference.name} gives another answer to the same inputs at every call in Keras: {what} "
        "outside of training too. Let it draw if training=True alone, as keras.layers.Dropout "
        "does, or give out what it draws around"
    )


@dataclass(frozen=True)
class Drawn:
    """Random rows to which Keras has an answer.

    Args:
        rows: All of them; none where Keras has no answer to any.
        answered: Batches of them and what Keras gives.
        note: What to know about those that were left out.
    """

    rows: dict[str, Array]
    answered: Sequence[tuple[dict[str, Array], dict[str, Array]]] = ()
    note: Mapping[str, Any] = field(default_factory=dict)


def drawn_in_domain(
    reference: Reference,
    draw: Callable[[bool], dict[str, Array]],
    split: Callable[[dict[str, Array]], list[dict[str, Array]]],
    *,
    needed: bool,
) -> Drawn:
    """Return random rows to which Keras has an answer, and its answers.

    Models have a domain: of logarithms and roots NaN comes out of what is negative, and a division
    of whole numbers fails at zero. Rows outside of it are left out; where no row is inside, numbers
    between 0 and 1, and whole ones from 1, are tried.

    Args:
        reference: The model.
        draw: Draws rows, positive ones if asked for.
        split: Makes batches of rows.
        needed: Whether there is nothing else to run the model on.

    Raises:
        ExportError: There is, and it has no answer to any row.
    """
    failure: ExportError | None = None
    for positive in (False, True):
        rows = draw(positive)
        note = {"drawn_left_out": {"left": 0, "positive": True}} if positive else {}
        try:
            return Drawn(rows, [(batch, reference(batch)) for batch in split(rows)], note)
        except ExportError as error:
            failure = failure or error
        kept = _answered(reference, rows)
        if kept:
            left = len(next(iter(rows.values()))) - len(kept)
            rows = {name: array[kept] for name, array in rows.items()}
            answered = [(batch, reference(batch)) for batch in split(rows)]
            return Drawn(rows, answered, {"drawn_left_out": {"left": left, "positive": positive}})
    if needed and failure is not None:
        if failure.__cause__ is not None:  # its message has what to do
            raise failure
        raise ExportError(
            f"{failure}: the inputs were drawn, from N(0, 1) and then from 0 to 1, and may be "
            "outside of what it is made for: give real ones (samples={name: array})"
        ) from failure
    return Drawn({}, note={"drawn_left_out": {"left": None, "positive": False}})


def _answered(reference: Reference, rows: Arrays) -> list[int]:
    count = len(next(iter(rows.values())))
    ones = ({name: array[at : at + 1] for name, array in rows.items()} for at in range(count))
    return [at for at, one in enumerate(ones) if reference.or_none(one) is not None]


def reference_samples(
    reference: Reference,
    outputs: Sequence[Tensor],
    signature: Signature,
    found: Sequence[SampleBatch],
    notes: Mapping[str, Any],
) -> Samples:
    """Return samples with the scales of their outputs, and what of them depends on what.

    Args:
        reference: What files are compared with.
        outputs: The model's outputs, with named sizes.
        signature: Of what is converted.
        found: The batches.
        notes: What to know about the samples.
    """
    check_deterministic(reference, found[0])
    chosen = [at for at in range(len(found)) if _is_moved(at, found, outputs)]
    after = moved_answers(reference.signature, [found[at].inputs for at in chosen])
    moved = [dict(zip(chosen, after, strict=True)).get(at) for at in range(len(found))]
    batches = tuple(
        replace(batch, unsteady=_unsteady(batch.expected, after))
        for batch, after in zip(found, moved, strict=True)
    )
    answers = {at: batch.expected for at, batch in enumerate(batches)}
    scales = scales_of(outputs, batches, answers, moved, probabilities(signature))
    return Samples(
        batches=batches,
        scales=scales,
        row_dependence=_row_dependence(reference, batches, scales),
        notes={**notes, "unrolled": _unrolled(reference, batches, scales)},
        **_perturbed(signature, outputs, batches, scales),
    )


def scales_of(
    outputs: Sequence[Tensor],
    batches: Sequence[SampleBatch],
    answers: Mapping[int, Arrays],
    moved: Sequence[Arrays | None],
    probable: Collection[str] = (),
) -> dict[str, dict[str, Scale]]:
    """Return the scales of the columns by group.

    Args:
        outputs: The model's outputs, with named sizes.
        batches: The samples.
        answers: What Keras gives for some of them.
        moved: The same with other last bits, of each batch where that is known.
        probable: Outputs of probabilities, as :func:`probabilities` finds.
    """
    found = {}
    for group, indices in _groups(batches, answers).items():
        pairs = [(answers[at], after) for at in indices if (after := moved[at]) is not None]
        found[group] = measured(outputs, [answers[at] for at in indices], pairs)
        for name in found[group].keys() & {*probable}:
            scale = found[group][name]
            rounding = np.maximum(scale.rounding, _LAST_BIT / ROUNDING)
            found[group][name] = replace(scale, rounding=rounding)
    return found


def probabilities(signature: Signature) -> list[str]:
    """Return the outputs that a sigmoid or softmax makes.

    Example:
        >>> import keras
        >>> from zoo_export.reading.signature import signature_of
        >>> x = keras.Input((2,))
        >>> tags = keras.layers.Dense(3, activation="sigmoid")(x)
        >>> model = keras.Model(x, {"tags": tags, "odds": keras.ops.exp(tags)})
        >>> probabilities(signature_of(model))
        ['tags']
    """
    return [name for name, tensor in signature.outputs.items() if _is_probability(tensor)]


def _is_probability(tensor: Any) -> bool:
    operation, _, index = tensor._keras_history
    if hasattr(operation, "outputs") and hasattr(operation, "layers"):  # a model in the model
        return _is_probability(operation.outputs[index])
    if type(operation).__name__ in _AS_THEY_ARE:
        return _is_probability(operation.input)
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    return bool({type(operation).__name__.lower(), activation} & _PROBABILITIES)


def constant_outputs(
    outputs: Sequence[Tensor],
    batches: Sequence[SampleBatch],
    answers: Mapping[int, Arrays],
    scales: Mapping[str, Mapping[str, Scale]],
) -> list[str]:
    """Return the outputs for which Keras gives one answer, whatever the inputs."""
    found = {tensor.name: True for tensor in outputs}
    for group, indices in _groups(batches, answers).items():
        for name in found:
            arrays = [answers[at][name] for at in indices if answers[at][name].size]
            if arrays:
                scale = scales[group].get(name)
                pairs = [(array, array) for array in arrays]
                found[name] &= different_answers(pairs, scale)[0] == 1
    return [name for name, is_one in found.items() if is_one]


def _groups(batches: Sequence[SampleBatch], answers: Mapping[int, Arrays]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at in answers:
        group = batches[at].group
        if group is not None:
            found.setdefault(group, []).append(at)
    return found


def _is_moved(at: int, batches: Sequence[SampleBatch], outputs: Sequence[Tensor]) -> bool:
    # Two batches of a kind show how far answers move; ties may be in any.
    has_whole = any(np.dtype(tensor.dtype).kind != "f" for tensor in outputs)
    kind = batches[at].kind
    before = sum(batch.kind == kind for batch in batches[:at])
    return has_whole or (kind not in {EXAMPLE, EDGE} and before < 2)


def _unsteady(before: Arrays, after: Arrays | None) -> dict[str, Array]:
    if after is None:
        return {}
    differ = {n: a != after[n] for n, a in before.items() if a.dtype.kind != "f"}
    return {name: ties for name, ties in differ.items() if ties.any()}


def _row_dependence(
    reference: Reference, batches: Sequence[SampleBatch], scales: Mapping[str, Mapping[str, Scale]]
) -> float:
    several = [b for b in batches if b.group and len(next(iter(b.inputs.values()))) > 1]
    if not several:
        return 0.0
    batch = several[0]
    # The first row may be what others depend on, the last one what depends on others. Where there
    # is one batch alone, a row may know its position in it.
    chosen = (0, -1) if reference.signature.batch is None else (0,)
    return max(_moves(reference, batch, at, scales[batch.group or GIVEN]) for at in chosen)


def _moves(reference: Reference, batch: SampleBatch, at: int, scales: Mapping[str, Scale]) -> float:
    """Return how far Keras' answer to a row moves where the row is alone."""
    row = slice(at, at + 1 or None)
    alone = reference.or_none({name: array[row] for name, array in batch.inputs.items()})
    if alone is None:
        return 0.0
    beside = {n: a[row] for n, a in batch.expected.items() if a.dtype.kind == "f"}
    # An answer for each other row, as that of two encoders: all of it is the others'.
    others = [a for n, a in beside.items() if alone[n].shape != a.shape]
    if others:
        return max(float(np.abs(array).max(initial=0.0)) for array in others)
    ones = {name: alone[name] for name in beside}
    rows = compare([beside], [ones], _ROW_DEPENDENCE, scales)
    return max((row.nearest_diff for row in rows if not row.ok), default=0.0)


def _unrolled(
    reference: Reference, batches: Sequence[SampleBatch], scales: Mapping[str, Mapping[str, Scale]]
) -> dict[str, Any]:
    """Return which layers answer to masked rows otherwise than their loops would, and how far off.

    Where steps run backwards, Keras' unrolled code puts the zeros of masked steps where the mask
    has them in the order of the input. The model was trained so, and files are compared with it.
    """
    layers = [
        layer
        for layer in reference.signature.model._flatten_layers()
        if getattr(layer, "go_backwards", False)
        and getattr(layer, "unroll", False)
        and getattr(layer, "zero_output_for_mask", False)
    ]
    if not layers:
        return {}
    differences = [0.0]
    try:
        for layer in layers:
            layer.unroll = False
        for batch in batches:
            looped = reference.or_none(batch.inputs) if batch.group else None
            if batch.group and looped is not None:
                rows = compare([batch.expected], [looped], _ROW_DEPENDENCE, scales[batch.group])
                differences += [row.nearest_diff for row in rows if not row.ok]
    finally:
        for layer in layers:
            layer.unroll = True
    names = [layer.name for layer in layers]
    return {"layers": names, "by": max(differences)} if max(differences) else {}


def _perturbed(
    signature: Signature,
    outputs: Sequence[Tensor],
    batches: Sequence[SampleBatch],
    scales: Mapping[str, Mapping[str, Scale]],
) -> dict[str, Any]:
    own = {at: batch.expected for at, batch in enumerate(batches)}
    silent = constant_outputs(outputs, batches, own, scales)
    if not silent and not idle_weights(signature.model):
        return {}
    tried = [at for at, batch in enumerate(batches) if batch.kind not in {EXAMPLE, EDGE}]
    answers: dict[int, dict[str, Array]] = {}
    with perturbed_weights(signature.model):
        for at in tried:
            try:
                answers[at] = signature.reference(batches[at].inputs)
                check_finite(answers[at], "the copy")
            except Exception:  # the user's own layers may not take such weights
                return {}
    found = scales_of(outputs, batches, answers, [None] * len(batches), probabilities(signature))
    still = constant_outputs(outputs, batches, answers, found)
    if silent and set(still) >= set(silent):
        return {}
    return {"perturbed": answers, "perturbed_scales": found}
