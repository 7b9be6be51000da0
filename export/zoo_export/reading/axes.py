"""Dynamic axes: names for the sizes that are known only when data arrive, and which are equal."""

from __future__ import annotations

import gc
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from zoo_export.reading.signature import Signature
from zoo_registry import UsageError
from zoo_runtime.tensors import BATCH, SEQUENCE, TARGET, Arrays, Tensor
from zoo_system.quiet import quiet_logger

HEIGHT, WIDTH = "height", "width"
_AXES = {4: {1: HEIGHT, 2: WIDTH}, 5: {1: "depth", 2: HEIGHT, 3: WIDTH}}
_NUMERIC = "biuf"
# Models halve images, and some texts, up to five times and take only what can be halved.
_HALVED = 32
# The ids, mask and segments of one text: no more inputs are tried together.
_TOGETHER = 3

# Of an input, by its name, a dimension.
_Axis = tuple[str, int]


def input_tensors(signature: Signature) -> tuple[Tensor, ...]:
    """Return the inputs with their unknown sizes named as is usual for their ranks and names.

    Raises:
        UsageError: An input that is not an array of numbers.
    """
    model = signature.model.name
    for name, tensor in signature.inputs.items():
        if tensor.dtype == "bfloat16" or tensor.dtype.startswith("float8"):
            raise UsageError(
                f"Input '{name}' of model '{model}' is of dtype {tensor.dtype}, which no "
                "runtime takes: build the model on keras.Input(..., dtype='float32')."
            )
        if tensor.dtype == "string" or np.dtype(tensor.dtype).kind not in _NUMERIC:
            raise UsageError(
                f"Input '{name}' of model '{model}' is of dtype {tensor.dtype}: do in "
                "preprocessing what turns it into numbers."
            )
    return tuple(
        Tensor(name, tensor.dtype, _usual_names(name, tensor.shape))
        for name, tensor in signature.inputs.items()
    )


