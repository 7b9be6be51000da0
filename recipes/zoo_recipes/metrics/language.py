"""Figures of language models, by windows of a text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.predicting import Predictor, only_logits
from zoo_recipes.arrays.sources import Windows

_BATCH = 16


@dataclass(frozen=True)
class Tokens:
    """What a language model makes of windows of a text.

    Args:
        nats: float (windows,): surprise at all tokens of a window.
        hits: int (windows,): how many of them were the most probable ones.
        tokens: int (windows,): how many there are.
        characters: Of the text, for each token, on average.
    """

    nats: Any
    hits: Any
    tokens: Any
    characters: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.nats)

    def take(self, rows: Any) -> Tokens:
        """Return some of the windows."""
        return Tokens(self.nats[rows], self.hits[rows], self.tokens[rows], self.characters)

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name."""
        tokens = weights @ self.tokens
        loss = weights @ self.nats / tokens
        return {
            "loss": loss,
            "perplexity": np.exp(loss),
            "accuracy": weights @ self.hits / tokens,
            "bits_per_character": loss / math.log(2) / self.characters,
        }


def read_windows(predict: Predictor, source: Windows) -> Tokens:
    """Return what a model makes of every token of a stream, once, the shorter last window too.

    Args:
        predict: Its logits are float (windows, length, tokens).
        source: The stream.
    """
    length, count = source.length, len(source.stream) - 1
    places = np.arange(count)
    nats, hits = np.zeros(-(-count // length) * length), np.zeros(-(-count // length) * length, int)
    for rows in np.array_split(places, range(0, count, length * _BATCH)[1:]):
        padded = np.resize(rows, (-(-len(rows) // length), length))
        outputs = predict({source.name: source.stream[padded]})
        logits = np.asarray(only_logits(outputs), np.float64)
        logits = logits.reshape(-1, logits.shape[-1])[: len(rows)]
        targets = source.stream[rows + 1]
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = logits[np.arange(len(rows)), targets]
        nats[rows] = np.log(np.exp(logits).sum(axis=-1)) - chosen
        hits[rows] = logits.argmax(axis=-1) == targets
    windows = (-1, length)
    sizes = (np.arange(len(nats)) < count).reshape(windows).sum(axis=1)
    return Tokens(
        nats.reshape(windows).sum(axis=1),
        hits.reshape(windows).sum(axis=1),
        sizes,
        source.characters / count,
    )
