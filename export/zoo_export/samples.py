"""Inputs that a model is tried on: real examples of its run, the caller's, or drawn ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo_export.comparing import compare
from zoo_export.converters.axes import input_tensors, shorter
from zoo_export.converters.inference import named_inputs, reference
from zoo_export.tensors import BATCH, SEQUENCE, TARGET, Array, Arrays, Tensor, bind, named_sizes
from zoo_registry import UsageError

BATCHES = (1, 3)
DRAWN = 4
DEFAULT_SEQUENCE = 128
DEFAULT_SIDE = 64
# Whole numbers that count nothing the model has a table of.
_WHOLE = 100
# Of the largest output: as far as Keras' answer may move with the last bit of its inputs. A file,
# which rounds otherwise at every step, then stays within ten times that.
_STEADY = 1e-6
# What layers call the number of rows of a table that they look whole numbers up in.
_TABLES = ("input_dim", "vocabulary_size", "vocab_size", "num_tokens")
# What layers call the number of positions that they can tell apart.
_LENGTH_LIMITS = ("max_length", "max_sequence_length", "sequence_length", "max_len")


def sample_cases(rows: Arrays, batch_sizes: Sequence[int] = ()) -> list[dict[str, Array]]:
    """Return batches of 1 and 3 rows.

    Args:
        rows: Any number of rows by input name; they are repeated if there are too few.
        batch_sizes: Other batches to have, before these.
    """
    count = len(next(iter(rows.values())))
    cases = []
    start = 0
    for batch in dict.fromkeys((*batch_sizes, *BATCHES)):
        chosen = [(start + i) % count for i in range(batch)]
        cases.append({name: array[chosen] for name, array in rows.items()})
        start += batch
    return cases


def edge_cases(
    model: Any, tensors: Sequence[Tensor], rows: Arrays, *, seed: int = 0
) -> dict[str, tuple[dict[str, Array], dict[str, Array]] | None]:
    """Return single rows at the edges of what a model may be given, each with what Keras gives.

    One is zero wherever the model takes numbers, one a hundred times as large as usual but for
    pixels, one has whole numbers of both signs wherever they index no table. There is ``None``
    in place of a row where Keras fails or gives NaN, and where Keras' own answer hangs on the last
    bit of the inputs: no file could be told right from wrong by it.

    Args:
        model: The Keras model.
        tensors: Its inputs, with named sizes.
        rows: Drawn rows by input name.
        seed: Seed of the whole numbers.
    """
    generator = np.random.default_rng(seed)
    first = {name: array[:1] for name, array in rows.items()}
    zeros: dict[str, Array] = {}
    large: dict[str, Array] = {}
    whole: dict[str, Array] = {}
    kinds = {"zeros": zeros, "large numbers": large, "whole numbers": whole}
    for tensor in tensors:
        name, array = tensor.name, first[tensor.name]
        layers = _consumers(model, named_inputs(model)[name])
        if "mask" in name:
            continue
        if array.dtype.kind == "f":
            zeros[name] = np.zeros_like(array)
            if not _are_pixels(layers):
                large[name] = array * 100
        elif array.dtype.kind == "i" and _vocabulary(layers) is None:
            drawn = generator.integers(-_WHOLE, _WHOLE, array.shape, endpoint=True)
            whole[name] = drawn.astype(array.dtype)
    cases = {kind: {**first, **changed} for kind, changed in kinds.items() if changed}
    answers = {kind: _steady_answer(model, case, generator) for kind, case in cases.items()}
    return {
        kind: (cases[kind], outputs) if outputs is not None else None
        for kind, outputs in answers.items()
    }


def _steady_answer(
    model: Any, case: Arrays, generator: np.random.Generator
) -> dict[str, Array] | None:
    near = {name: _in_last_bit(generator, array) for name, array in case.items()}
    try:
        outputs = reference(model, case)
        compared = compare([outputs], [reference(model, near)], _STEADY)
    except Exception:  # whatever the user's own layers raise on what they were not made for
        return None
    return outputs if all(row.ok for row in compared) else None


def _in_last_bit(generator: np.random.Generator, array: Array) -> Array:
    if array.dtype.kind != "f":
        return array
    last = np.finfo(array.dtype).eps * generator.choice([-1, 1], array.shape)
    changed: Array = array * (1 + last).astype(array.dtype)
    return changed


def other_sizes(tensors: Sequence[Tensor], case: Arrays) -> dict[str, Array] | None:
    """Return two rows in which every size that may vary is smaller, and none is like another.

    None where no size may vary, or can be smaller.

    Args:
        tensors: The inputs, with named sizes.
        case: Rows in other sizes.
    """
    sizes = named_sizes(tensors, case)
    sizes.pop(BATCH, None)
    chosen: dict[str, int] = {}
    for name, size in sizes.items():
        free = (other for other in shorter(size) if other not in chosen.values())
        chosen[name] = next(free, size)
    if chosen == sizes:
        return None
    cut = {}
    for tensor in tensors:
        array = case[tensor.name][:2]
        for axis, dim in enumerate(tensor.fixed(chosen).shape[1:], 1):
            array = np.take(array, range(int(dim)), axis=axis)
        cut[tensor.name] = array
    return cut


def given_rows(tensors: Sequence[Tensor], samples: Mapping[str, Any]) -> dict[str, Array]:
    """Return the caller's sample inputs, checked.

    Raises:
        UsageError: Arrays that are not what the model takes.
    """
    rows = bind(tensors, samples)
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in rows.values()):
        raise UsageError("The samples hold NaN or infinite values.")
    return rows


def drawn_rows(
    model: Any,
    tensors: Sequence[Tensor],
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
    count: int = DRAWN,
) -> dict[str, Array]:
    """Draw rows of inputs that the model can take.

    Token numbers stay below the size of the embedding they enter, images that are rescaled
    inside the graph, and unsigned numbers, are drawn in 0..255, masks have rows that are padded at
    the end.

    Args:
        model: The Keras model.
        tensors: Its inputs, with named sizes.
        sizes: Numbers for the named sizes.
        seed: Seed of the draw.
        count: Number of rows.
    """
    generator = np.random.default_rng(seed)
    symbolic = named_inputs(model)
    rows = {}
    for tensor in tensors:
        shape = tensor.fixed({**sizes, BATCH: count}).shape
        layers = _consumers(model, symbolic[tensor.name])
        rows[tensor.name] = _draw(generator, tensor, [int(size) for size in shape], layers)
    return rows


def drawn_for(model: Any, *, seed: int = 0) -> dict[str, Array]:
    """Draw four rows for a model that nothing else is known about."""
    tensors = input_tensors(model)
    return drawn_rows(model, tensors, default_sizes(model, tensors), seed=seed)


def default_sizes(
    model: Any, tensors: Sequence[Tensor], length: int | None = None
) -> dict[str, int]:
    """Return numbers for the named sizes of a model that nothing else is known about.

    Args:
        model: The Keras model.
        tensors: Its inputs, with named sizes.
        length: The sequence length, if it is known.
    """
    names = {dim for tensor in tensors for dim in tensor.shape if isinstance(dim, str)} - {BATCH}
    longest = min([DEFAULT_SEQUENCE, *_position_limits(model)])
    lengths = {SEQUENCE: length or longest, TARGET: longest}
    # The second sequence of its kind has the name of its input before.
    return {name: lengths.get(name.rpartition("_")[2], DEFAULT_SIDE) for name in names}


def _position_limits(model: Any) -> list[int]:
    configs = [_arguments(layer) for layer in model._flatten_layers(include_self=False)]
    found = [config.get(key) for config in configs for key in _LENGTH_LIMITS]
    return [value for value in found if isinstance(value, int) and value > 0]


def _draw(
    generator: np.random.Generator, tensor: Tensor, shape: list[int], layers: list[Any]
) -> Array:
    if "mask" in tensor.name:
        return _padded_tail(shape).astype(tensor.dtype)
    kind = np.dtype(tensor.dtype).kind
    if kind == "b":
        return generator.random(shape) < 0.5
    if kind in "iu":
        size = _vocabulary(layers) or (2 if kind == "i" else 256)
        return generator.integers(0, size, shape).astype(tensor.dtype)
    if _are_pixels(layers):
        return generator.uniform(0, 255, shape).astype(tensor.dtype)
    return generator.standard_normal(shape).astype(tensor.dtype)


def _are_pixels(layers: Sequence[Any]) -> bool:
    parts = [part for layer in layers for part in layer._flatten_layers()]
    return any(type(part).__name__ == "Rescaling" for part in parts)


def _padded_tail(shape: list[int]) -> Array:
    # Full, half, a quarter, and so on; at least one position is real.
    batch, length = shape[0], shape[-1]
    real = np.maximum(1, length >> np.arange(batch)).reshape([batch] + [1] * (len(shape) - 1))
    return np.broadcast_to(np.arange(length) < real, shape)


def _vocabulary(layers: Sequence[Any]) -> int | None:
    sizes = []
    for layer in layers:
        for part in layer._flatten_layers():
            config = _arguments(part)
            sizes += [config.get(key) for key in _TABLES]
    known = [size for size in sizes if isinstance(size, int) and size > 0]
    return min(known, default=None)


def _arguments(layer: Any) -> dict[str, Any]:
    try:
        arguments: dict[str, Any] = layer.get_config()
    except Exception:  # it lies in a layer that makes it anew: Keras never asks it
        return {}
    return arguments


def _consumers(model: Any, tensor: Any) -> list[Any]:
    """Return the layers that take an input directly, also inside nested models."""
    found = []
    for layer in model._flatten_layers(include_self=False, recursive=False):
        for node in layer._inbound_nodes:
            if any(taken is tensor for taken in node.arguments.keras_tensors):
                found.append(layer)
    return found
