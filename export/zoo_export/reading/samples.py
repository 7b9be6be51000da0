"""Samples to run a model on: random ones, the caller's, masked ones, and edge cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from zoo_export.reading.axes import input_tensors, shorter
from zoo_export.reading.inference import bits_moved, in_last_bit
from zoo_export.reading.signature import Signature, signature_of, tensor_specs
from zoo_registry import UsageError
from zoo_runtime.comparing import compare
from zoo_runtime.tensors import BATCH, SEQUENCE, TARGET, Array, Arrays, Tensor, bind, named_sizes

BATCHES = (1, 3)
DRAWN = 4
# Of models with fewer parameters, so many more, which cost nothing and show more of each column.
_MORE, _SMALL = 4, 10_000_000
# How rows are masked.
_MASKED = ("head", "middle", "tail", "all but one step")
DEFAULT_SEQUENCE = 128
DEFAULT_SIDE = 64
# Integers that index no table of the model.
_WHOLE = 100
# Of the largest output: as far as Keras' answer may move with the last bit of its inputs. A file,
# which rounds otherwise at every step, then stays within ten times that.
_STEADY = 1e-6
# Of images, at most.
_CHANNELS = 4
# Operators of TensorFlow that detect NaN; the second ones between a value and itself.
_ASKS_NAN, _COMPARES = {"IsNan", "IsFinite"}, {"Equal", "NotEqual"}
_FEW_INPUTS = 4
# What layers call the number of rows of a table that they look integers up in.
_TABLES = ("input_dim", "vocabulary_size", "vocab_size", "num_tokens")
# What layers call the number of positions that they can distinguish.
_LENGTH_LIMITS = ("max_length", "max_sequence_length", "sequence_length", "max_len")


def draws_for(signature: Signature) -> int:
    """Return how many rows to draw for a model."""
    return DRAWN + (_MORE if signature.model.count_params() < _SMALL else 0)


def sample_batches(rows: Arrays, batch_sizes: Sequence[int] = ()) -> list[dict[str, Array]]:
    """Return batches of 1 and 3 rows, and of those drawn beyond them.

    Args:
        rows: Any number of rows by input name; they are repeated if there are too few.
        batch_sizes: Other batches to have, before these.
    """
    count = len(next(iter(rows.values())))
    made = []
    start = 0
    for batch in dict.fromkeys((*batch_sizes, *BATCHES)):
        chosen = [(start + i) % count for i in range(batch)]
        made.append({name: array[chosen] for name, array in rows.items()})
        start += batch
    if start < count <= DRAWN + _MORE:
        made.append({name: array[start:] for name, array in rows.items()})
    return made


def masked_rows(
    signature: Signature, tensors: Sequence[Tensor], rows: Arrays
) -> dict[str, Array] | None:
    """Return rows whose head, middle or tail is masked, and one with a single step left.

    Steps of a ``Masking`` layer's input get its mask value, tokens become 0 and masks say so.
    ``None`` where there are no steps.

    Args:
        signature: The model's.
        tensors: Its inputs, with named sizes.
        rows: Any rows by input name.
    """
    cut: dict[str, Array] = {}
    for tensor in tensors:
        value = _mask_value(signature, tensor)
        array = rows[tensor.name]
        if value is None or array.shape[1] < 2:
            continue
        chosen = array[np.arange(len(_MASKED)) % len(array)].copy()
        if "mask" in tensor.name:  # what is masked follows from the row alone
            chosen = np.ones_like(chosen)
        for row, hidden in enumerate(_hidden(array.shape[1])):
            chosen[row][hidden] = value
        cut[tensor.name] = chosen
    if not cut:
        return None
    others = {n: a[np.arange(len(_MASKED)) % len(a)] for n, a in rows.items() if n not in cut}
    return {tensor.name: {**others, **cut}[tensor.name] for tensor in tensors}


def _hidden(length: int) -> list[Array]:
    at, half, quarter = np.arange(length), max(1, length // 2), max(1, length // 4)
    middle = (at >= quarter) & (at < max(quarter + 1, length - quarter))
    return [at < half, middle, at >= length - half, at != half]


def _mask_value(signature: Signature, tensor: Tensor) -> float | None:
    """Return what stands for a masked step of an input; ``None`` where it has no steps."""
    rank, kind = len(tensor.shape), np.dtype(tensor.dtype).kind
    if "mask" in tensor.name:
        return 0 if rank == 2 else None
    layers = signature.consumers(tensor.name)
    masking = [part for part in _parts(layers) if type(part).__name__ == "Masking"]
    if masking:
        return float(np.asarray(masking[0].mask_value))
    if kind in "iu" and rank == 2 and _vocabulary(layers) is not None:
        return 0
    return 0 if kind == "f" and rank == 3 else None


def edge_cases(
    signature: Signature,
    tensors: Sequence[Tensor],
    rows: Arrays,
    *,
    nan_inputs: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, tuple[dict[str, Array], dict[str, Array]] | None]:
    """Return edge cases: single rows at the limits of the inputs, with what Keras gives.

    One is zero wherever the model takes numbers, one a hundred times as large as usual but for
    pixels, one has integers of both signs wherever they index no table, one has no step that
    is not masked, and one is NaN in each input that may be. There is ``None`` in place of a row
    where Keras fails or gives NaN, and where Keras' own answer depends on the last bit of the
    inputs: no file could be verified with it.

    Args:
        signature: The model's.
        tensors: Its inputs, with named sizes.
        rows: Drawn rows by input name.
        nan_inputs: Inputs in which Keras itself has an answer to NaN, as :func:`takes_nan` finds.
        seed: Seed of the integers.
    """
    generator = np.random.default_rng(seed)
    first = {name: array[:1] for name, array in rows.items()}
    zeros: dict[str, Array] = {}
    large: dict[str, Array] = {}
    whole: dict[str, Array] = {}
    empty: dict[str, Array] = {}
    kinds = {
        "zeros": zeros,
        "large numbers": large,
        "whole numbers": whole,
        "rows that are all masked": empty,
    }
    for tensor in tensors:
        name, array = tensor.name, first[tensor.name]
        layers = signature.consumers(name)
        if _masks(tensor, layers):
            empty[name] = np.full_like(array, _mask_value(signature, tensor) or 0)
        if "mask" in name:
            continue
        if array.dtype.kind == "f":
            zeros[name] = np.zeros_like(array)
            if not _are_pixels(layers):
                large[name] = array * 100
        elif array.dtype.kind == "i" and _vocabulary(layers) is None:
            drawn = generator.integers(-_WHOLE, _WHOLE, array.shape, endpoint=True)
            whole[name] = drawn.astype(array.dtype)
    samples = {kind: {**first, **changed} for kind, changed in kinds.items() if changed}
    answers = {
        kind: _steady_answer(signature, sample, generator) for kind, sample in samples.items()
    }
    for name in nan_inputs:
        kind = f"NaN in '{name}'"
        samples[kind] = {**first, name: np.full_like(first[name], np.nan)}
        answers[kind] = signature.reference(samples[kind])
    return {
        kind: (samples[kind], outputs) if outputs is not None else None
        for kind, outputs in answers.items()
    }


def takes_nan(signature: Signature, tensors: Sequence[Tensor], rows: Arrays) -> list[str]:
    """Return the inputs in which Keras itself has an answer to NaN, one number of it or all.

    Args:
        signature: The model's.
        tensors: Its inputs, with named sizes.
        rows: Any rows by input name.
    """
    first = {name: array[:1] for name, array in rows.items()}
    floats = [t.name for t in tensors if np.dtype(t.dtype).kind == "f" and "mask" not in t.name]
    looks = cache(lambda: _looks_for_nan(signature, tensors))
    # Of many inputs, all the calls take longer than to look at the graph.
    if len(floats) > _FEW_INPUTS and not looks():
        return []
    answered = [name for name in floats if _has_answer_to_nan(signature, first, name)]
    return answered if answered and looks() else []


def _looks_for_nan(signature: Signature, tensors: Sequence[Tensor]) -> bool:
    """Return whether something in a model asks whether a number is one.

    Without it an answer is an accident: a maximum of NaN is the smallest number in TensorFlow.
    """
    import tensorflow as tf

    def serve(**arrays: Any) -> dict[str, Any]:
        return signature.call(arrays)

    concrete = tf.function(serve, autograph=False).get_concrete_function(**tensor_specs(tensors))
    graph = concrete.graph.as_graph_def()
    functions = [function.node_def for function in graph.library.function]
    return any(
        node.op in _ASKS_NAN or (node.op in _COMPARES and len({*node.input[:2]}) == 1)
        for nodes in (graph.node, *functions)
        for node in nodes
    )


def _has_answer_to_nan(signature: Signature, first: Arrays, name: str) -> bool:
    one = first[name].copy()
    one.reshape(-1)[one.size // 2] = np.nan
    for array in (np.full_like(one, np.nan), one):
        try:
            outputs = signature.reference({**first, name: array})
        except Exception:  # whatever the user's own layers raise
            return False
        floats = [value for value in outputs.values() if value.dtype.kind == "f"]
        if not floats or any(not np.isfinite(value).all() for value in floats):
            return False
    return True


def _masks(tensor: Tensor, layers: Sequence[Any]) -> bool:
    if "mask" in tensor.name:
        return len(tensor.shape) == 2
    parts = _parts(layers)
    return any(type(p).__name__ == "Masking" or getattr(p, "mask_zero", False) for p in parts)


def _steady_answer(
    signature: Signature, case: Arrays, generator: np.random.Generator
) -> dict[str, Array] | None:
    near = {name: in_last_bit(generator, array) for name, array in case.items()}
    try:
        outputs = signature.reference(case)
        compared = compare([outputs], [signature.reference(near)], _STEADY)
    except Exception:  # whatever the user's own layers raise on what they were not made for
        return None
    return outputs if all(row.ok for row in compared) else None


def moved_answers(
    signature: Signature, cases: Sequence[Arrays], *, seed: int = 0
) -> list[dict[str, Array] | None]:
    """Return what Keras gives for cases where the last bit of all weights and inputs is another.

    A right file rounds otherwise at every step, and moves as far. ``None`` where Keras fails.
    """
    generator = np.random.default_rng(seed)
    found: list[dict[str, Array] | None] = []
    with bits_moved(signature.model, generator):
        for case in cases:
            near = {name: in_last_bit(generator, array) for name, array in case.items()}
            try:
                found.append(signature.reference(near))
            except Exception:  # whatever the user's own layers raise
                found.append(None)
    return found


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
    signature: Signature,
    tensors: Sequence[Tensor],
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
    count: int = DRAWN,
    positive: bool = False,
) -> dict[str, Array]:
    """Draw rows of inputs that the model can take.

    Token ids stay below the size of the embedding they enter, images that are rescaled
    inside the graph, and unsigned numbers, are drawn in 0..255, masks have rows that are padded at
    the end.

    Args:
        signature: The model's.
        tensors: Its inputs, with named sizes.
        sizes: Values of the named sizes.
        seed: Seed of the draw.
        count: Number of rows.
        positive: Whether floats are drawn between 0 and 1, and integers from 1.
    """
    generator = np.random.default_rng(seed)
    rows = {}
    for tensor in tensors:
        shape = tensor.fixed({**sizes, BATCH: count}).shape
        layers = signature.consumers(tensor.name)
        array = _draw(generator, tensor, [int(size) for size in shape], layers)
        is_moved = positive and "mask" not in tensor.name
        rows[tensor.name] = _positive(array) if is_moved else array
    return rows


def _positive(array: Array) -> Array:
    if array.dtype.kind in "iu":
        return np.maximum(array, 1)
    fractions = 0.02 + 0.96 / (1 + np.exp(-np.clip(array, -50, 50)))
    return np.asarray(fractions, array.dtype) if array.dtype.kind == "f" else array


def drawn_for(model: Any, *, seed: int = 0) -> dict[str, Array]:
    """Draw four rows for a model that nothing else is known about."""
    signature = signature_of(model)
    tensors = input_tensors(signature)
    return drawn_rows(signature, tensors, default_sizes(signature, tensors), seed=seed)


def default_sizes(
    signature: Signature, tensors: Sequence[Tensor], length: int | None = None
) -> dict[str, int]:
    """Return values of the named sizes of a model that nothing else is known about.

    Args:
        signature: The model's.
        tensors: Its inputs, with named sizes.
        length: The sequence length, if it is known.
    """
    names = {dim for tensor in tensors for dim in tensor.shape if isinstance(dim, str)} - {BATCH}
    longest = min([DEFAULT_SEQUENCE, *_position_limits(signature.model)])
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
    is_image = len(shape) == 4 and shape[-1] <= _CHANNELS
    values = _images(generator, shape) if is_image else generator.standard_normal(shape)
    if _are_pixels(layers):
        values = (
            np.clip(values * 50 + 128, 0, 255) if is_image else generator.uniform(0, 255, shape)
        )
    return values.astype(tensor.dtype)


def _images(generator: np.random.Generator, shape: list[int]) -> Array:
    """Return noise with tones, patches and contrasts: to a network, plain noise is all alike."""
    batch, height, width, channels = shape
    patches = generator.standard_normal((batch, 4, 4, channels))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    contrast = generator.uniform(0.2, 1, (batch, 1, 1, 1))
    tone = generator.standard_normal((batch, 1, 1, channels))
    fine = generator.standard_normal(shape)
    return contrast * (fine + patches[:, rows][:, :, columns]) + 0.7 * tone


def _parts(layers: Sequence[Any]) -> list[Any]:
    return [part for layer in layers for part in layer._flatten_layers()]


def _are_pixels(layers: Sequence[Any]) -> bool:
    return any(type(part).__name__ == "Rescaling" for part in _parts(layers))


def _padded_tail(shape: list[int]) -> Array:
    # Full, half, a quarter, and so on; at least one position is real.
    batch, length = shape[0], shape[-1]
    real = np.maximum(1, length >> np.arange(batch)).reshape([batch] + [1] * (len(shape) - 1))
    return np.broadcast_to(np.arange(length) < real, shape)


def _vocabulary(layers: Sequence[Any]) -> int | None:
    sizes = []
    for part in _parts(layers):
        config = _arguments(part)
        sizes += [config.get(key) for key in _TABLES]
    known = [size for size in sizes if isinstance(size, int) and size > 0]
    return min(known, default=None)


def _arguments(layer: Any) -> dict[str, Any]:
    try:
        arguments: dict[str, Any] = layer.get_config()
    except Exception:  # it lies in a layer that rebuilds it: Keras never asks it
        return {}
    return arguments
