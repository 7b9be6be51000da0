"""Parts of a text: the answer to a question, and entities made of labelled tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from zoo_runtime.tensors import Array

OUTSIDE = "O"
MAX_ANSWER_TOKENS = 15


@dataclass(frozen=True)
class Span:
    """A part of a raw text.

    Args:
        text: The part.
        start: Its first character.
        end: The character after its last.
        score: Its probability.
        label: Kind of entity, if it is one.
    """

    text: str
    start: int
    end: int
    score: float
    label: str | None = None


@dataclass(frozen=True)
class _Token:
    label: str
    begins: bool
    start: int
    end: int
    score: float


def best_spans(
    start_logits: Array,
    end_logits: Array,
    encoding: Any,
    text: str,
    *,
    count: int,
    max_tokens: int = MAX_ANSWER_TOKENS,
) -> tuple[Span, ...]:
    """Return the most probable parts of a text from a first to a last token.

    Args:
        start_logits: float (tokens,), where an answer begins.
        end_logits: float (tokens,), where it ends.
        encoding: A ``tokenizers.Encoding`` of the text, or of a question and the text.
        text: The text that answers are cut from.
        count: How many to return.
        max_tokens: Tokens of an answer at most.
    """
    allowed = _own_tokens(encoding)
    first, last = (_softmax_over(logits, allowed) for logits in (start_logits, end_logits))
    scores = np.tril(np.triu(np.outer(first, last)), max_tokens - 1)
    found = []
    for place in np.argsort(-scores, axis=None, kind="stable")[:count]:
        begin, stop = np.unravel_index(int(place), scores.shape)
        score = float(scores[begin, stop])
        if score > 0:
            start, end = encoding.offsets[begin][0], encoding.offsets[stop][1]
            found.append(Span(text[start:end], start, end, score))
    return tuple(found)


def entities(
    probabilities: Array, encoding: Any, text: str, name: Callable[[int], str]
) -> tuple[Span, ...]:
    """Join tokens of one label to parts of a text, as Hugging Face's strategy ``simple`` does.

    A label is ``B-KIND``, ``I-KIND``, a plain ``KIND``, or ``O`` for no entity. A part ends where
    the kind changes or a ``B-`` begins a new one; its score is the mean of its tokens.

    Args:
        probabilities: float (tokens, labels).
        encoding: A ``tokenizers.Encoding`` of the text.
        text: The text.
        name: Gives the label of an index.
    """
    tokens = []
    for at in np.flatnonzero(_own_tokens(encoding)):
        index = int(probabilities[at].argmax())
        mark, dash, kind = name(index).partition("-")
        marked = dash and mark in {"B", "I"}
        start, end = encoding.offsets[at]
        score = float(probabilities[at, index])
        label = kind if marked else name(index)
        tokens.append(_Token(label, bool(marked) and mark == "B", start, end, score))
    return tuple(_joined(part, text) for part in _parts(tokens) if part[0].label != OUTSIDE)


def _parts(tokens: Sequence[_Token]) -> list[list[_Token]]:
    parts: list[list[_Token]] = []
    for _, same in groupby(tokens, key=lambda token: token.label):
        for at, token in enumerate(same):
            if at == 0 or token.begins:
                parts.append([])
            parts[-1].append(token)
    return parts


def _joined(part: Sequence[_Token], text: str) -> Span:
    start, end = part[0].start, part[-1].end
    score = sum(token.score for token in part) / len(part)
    return Span(text[start:end], start, end, score, part[0].label)


def _own_tokens(encoding: Any) -> Array:
    """Return which tokens are of the text: the second one where there is a question before it."""
    sequences = encoding.sequence_ids
    last = max(number for number in sequences if number is not None)
    return np.array([number == last for number in sequences])


def _softmax_over(logits: Array, allowed: Array) -> Array:
    masked = np.where(allowed, logits.astype(np.float64), -np.inf)
    shifted = np.exp(masked - masked.max())
    return np.asarray(shifted / shifted.sum())