def unrelated(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return inputs with a name of its own for every unknown size but the batch.

    Example:
        >>> [str(t) for t in unrelated([Tensor("ids", "int32", ("batch", "sequence"))])]
        ['ids: int32[batch, ids_1]']
    """
    return _renamed(tensors, {axis: f"{axis[0]}_{axis[1]}" for axis in _unknown(tensors)})


def related(signature: Signature, tensors: Sequence[Tensor], rows: Arrays) -> tuple[Tensor, ...]:
    """Return inputs in which sizes have one name if they must be equal, and else their own.

    Keras finds out: it runs the model on sizes that differ. So a text and its mask share a
    length, a question and its context do not, whatever they are called.

    Args:
        signature: The model's.
        tensors: Its inputs as :func:`input_tensors` names them; the names are kept where they
            can be, and all of them if Keras cannot run even ``rows``.
        rows: A row, or more, that it can take.
    """
    usual = _unknown(tensors)
    axes = list(usual)
    first = {tensor.name: rows[tensor.name][: _batch(tensor)] for tensor in tensors}
    # One step less than three would be one, which goes with any size.
    is_short = any(first[name].shape[axis] < 3 for name, axis in axes)
    found: list[Sequence[_Axis]]
    if len(axes) < 2 or not _runs(signature, first):
        return tuple(tensors)
    if is_short:
        found = [[axis for axis in axes if usual[axis] == name] for name in {*usual.values()}]
    else:
        with _quiet():
            found = _groups(axes, _freedom(signature, axes, first))
    # Whatever Keras makes of other sizes: what differs here is not one size.
    groups = [part for group in found for part in _by_size(group, first)]
    names: dict[_Axis, str] = {}
    for group in sorted(groups, key=lambda group: axes.index(group[0])):
        name = usual[group[0]]
        taken = name in names.values()
        names |= dict.fromkeys(group, f"{group[0][0]}_{name}" if taken else name)
    return _renamed(tensors, names)


def _by_size(axes: Sequence[_Axis], rows: Arrays) -> list[list[_Axis]]:
    parts: dict[int, list[_Axis]] = {}
    for name, axis in axes:
        parts.setdefault(rows[name].shape[axis], []).append((name, axis))
    return list(parts.values())


def shorter(size: int) -> range:
    """Return smaller sizes, largest first, that a model which takes ``size`` is likely to take.

    Example:
        >>> list(shorter(128)), list(shorter(32)), list(shorter(9))
        ([96, 64, 32], [16], [8, 7, 6, 5, 4, 3, 2])
    """
    step = _step(size)
    return range(size - step, 1, -step)


def check_outputs(signature: Signature, rows: Arrays) -> None:
    """Refuse outputs that no bundle can hold.

    Keras' shape of an output may say 1 for a batch that varies, as for the sum of a table and the
    inputs: a run on three rows decides.

    Args:
        signature: The model's.
        rows: A row, or more, that it can take.

    Raises:
        UsageError: Outputs without names of their own, without a row for each row of inputs, or
            without a value.
    """
    model = signature.model.name
    kept = _keep_rows(signature, rows) if signature.varies else {}
    for name, tensor in signature.outputs.items():
        if not tensor.shape or not kept.get(name, True):
            raise UsageError(
                f"Output '{name}' of model '{model}' has no batch axis, its shape is "
                f"{list(tensor.shape)}: keep a row for each row of the inputs, as "
                "keras.ops.sum(x, axis=-1) does, or leave this output out."
            )
        if 0 in tensor.shape:
            raise UsageError(
                f"Output '{name}' of model '{model}' holds no values, its shape is "
                f"{list(tensor.shape)}: leave it out."
            )


def _keep_rows(signature: Signature, rows: Arrays) -> dict[str, bool]:
    """Return which of the outputs whose first size is a number have a row for each of inputs."""
    unsure = [
        name
        for name, tensor in signature.outputs.items()
        if tensor.shape and tensor.shape[0] is not None
    ]
    if not unsure:
        return {}
    three = {name: np.take(array, range(3), axis=0, mode="wrap") for name, array in rows.items()}
    try:
        given = signature.reference(three)
    except Exception:  # whatever a layer raises: it takes one row alone
        return dict.fromkeys(unsure, False)
    return {name: given[name].shape[:1] == (3,) for name in unsure}


def output_tensors(
    signature: Signature, runs: Sequence[tuple[Mapping[str, int], Arrays]]
) -> tuple[Tensor, ...]:
    """Return the outputs with their unknown sizes named, as runs of the model showed them.

    Args:
        signature: The model's.
        runs: The named sizes of some inputs and the outputs they gave.

    Raises:
        UsageError: An output that is not an array of numbers, has no row for each row of the
            inputs, or whose number of axes depends on the batch.
    """
    found = []
    varies = signature.varies
    for name, symbolic in signature.outputs.items():
        array = runs[0][1][name]
        _check_numbers(name, array.dtype)
        if varies:
            _check_rows(name, runs)
        shape = tuple(
            size if size is not None else _size_of(name, axis, runs)
            for axis, size in enumerate(_known_sizes(symbolic.shape, name, runs, varies=varies))
        )
        found.append(Tensor(name, str(array.dtype), shape))
    return tuple(found)


def _check_numbers(output: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind in _NUMERIC and dtype.name != "bfloat16":
        return
    kind = "text" if dtype.kind in "OSU" else dtype.name
    raise UsageError(
        f"Output '{output}' is of dtype {kind}, which not every runtime gives: cast it "
        "(keras.ops.cast(x, 'float32'), of complex numbers each of keras.ops.real(x) and "
        "keras.ops.imag(x)), or leave it out."
    )


def _check_rows(output: str, runs: Sequence[tuple[Mapping[str, int], Arrays]]) -> None:
    batches = {sizes.get(BATCH) for sizes, _ in runs}
    shapes = [arrays[output].shape for _, arrays in runs]
    if len(batches) > 1 and len({shape[:1] for shape in shapes}) == 1:
        raise UsageError(
            f"Output '{output}' has no batch axis, its shape is {list(shapes[0])} for any batch: "
            "keep a row for each row of the inputs, as keras.ops.sum(x, axis=-1) does, or leave "
            "this output out."
        )


def _known_sizes(
    shape: Sequence[int | None],
    output: str,
    runs: Sequence[tuple[Mapping[str, int], Arrays]],
    *,
    varies: bool,
) -> list[int | None]:
    """Return the sizes that Keras infers and that its runs confirm: some layers infer others."""
    shapes = [arrays[output].shape for _, arrays in runs]
    if len({len(found) for found in shapes}) > 1:
        few, *_, many = sorted(map(list, shapes), key=len)
        raise UsageError(
            f"Output '{output}' has as many axes as its batch asks for, here {few} and {many}: "
            "keep each of them, as keras.ops.squeeze(x, axis=1) does and keras.ops.squeeze(x) "
            "does not, or leave this output out."
        )
    if any(len(found) != len(shape) for found in shapes):
        return [None] * len(shapes[0])
    confirmed = [
        size if all(found[axis] == size for found in shapes) else None
        for axis, size in enumerate(shape)
    ]
    # Keras' shape may say 1 for a batch that varies: see check_outputs. Where it is fixed, runs of
    # other numbers of rows are put together from several.
    return [None if varies else shape[0], *confirmed[1:]]


def _size_of(output: str, axis: int, runs: Sequence[tuple[Mapping[str, int], Arrays]]) -> int | str:
    shown = {arrays[output].shape[axis] for _, arrays in runs}
    varied = [name for name in runs[0][0] if len({sizes[name] for sizes, _ in runs}) > 1]
    if axis > 0 and len(shown) == 1 and set(runs[0][0]) == set(varied):
        return int(shown.pop())  # Keras leaves it open, and nothing changes it
    for size in runs[0][0]:
        if (size == BATCH) == (axis == 0) and all(
            arrays[output].shape[axis] == sizes[size] for sizes, arrays in runs
        ):
            return size
    return f"{output}_{axis}"


def _usual_names(name: str, shape: Sequence[int | None]) -> tuple[int | str, ...]:
    def axis_name(axis: int) -> str:
        if axis == 0:
            return BATCH
        spatial = _AXES.get(len(shape), {}).get(axis)
        steps = TARGET if name.startswith("decoder_") else SEQUENCE
        return spatial or (steps if axis == 1 else f"{name}_{axis}")

    return tuple(axis_name(i) if size is None else size for i, size in enumerate(shape))


def _unknown(tensors: Sequence[Tensor]) -> dict[_Axis, str]:
    return {
        (tensor.name, axis): dim
        for tensor in tensors
        for axis, dim in enumerate(tensor.shape)
        if axis > 0 and isinstance(dim, str)
    }


def _renamed(tensors: Sequence[Tensor], names: Mapping[_Axis, str]) -> tuple[Tensor, ...]:
    return tuple(
        replace(t, shape=tuple(names.get((t.name, i), dim) for i, dim in enumerate(t.shape)))
        for t in tensors
    )


def _batch(tensor: Tensor) -> int:
    size = tensor.shape[0]
    return size if isinstance(size, int) else 1


def _freedom(
    signature: Signature, axes: Sequence[_Axis], rows: Arrays
) -> Callable[[Sequence[_Axis]], bool]:
    def is_free(part: Sequence[_Axis]) -> bool:
        rest = [axis for axis in axes if axis not in part]
        # Both: what is longer than a loop over it is silently cut.
        return any(
            all(_runs(signature, _resized(rows, moved, sign)) for moved in (part, rest))
            for sign in (-1, 1)
        )

    return is_free


def _groups(
    axes: Sequence[_Axis], is_free: Callable[[Sequence[_Axis]], bool], least: int = 1
) -> list[Sequence[_Axis]]:
    # The smallest first: a part that can change alone has then no smaller such part. If one of
    # more than half could, so could the rest of them.
    for size in range(least, min(len(axes) // 2, _TOGETHER) + 1):
        for part in itertools.combinations(axes, size):
            if is_free(part):
                rest = [axis for axis in axes if axis not in part]
                return [part, *_groups(rest, is_free, size)]
    return [axes]


def _resized(arrays: Arrays, axes: Sequence[_Axis], sign: int) -> dict[str, Any]:
    resized = dict(arrays)
    for name, axis in axes:
        size = arrays[name].shape[axis]
        positions = np.arange(size + sign * _step(size))
        resized[name] = np.take(resized[name], positions, axis=axis, mode="wrap")
    return resized


def _step(size: int) -> int:
    step = math.gcd(size, _HALVED)
    return step if step < size else max(1, size // 2)


def _runs(signature: Signature, arrays: Arrays) -> bool:
    try:
        signature.reference(arrays)
    except Exception:  # whatever a layer raises on sizes that do not fit together
        return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    # TensorFlow logs what a failed call left unused, when that is collected.
    with quiet_logger("tensorflow", logging.CRITICAL):
        try:
            yield
        finally:
            gc.collect()
