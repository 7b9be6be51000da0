"""Functions with a cache against the whole model in the same file, whose values are verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from zoo_runtime.errors import ExportError
from zoo_runtime.generation.files import LOGITS, Generation
from zoo_runtime.generation.search import Decoder
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.verification import Comparison

# Rows of each sample batch, and tokens of each that are read one by one.
_ROWS, _STEPS = 3, 6
# Sample batches: beyond, nothing new is seen.
_BATCHES = 3
# Of float32 files: sums are added up in another order, in every layer.
_FLOAT, _SLACK = 1e-4, 10.0
# Of the others: both ways multiply by the same integers, and only round what they multiply.
_ROUNDED = 0.1


def compare_cached(
    decoders: Callable[[Arrays | None], Decoder],
    generation: Generation,
    samples: Sequence[Arrays],
    whole: Callable[[Arrays], Array],
    tolerance: float,
) -> list[Comparison]:
    """Read samples with a cache: most of each text at once, the rest token by token.

    Args:
        decoders: What makes a decoder for a source.
        generation: What is said of the file.
        samples: Inputs of the whole model; texts with padding anywhere but behind are left out.
        whole: Returns the logits of the whole model in the same file for a sample batch, float
            (rows, tokens, vocab_size).
        tolerance: Allowed difference as a fraction of the largest logit.

    Returns:
        A comparison for each sample batch that has a text, of three at most.

    Raises:
        ExportError: No sample has one: nothing would be verified.
    """
    found = []
    for sample in samples:
        prefix = "decoder_" if "decoder_token_ids" in sample else ""
        lengths = _lengths(sample, prefix)
        most = generation.max_length or lengths.max(initial=0)
        # What stands behind the last position changes nothing before it.
        lengths = np.minimum(lengths, most)
        rows = np.flatnonzero(lengths > 0)[:_ROWS]
        if not len(rows):
            continue
        source = None
        if prefix:
            source = {n: a[rows] for n, a in sample.items() if not n.startswith(prefix)}
        texts = [sample[f"{prefix}token_ids"][row, : lengths[row]] for row in rows]
        pairs = list(_read(decoders(source), texts, whole(sample)[rows]))
        received, expected = (np.stack(part) for part in zip(*pairs, strict=True))
        found.append(_comparison(expected, received, tolerance))
        if len(found) == _BATCHES:
            break
    if not found:
        raise ExportError("no sample is a text that its functions with a cache could be tried on")
    return found


def _lengths(sample: Arrays, prefix: str) -> Array:
    """Return the tokens of each text, 0 for one with padding before its end."""
    tokens = sample[f"{prefix}token_ids"]
    mask = sample.get(f"{prefix}padding_mask")
    if mask is None:
        return np.full(len(tokens), tokens.shape[1])
    real = mask != 0
    lengths = real.sum(axis=1)
    at_front = (np.arange(real.shape[1]) < lengths[:, None]) == real
    return np.where(at_front.all(axis=1), lengths, 0)


def _read(decoder: Decoder, texts: Sequence[Array], whole: Array) -> Iterator[tuple[Array, Array]]:
    """Yield logits of each step, with those of the whole model."""
    rows = np.arange(len(texts))
    lengths = np.array([len(text) for text in texts])
    steps = min(_STEPS, int(lengths.min()) - 1)
    begun = lengths - steps
    yield (
        decoder.prefill([t[:n] for t, n in zip(texts, begun, strict=True)]),
        whole[rows, begun - 1],
    )
    for step in range(steps):
        tokens = np.array([t[n + step] for t, n in zip(texts, begun, strict=True)])
        yield decoder.step(tokens), whole[rows, begun + step]


def _comparison(expected: Array, received: Array, tolerance: float) -> Comparison:
    largest = float(np.abs(expected).max())
    far = np.abs(received - expected).max()
    fraction = tolerance * _SLACK if tolerance <= _FLOAT else min(tolerance, _ROUNDED)
    return Comparison(LOGITS, expected.shape[1:], float(far), fraction * max(largest, 1e-3))


def check_cached(found: Sequence[Comparison]) -> None:
    """Refuse a file whose functions with a cache give something else than the whole model.

    Raises:
        ExportError: They do.
    """
    for row in found:
        if not row.ok:
            raise ExportError(
                f"with a cache its logits differ by {row.max_abs_diff:.3g} from those of the whole "
                f"text, where {row.allowed:.3g} is allowed",
                comparisons=[row],
            )
