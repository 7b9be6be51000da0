"""The decoder of LiteRT files, whose cache has a fixed size.

A function takes the whole cache and gives the slice of the new tokens alone. The cache lies where
the runtime reads it, and only slices are written there; where several texts are read in turns,
what each has is copied in and out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    CacheEntry,
    Generation,
)
from zoo_runtime.generation.search import Decoder
from zoo_runtime.running.compiled import CompiledFile, LiteRTFunction, can_compile
from zoo_runtime.running.sessions import litert_interpreter
from zoo_runtime.tensors import Array, Arrays

_MASK = "padding_mask"


def open_tflite(
    path: Path, generation: Generation, *, threads: int | None = None, provider: str = "xnnpack"
) -> Callable[[Arrays | None], Decoder]:
    """Load a LiteRT language model; return what makes a decoder for a source.

    Args:
        path: The file.
        generation: What the bundle says of it.
        threads: Threads to use.
        provider: As for :func:`zoo_runtime.running.sessions.open_tflite`.
    """
    if provider == "xnnpack" and can_compile():
        return partial(SliceDecoder, _Loaded(CompiledFile(path, threads=threads), generation))
    interpreter = litert_interpreter(path, threads=threads, provider=provider)
    return partial(SliceDecoder, _Loaded(_Interpreted(interpreter), generation))


@dataclass(eq=False)
class _Text:
    """One text that is read.

    Args:
        source: What ``encode`` gave, by name of an input.
        length: Tokens that were read.
        kept: What is kept, by name of an input, where the interpreter does not have it.
    """

    source: Arrays
    length: int = 0
    kept: dict[str, Array] = field(default_factory=dict)


class _File(Protocol):
    def function(self, name: str) -> LiteRTFunction: ...


@dataclass(frozen=True)
class _Interpreted:
    """A file in LiteRT's interpreter, whose functions share no memory."""

    interpreter: Any

    def function(self, name: str) -> LiteRTFunction:
        """Return the function of a signature."""
        runner = self.interpreter.get_signature_runner(name)
        wrapper, graph = self.interpreter._interpreter, runner._subgraph_index
        wrapper.AllocateTensors(graph)

        def views(tensors: Any) -> dict[str, Array]:
            pairs = dict(tensors).items()
            return {key: wrapper.tensor(self.interpreter, index, graph) for key, index in pairs}

        inputs = views(runner._inputs)
        # Where nothing is kept yet a mask hides what is there, but NaN shows through.
        for array in inputs.values():
            array[...] = 0
        return LiteRTFunction(inputs, views(runner._outputs), lambda: wrapper.Invoke(graph))


