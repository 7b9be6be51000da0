"""Texts with the texts they are to become: the arrays of training, and what decoding gets right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Arrays, ArraySource, Predictor, PreparedArrays, only_logits
from zoo_recipes.arrays.vocabulary import END, PADDING
from zoo_registry import UsageError
from zoo_runtime.tokenizing import decoded, encoded

BATCH_SIZE = 512
# Batches have lengths that this divides, so that few graphs are made.
_LENGTH_STEP = 8


@dataclass(frozen=True)
class Pairs(PreparedArrays):
    """Rows of a source text, the target so far, and the target's next tokens.

    Args:
        tokenizer: A ``tokenizers.Tokenizer`` of both sides; ``[EOS]`` begins and ends a target.
        texts: The targets as texts, whole: what is written is compared with these.
    """

    tokenizer: Any
    texts: Sequence[str]

    @property
    def end(self) -> int:
        """The token before and after every target."""
        return int(self.tokenizer.token_to_id(END))


def pairs(sources: Arrays, targets: Sequence[str], tokenizer: Any, length: int) -> Pairs:
    """Return prepared source texts with their target texts.

    Args:
        sources: ``token_ids`` and ``padding_mask``, int32 (examples, source tokens).
        targets: One text an example.
        tokenizer: A ``tokenizers.Tokenizer`` with ``[EOS]``, and with ``[PAD]`` as token 0.
        length: Tokens of a target with its end; a longer one is cut.

    Raises:
        UsageError: A tokenizer without those tokens.
    """
    end = tokenizer.token_to_id(END)
    if end is None or tokenizer.token_to_id(PADDING) != 0:
        raise UsageError(
            f"Task 'seq2seq' needs a tokenizer with {END}, and with {PADDING} as token 0: kind "
            "'bpe' or 'char'."
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    following = np.zeros((len(targets), length), np.int32)
    for row, encoding in enumerate(encoded(tokenizer, targets)):
        tokens = [*encoding.ids[: length - 1], end]
        following[row, : len(tokens)] = tokens
    before = np.concatenate([np.full((len(targets), 1), end, np.int32), following[:, :-1]], axis=1)
    decoder = {
        "decoder_token_ids": np.where(following > 0, before, 0),
        "decoder_padding_mask": (following > 0).astype(np.int32),
    }
    return Pairs({**sources, **decoder}, following, tokenizer, targets)


def order_by_length(source: ArraySource, batch_size: int, rng: np.random.Generator) -> Any:
    """Return the indices of all pairs in a random order in which those of a batch are alike long.

    Args:
        source: The pairs.
        batch_size: Pairs a batch; the last one may have fewer, and has the longest.
        rng: Draws the pairs of each batch, and which batch comes when.
    """
    order = rng.permutation(len(source))
    inputs, _ = source.take(order)
    masks = (inputs[name] for name in ("padding_mask", "decoder_padding_mask"))
    order = order[np.lexsort([_rounded(mask.sum(axis=1)) for mask in masks])]
    whole = len(order) // batch_size * batch_size
    batches = rng.permutation(order[:whole].reshape(-1, batch_size))
    return np.concatenate([batches.ravel(), order[whole:]])


def without_padding(inputs: Arrays, targets: Any) -> tuple[Arrays, Any]:
    """Return a batch of pairs whose texts are as long as the longest, rounded up.

    Args:
        inputs: As :func:`pairs` makes them.
        targets: int32 (examples, target tokens).

    Example:
        >>> mask = np.array([[1] * 3 + [0] * 17, [1] * 9 + [0] * 11])
        >>> inputs = {"token_ids": mask, "padding_mask": mask}
        >>> inputs |= {f"decoder_{name}": array[:1] for name, array in inputs.items()}
        >>> shorter, targets = without_padding(inputs, mask[:1])
        >>> shorter["token_ids"].shape, shorter["decoder_token_ids"].shape, targets.shape
        ((2, 16), (1, 8), (1, 8))
    """
    shorter = {}
    for side in ("", "decoder_"):
        length = _rounded(max(1, inputs[f"{side}padding_mask"].sum(axis=1).max()))
        for name in (f"{side}token_ids", f"{side}padding_mask"):
            shorter[name] = inputs[name][:, :length]
    return shorter, targets[:, :length]


def _rounded(lengths: Any) -> Any:
    return -(-lengths // _LENGTH_STEP) * _LENGTH_STEP


def decode(predict: Predictor, source: Pairs) -> Any:
    """Return the most probable next tokens, one after the other, int32 (examples, target tokens).

    Args:
        predict: A seq2seq model.
        source: Its targets tell only how long an answer may be.
    """
    made = [
        _decode_batch(predict, source, np.arange(start, min(start + BATCH_SIZE, len(source))))
        for start in range(0, len(source), BATCH_SIZE)
    ]
    return np.concatenate(made)


def _decode_batch(predict: Predictor, source: Pairs, indices: Any) -> Any:
    inputs, targets = source.take(indices)
    count, length = targets.shape
    tokens = np.zeros((count, length + 1), np.int32)
    tokens[:, 0] = source.end
    going = np.ones(count, bool)
    for step in range(length):
        decoder = {
            "decoder_token_ids": tokens[:, :length],
            "decoder_padding_mask": np.broadcast_to(np.arange(length) <= step, targets.shape),
        }
        logits = only_logits(predict({**inputs, **_as_int32(decoder)}))
        tokens[:, step + 1] = np.where(going, np.argmax(logits[:, step], axis=-1), 0)
        going &= tokens[:, step + 1] != source.end
        if not going.any():
            break
    return tokens[:, 1:]


def _as_int32(arrays: Arrays) -> Arrays:
    return {name: np.ascontiguousarray(array, np.int32) for name, array in arrays.items()}


def written(predict: Predictor, source: Pairs) -> list[str]:
    """Return the texts that a model writes, without special tokens.

    Args:
        predict: A seq2seq model.
        source: The pairs.
    """
    return decoded(source.tokenizer, [row.tolist() for row in decode(predict, source)])
