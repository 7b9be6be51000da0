"""Functions with a cache against the whole model in the same file, whose values are verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from zoo_runtime.errors import ExportError
from zoo_runtime.generation.files import LOGITS, Generation
from zoo_runtime.generation.search import Decoder
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.verification import Comparison

# Rows of each sample batch, and tokens of each that are read one by one; more of them where the
# cache is rounded, as each reads what all before it have left.
_ROWS, _STEPS, _ROUNDED_STEPS = 3, 6, 24
# Sample batches: beyond, nothing new is seen.
_BATCHES = 3
# Of float32 files: sums are added up in another order, in every layer.
_FLOAT, _SLACK = 1e-4, 10.0
# Of the others: both ways multiply by the same integers, and only round what they multiply.
_ROUNDED = 0.1
# Of a cache in another dtype: difference of logits as a fraction of the largest, of the logarithm
# of the probability of a token, and the fraction of tokens whose most probable follower is another.
_CACHES = {"float16": (0.01, 0.01, 0.02), "int8": (0.1, 0.02, 0.05)}
# Two tokens are about as probable, of which either may be the answer.
_TIE = 0.01
# Logits of the whole model and with the cache, float (tokens, texts, vocab_size), and the tokens
# that follow all but the last, int (tokens - 1, texts).
_Texts = tuple[Array, Array, Array]
LIKELIHOOD, ANSWERS = "log-likelihood with a cache", "other answers with a cache"


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
        A comparison for each sample batch that has a text, of three at most. Of a cache in another
        dtype than float32 two more, over all of them: the mean logarithm of the probability of the
        texts' own tokens, and the fraction of tokens with another answer.

    Raises:
        ExportError: No sample has one: nothing would be verified.
    """
    dtype = next((e.dtype for e in generation.cache if e.dtype in _CACHES), None)
    steps = _STEPS if dtype is None else _ROUNDED_STEPS
    read = list(islice(_each(decoders, generation, samples, whole, steps), _BATCHES))
    if not read:
        raise ExportError("no sample is a text that its functions with a cache could be tried on")
    fraction = _fraction(tolerance, dtype)
    found = [_comparison(expected, received, fraction) for expected, received, _ in read]
    return found if dtype is None else [*found, *_of_texts(read, dtype)]


def _each(
    decoders: Callable[[Arrays | None], Decoder],
    generation: Generation,
    samples: Sequence[Arrays],
    whole: Callable[[Arrays], Array],
    most_steps: int,
) -> Iterator[_Texts]:
    """Yield what was read of each sample batch that has a text."""
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
        steps = min(most_steps, int(lengths[rows].min()) - 1)
        pairs = list(_read(decoders(source), texts, whole(sample)[rows], steps))
        received, expected = (np.stack(part) for part in zip(*pairs, strict=True))
        yield expected, received, np.stack([text[len(text) - steps :] for text in texts], axis=1)


def _of_texts(read: Sequence[_Texts], dtype: str) -> Iterator[Comparison]:
    """Compare what a cache in another dtype makes of texts, over all that were read."""
    expected, received, tokens = (
        np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
        for parts in zip(
            *(
                (wanted[: len(following)], given[: len(following)], following)
                for wanted, given, following in read
            ),
            strict=True,
        )
    )
    if not len(tokens):
        return
    _, nats, others = _CACHES[dtype]
    likely = [_likelihood(logits, tokens) for logits in (expected, received)]
    yield Comparison(LIKELIHOOD, (), abs(likely[0] - likely[1]), nats)
    best = np.sort(expected, axis=-1)
    is_sure = best[:, -1] - best[:, -2] > _TIE * np.abs(expected).max()
    differs = (expected.argmax(axis=-1) != received.argmax(axis=-1)) & is_sure
    yield Comparison(ANSWERS, (), float(differs.sum() / max(is_sure.sum(), 1)), others)


def _likelihood(logits: Array, tokens: Array) -> float:
    logits = np.asarray(logits, np.float64)
    largest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=-1)) + largest[:, 0]
    return float((logits[np.arange(len(tokens)), tokens] - total).mean())


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


def _read(
    decoder: Decoder, texts: Sequence[Array], whole: Array, steps: int
) -> Iterator[tuple[Array, Array]]:
    """Yield logits of each step, with those of the whole model."""
    rows = np.arange(len(texts))
    lengths = np.array([len(text) for text in texts])
    begun = lengths - steps
    yield (
        decoder.prefill([t[:n] for t, n in zip(texts, begun, strict=True)]),
        whole[rows, begun - 1],
    )
    for step in range(steps):
        tokens = np.array([t[n + step] for t, n in zip(texts, begun, strict=True)])
        yield decoder.step(tokens), whole[rows, begun + step]


def _fraction(tolerance: float, dtype: str | None) -> float:
    fraction = tolerance * _SLACK if tolerance <= _FLOAT else min(tolerance, _ROUNDED)
    return fraction if dtype is None else max(fraction, _CACHES[dtype][0])


def _comparison(expected: Array, received: Array, fraction: float) -> Comparison:
    largest = float(np.abs(expected).max())
    far = np.abs(received - expected).max()
    return Comparison(LOGITS, expected.shape[1:], float(far), fraction * max(largest, 1e-3))


_REFUSALS = {
    LOGITS: "its logits differ by {:.3g} from those of the whole text, where {:.3g} is allowed",
    LIKELIHOOD: "the mean log-likelihood of the samples' tokens differs by {:.3g}, where {:.3g} is "
    "allowed",
    ANSWERS: "{:.1%} of its answers are others than without one, where {:.0%} may be",
}


def check_cached(found: Sequence[Comparison]) -> None:
    """Refuse a file whose functions with a cache give something else than the whole model.

    Raises:
        ExportError: They do.
    """
    for row in found:
        if not row.ok:
            what = _REFUSALS[row.output].format(row.max_abs_diff, row.allowed)
            raise ExportError(f"with a cache {what}", comparisons=[row])