class _Loaded:
    """A loaded file, and which text its functions have the cache of."""

    def __init__(self, file: _File, generation: Generation) -> None:
        self.generation = generation
        self.lock = threading.Lock()
        self._file = file
        self._functions: dict[str, LiteRTFunction] = {}
        self._text: _Text | None = None
        self._holder: LiteRTFunction | None = None

    @property
    def kept(self) -> list[CacheEntry]:
        """What is kept of each text."""
        return [entry for entry in self.generation.cache if not entry.fixed]

    def encode(self, source: Arrays) -> dict[str, Array]:
        """Return what is kept of one source, by name of an input."""
        function = self._function(ENCODE)
        for name, array in function.inputs.items():
            array[...] = source[name]
        names = {entry.present: entry.past for entry in self.generation.cache if entry.fixed}
        function.run()
        found = {names[key]: array.copy() for key, array in function.outputs.items()}
        return {SOURCE_MASK: source[_MASK], **found}

    def read(self, name: str, text: _Text, tokens: Array) -> Mapping[str, Array]:
        """Read tokens of a text, at most as many as the function takes; return its outputs.

        Args:
            name: Of the function.
            text: Whose cache is taken and lengthened.
            tokens: int32 (tokens,).
        """
        function = self._function(name)
        self._bring(text, function)
        inputs, count = function.inputs, len(tokens)
        inputs["tokens"][0] = 0
        inputs["tokens"][0, :count] = tokens
        # Where nothing is kept, no position matters.
        if "input_pos" in inputs:
            inputs["input_pos"][:] = 0
            inputs["input_pos"][:count] = np.arange(text.length, text.length + count)
        function.run()
        for entry in self.kept:
            new = function.outputs[entry.present]
            if entry.grows:
                inputs[entry.past][:, :, text.length : text.length + count] = new[:, :, :count]
            else:
                inputs[entry.past][...] = new
        text.length += count
        return function.outputs

    def _function(self, name: str) -> LiteRTFunction:
        if name not in self._functions:
            self._functions[name] = self._file.function(name)
        return self._functions[name]

    def _bring(self, text: _Text, function: LiteRTFunction) -> None:
        """Bring what is kept of a text to where a function reads it."""
        if self._text is text and self._holder is function:
            return
        if self._text is not None and self._text is not text:
            self.save()
        before = self._holder.inputs if self._text is text and self._holder else text.kept
        for entry in self.kept:
            there = function.inputs[entry.past]
            if text.length and there is before[entry.past]:
                continue
            if entry.grows and text.length:
                there[:, :, : text.length] = before[entry.past][:, :, : text.length]
            elif not entry.grows:
                there[...] = before[entry.past] if text.length else 0
        for name, array in text.source.items():
            if name in function.inputs:
                function.inputs[name][...] = array
        self._text, self._holder, text.kept = text, function, {}

    def save(self) -> None:
        """Copy what is kept of the text at hand to the text itself."""
        text, function = self._text, self._holder
        if text is None or function is None:
            return
        text.kept = {
            entry.past: (
                function.inputs[entry.past][:, :, : text.length]
                if entry.grows
                else function.inputs[entry.past]
            ).copy()
            for entry in self.kept
        }
        self._text = self._holder = None


class SliceDecoder:
    """A decoder over functions that give the slice of the new tokens.

    Args:
        loaded: The file; its decoders take turns.
        source: Inputs of the encoder of a seq2seq model, a row for each prompt.
    """

    hidden = None

    def __init__(self, loaded: _Loaded, source: Arrays | None = None) -> None:
        self._loaded, self._source = loaded, source
        self.vocab_size = loaded.generation.vocab_size
        self.max_length = loaded.generation.max_length
        self._texts: list[_Text] = []

    def prefill(self, prompts: Sequence[Array]) -> Array:
        """Read texts from their beginning."""
        with self._loaded.lock:
            self._texts = [_Text(self._encoded(row)) for row in range(len(prompts))]
            pairs = zip(self._texts, prompts, strict=True)
            return np.stack([self._read(text, np.asarray(prompt)) for text, prompt in pairs])

    def step(self, tokens: Array) -> Array:
        """Read one more token of each text."""
        with self._loaded.lock:
            pairs = zip(self._texts, tokens, strict=True)
            return np.stack([self._read(text, np.array([token])) for text, token in pairs])

    def reorder(self, rows: Array) -> None:
        """Keep the texts of these indices."""
        rows = np.asarray(rows)
        if len(rows) == len(self._texts) and (rows == np.arange(len(rows))).all():
            return
        with self._loaded.lock:
            self._loaded.save()
            self._texts = [
                _Text(text.source, text.length, text.kept)
                for text in (self._texts[row] for row in rows)
            ]

    def _encoded(self, row: int) -> Arrays:
        if self._source is None:
            return {}
        return self._loaded.encode({n: array[row : row + 1] for n, array in self._source.items()})

    def _read(self, text: _Text, tokens: Array) -> Array:
        """Read all but the last token as fast as can be, then the last for its logits."""
        lengths = self._loaded.generation.prefill_lengths
        at, last = 0, len(tokens) - 1
        while at < last and lengths:
            left = last - at
            fitting = [n for n in lengths if n <= left] or [lengths[0]]
            size = min(left, fitting[-1])
            self._loaded.read(f"{PREFILL}_{fitting[-1]}", text, tokens[at : at + size])
            at += size
        for token in tokens[at:last]:
            self._loaded.read(DECODE, text, np.array([token]))
        found = self._loaded.read(DECODE, text, tokens[last:])
        logits: Array = found[LOGITS][0, 0].copy()
        return logits
