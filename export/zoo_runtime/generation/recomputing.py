"""A decoder that keeps no cache: every step reads the whole text again, in any file there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo_runtime.errors import BundleError
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Array, Arrays

# Lengths of the texts that a model of any length is given: few, for each is a new plan.
_LENGTHS = 32


class Recomputing:
    """A model of whole texts as a decoder.

    Args:
        runner: The model; it gives ``logits`` float (texts, tokens, vocab_size).
        tokens: Its input of tokens, int32 (texts, tokens).
        mask: Its input that is 1 where a token is real, if it has one.
        fixed: Its other inputs, such as the source of a translation: a row for each prompt.
        max_length: Positions of the model where its input has any length.
    """

    hidden = None

    def __init__(
        self,
        runner: Runner,
        tokens: str,
        mask: str | None = None,
        fixed: Arrays | None = None,
        max_length: int | None = None,
    ) -> None:
        self._runner, self._tokens, self._mask = runner, tokens, mask
        self._given = dict(fixed or {})
        self._fixed = self._given
        size = next(t.shape[1] for t in runner.inputs if t.name == tokens)
        self._size = size if isinstance(size, int) else None
        self.max_length = self._size or max_length
        shape = next((t.shape for t in runner.outputs if t.name == "logits"), ())
        if len(shape) != 3 or not isinstance(shape[2], int):
            raise BundleError(
                "The model has no output 'logits' of shape (batch, tokens, vocabulary): it does "
                "not say what comes next."
            )
        self.vocab_size = shape[2]
        self._texts: list[Array] = []

    def prefill(self, prompts: Sequence[Array]) -> Array:
        """Read texts from their beginning."""
        self._texts = [np.asarray(prompt, np.int32) for prompt in prompts]
        self._fixed = self._given
        return self._logits()

    def step(self, tokens: Array) -> Array:
        """Read one more token of each text."""
        self._texts = [np.append(t, n) for t, n in zip(self._texts, tokens, strict=True)]
        return self._logits()

    def reorder(self, rows: Array) -> None:
        """Keep the texts of these indices."""
        self._texts = [self._texts[row] for row in rows]
        self._fixed = {name: array[rows] for name, array in self._fixed.items()}

    def _logits(self) -> Array:
        lengths = np.array([len(text) for text in self._texts])
        width = self._width(int(lengths.max()))
        tokens = np.zeros((len(lengths), width), np.int32)
        for row, text in enumerate(self._texts):
            tokens[row, : len(text)] = text
        arrays = {**self._fixed, self._tokens: tokens}
        if self._mask is not None:
            arrays[self._mask] = (np.arange(width) < lengths[:, None]).astype(np.int32)
        logits = self._runner.run(arrays)["logits"]
        return np.asarray(logits[np.arange(len(lengths)), lengths - 1], np.float32)

    def _width(self, longest: int) -> int:
        if self._size is not None:
            return self._size
        rounded = -(-longest // _LENGTHS) * _LENGTHS
        return rounded if self.max_length is None else min(rounded, self.max_length)
