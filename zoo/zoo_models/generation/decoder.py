"""The decoder of a Keras model: its cache stays where TensorFlow computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from keras import ops

from zoo_models.generation.kerashub import KerasHubReading
from zoo_models.generation.reading import ReadingModel, reading_model
from zoo_models.layers.cache import Reading
from zoo_runtime.generation.generator import Decoders
from zoo_runtime.tensors import Array, Arrays

# Sizes of what a call reads and of the cache are rounded up, for each is compiled once.
_TOKENS, _CACHE = 32, 128


def keras_decoders(model: Any) -> Decoders:
    """Return what makes decoders with a cache of a Keras model; it is compiled once.

    Args:
        model: A causal or seq2seq model.

    Raises:
        UsageError: A model that cannot be read token by token.
    """
    return partial(_decoder, compiled(model))


@lru_cache(maxsize=4)
def compiled(model: Any) -> KerasGenerator:
    """Return a model, compiled for generation; those that were used last are kept."""
    return KerasGenerator(reading_model(model))


def _decoder(generator: KerasGenerator, source: Arrays | None, every: bool) -> KerasDecoder:
    return KerasDecoder(generator, source, every=every)


class KerasGenerator:
    """A Keras language model compiled for generation; its decoders share what was compiled.

    Args:
        reading: The model.
    """

    def __init__(self, reading: ReadingModel | KerasHubReading) -> None:
        import tensorflow as tf

        self.reading = reading
        self.grown = {name for name, entry in reading.entries.items() if entry.grows}
        # Texts that are written side by side become fewer as they end: one graph takes any number.
        compiled = partial(tf.function, autograph=False, reduce_retracing=True)
        self.first = {every: compiled(partial(self._first, every)) for every in (False, True)}
        self.following = {every: compiled(partial(self._next, every)) for every in (False, True)}
        self.encode = compiled(reading.encode)

    def _first(
        self, every: bool, tokens: Any, texts: tuple[Any, Any], fixed: Mapping[str, Any], size: int
    ) -> tuple[Any, Any, dict[str, Any]]:
        import tensorflow as tf

        padding, length = texts
        reading = Reading.behind(tokens, padding, tf.constant(0), length, fixed)
        logits, hidden, new = self.reading.read(tokens, reading, every=every)
        room = [(0, 0), (0, 0), (0, size), (0, 0)]
        kept = {
            name: tf.pad(tensor, room)[:, :, :size] if name in self.grown else tensor
            for name, tensor in new.items()
        }
        return logits, hidden, kept

    def _next(
        self, every: bool, tokens: Any, texts: tuple[Any, Any], past: Mapping[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        import tensorflow as tf

        padding, length = texts
        reading = Reading.behind(tokens, padding, length, tf.constant(1), past)
        logits, hidden, new = self.reading.read(tokens, reading, every=every)
        kept = {
            name: ops.slice_update(past[name], (0, 0, length, 0), tensor)
            if name in self.grown
            else tensor
            for name, tensor in new.items()
        }
        return logits, hidden, kept


class KerasDecoder:
    """A decoder that a Keras model computes.

    Args:
        generator: The model.
        source: Inputs of the encoder of a seq2seq model, a row for each prompt.
        every: Whether the hidden states of all tokens are wanted, for contrastive search.
    """

    def __init__(
        self, generator: KerasGenerator, source: Arrays | None = None, *, every: bool = False
    ) -> None:
        self._generator, self._source, self._every = generator, source, every
        self.vocab_size = generator.reading.vocab_size
        self.max_length = generator.reading.max_length
        self.hidden: Sequence[Array] | None = None
        # Of each text, how many entries come before it; texts end together.
        self._padding, self._length = np.zeros(0, np.int32), 0
        self._kept: dict[str, Any] = {}
        self._fixed: dict[str, Any] = {}

    def prefill(self, prompts: Sequence[Array]) -> Array:
        """Read texts from their beginning."""
        import tensorflow as tf

        if self._source is not None:
            source = {name: tf.constant(array) for name, array in self._source.items()}
            self._fixed = self._generator.encode(source)
        self._length = max(map(len, prompts))
        self._padding = np.array([self._length - len(prompt) for prompt in prompts], np.int32)
        tokens = np.zeros((len(prompts), self._rounded(self._length, _TOKENS)), np.int32)
        for row, (prompt, before) in enumerate(zip(prompts, self._padding, strict=True)):
            tokens[row, before : self._length] = prompt
        size = self._rounded(self._length + 1, _CACHE)
        first = self._generator.first[self._every]
        logits, hidden, self._kept = first(tf.constant(tokens), self._texts(), self._fixed, size)
        self._note(hidden, self._padding, self._length)
        return np.asarray(logits, np.float32)

    def step(self, tokens: Array) -> Array:
        """Read one more token of each text."""
        import tensorflow as tf

        self._make_room()
        logits, hidden, self._kept = self._generator.following[self._every](
            tf.constant(np.asarray(tokens, np.int32)[:, None]),
            self._texts(),
            {**self._fixed, **self._kept},
        )
        self._length += 1
        self._note(hidden, np.zeros_like(self._padding), 1)
        return np.asarray(logits, np.float32)

    def reorder(self, rows: Array) -> None:
        """Keep the texts of these indices."""
        import tensorflow as tf

        self._padding = self._padding[rows]
        for held in (self._kept, self._fixed):
            held.update({name: tf.gather(tensor, rows) for name, tensor in held.items()})
        if self.hidden is not None:
            self.hidden = [self.hidden[row] for row in rows]

    def _texts(self) -> tuple[Any, Any]:
        import tensorflow as tf

        return tf.constant(self._padding), tf.constant(self._length)

    def _make_room(self) -> None:
        import tensorflow as tf

        for name in self._generator.grown:
            tensor = self._kept[name]
            if self._length >= tensor.shape[2]:
                more = self._rounded(2 * tensor.shape[2], _CACHE) - tensor.shape[2]
                self._kept[name] = tf.pad(tensor, [(0, 0), (0, 0), (0, more), (0, 0)])

    def _rounded(self, size: int, step: int) -> int:
        up = -(-size // step) * step
        # A long text that ended leaves entries before the others, which may go on to their last.
        return up if self.max_length is None else max(size, min(up, self.max_length))

    def _note(self, hidden: Any, begins: Array, end: int) -> None:
        if self._every:
            states = np.asarray(hidden)
            self.hidden = [states[row, begin:end] for row, begin in enumerate(begins)]
