"""Decoders of files whose cache grows: ``decode`` takes ``past`` tensors and gives ``present``.

What is kept stays where the runtime has it: no cache is copied to NumPy and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo_runtime.generation.files import (
    DECODE,
    ENCODE,
    LOGITS,
    PREFILL,
    SOURCE_MASK,
    Generation,
    beside,
)
from zoo_runtime.generation.search import Decoder
from zoo_runtime.optional import need
from zoo_runtime.running.sessions import load_saved_model, onnx_session
from zoo_runtime.tensors import Array, Arrays

_MASK = "padding_mask"


class _Functions(Protocol):
    """The functions of a loaded file; what they give may be given to them again as it is."""

    dtype: str

    def has(self, name: str) -> bool:
        """Whether there is such a function."""

    def call(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the outputs by name, as the runtime holds them."""

    def array(self, value: Any) -> Array:
        """Return what the runtime holds as an array."""

    def take(self, value: Any, rows: Array) -> Any:
        """Return rows of what the runtime holds."""


def open_onnx(
    path: Path, generation: Generation, *, threads: int | None = None, provider: str = "cpu"
) -> Callable[[Arrays | None], Decoder]:
    """Load the files of an ONNX language model; return what makes a decoder for a source.

    Args:
        path: The file of the whole model, beside which the others are.
        generation: What the bundle says of them.
        threads: Threads to use.
        provider: An execution provider.
    """
    sessions = {
        name: onnx_session(beside(path, name), threads=threads, provider=provider)
        for name in generation.functions
    }
    return partial(PresentDecoder, _OnnxFunctions(sessions), generation)


def open_saved_model(
    path: Path, generation: Generation, *, threads: int | None = None, provider: str | None = None
) -> Callable[[Arrays | None], Decoder]:
    """Load a SavedModel of a language model; as :func:`open_onnx`."""
    loaded = load_saved_model(path, threads=threads, provider=provider)
    return partial(PresentDecoder, _SavedFunctions(loaded), generation)


class _OnnxFunctions:
    dtype = "int64"

    def __init__(self, sessions: Mapping[str, Any]) -> None:
        self._sessions = sessions
        self._value = need("onnxruntime", "Format 'onnx'").OrtValue
        self._outputs = {
            name: [output.name for output in session.get_outputs()]
            for name, session in sessions.items()
        }

    def has(self, name: str) -> bool:
        return name in self._sessions

    def call(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        feed = {
            key: self._value.ortvalue_from_numpy(np.ascontiguousarray(value))
            if isinstance(value, np.ndarray)
            else value
            for key, value in given.items()
        }
        names = self._outputs[name]
        return dict(zip(names, self._sessions[name].run_with_ort_values(names, feed), strict=True))

    def array(self, value: Any) -> Array:
        return np.asarray(value.numpy())

    def take(self, value: Any, rows: Array) -> Any:
        held = value if isinstance(value, np.ndarray) else value.numpy()
        return self._value.ortvalue_from_numpy(np.ascontiguousarray(held[rows]))


class _SavedFunctions:
    dtype = "int32"

    def __init__(self, loaded: Any) -> None:
        self._tf = need("tensorflow", "Format 'saved_model'", "tensorflow")
        self._loaded = loaded  # it owns the variables

    def has(self, name: str) -> bool:
        return name in self._loaded.signatures

    def call(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        tensors = {key: self._tf.convert_to_tensor(value) for key, value in given.items()}
        found: Mapping[str, Any] = self._loaded.signatures[name](**tensors)
        return found

    def array(self, value: Any) -> Array:
        return np.asarray(value)

    def take(self, value: Any, rows: Array) -> Any:
        return self._tf.gather(value, rows)


class PresentDecoder:
    """A decoder over functions that give the whole of what is kept.

    Args:
        functions: The loaded file.
        generation: What the bundle says of it.
        source: Inputs of the encoder of a seq2seq model, a row for each prompt.
    """

    hidden = None

    def __init__(
        self, functions: _Functions, generation: Generation, source: Arrays | None = None
    ) -> None:
        self._functions, self._generation, self._source = functions, generation, source
        self.vocab_size = generation.vocab_size
        self.max_length = generation.max_length
        self._fixed: dict[str, Any] = {}
        self._past: dict[str, Any] = {}
        self._mask = np.zeros((0, 0), functions.dtype)

    def prefill(self, prompts: Sequence[Array]) -> Array:
        """Read texts from their beginning."""
        self._fixed = self._encoded()
        lengths = np.array([len(prompt) for prompt in prompts])
        tokens = np.zeros((len(prompts), lengths.max()), self._functions.dtype)
        # Padding comes before the text: what is added stands right behind it in every row.
        padding = tokens.shape[1] - lengths
        for row, prompt in enumerate(prompts):
            tokens[row, padding[row] :] = prompt
        self._mask = (np.arange(tokens.shape[1]) >= padding[:, None]).astype(tokens.dtype)
        self._past = {}
        if self._functions.has(PREFILL):
            return self._read(PREFILL, tokens)
        self._past = {
            entry.past: np.zeros((len(prompts), *(size or 0 for size in entry.shape)), entry.dtype)
            for entry in self._generation.cache
            if not entry.fixed
        }
        return self._read(DECODE, tokens)

    def step(self, tokens: Array) -> Array:
        """Read one more token of each text."""
        ones = np.ones((len(tokens), 1), self._mask.dtype)
        self._mask = np.concatenate([self._mask, ones], axis=1)
        return self._read(DECODE, np.asarray(tokens, self._mask.dtype)[:, None])

    def reorder(self, rows: Array) -> None:
        """Keep the texts of these indices."""
        rows = np.asarray(rows)
        self._mask = self._mask[rows]
        for held in (self._past, self._fixed):
            held.update({name: self._functions.take(v, rows) for name, v in held.items()})

    def _encoded(self) -> dict[str, Any]:
        if self._source is None:
            return {}
        kept = self._functions.call(ENCODE, self._source)
        names = {entry.present: entry.past for entry in self._generation.cache if entry.fixed}
        return {SOURCE_MASK: self._source[_MASK], **{names[k]: v for k, v in kept.items()}}

    def _read(self, name: str, tokens: Array) -> Array:
        given = {"input_ids": tokens, "attention_mask": self._mask, **self._fixed, **self._past}
        found = self._functions.call(name, given)
        self._past = {
            entry.past: found[entry.present] for entry in self._generation.cache if not entry.fixed
        }
        return self._functions.array(found[LOGITS])[:, 0]
