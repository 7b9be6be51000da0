"""Functions with a cache, beside the whole model, that a file of a language model has.

Where sizes may vary (ONNX, SavedModel) ``decode`` takes ``past`` tensors and gives ``present``
ones, named as other programs read them. Where they are fixed (LiteRT) it takes the whole cache and
gives the slice of the new tokens alone, which its caller writes behind the others: no cache is
copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from zoo_export.converters.cache_names import (
    DOTTED,
    DOTTED_DECODER,
    LITERT,
    LITERT_LM,
    PLAIN,
    SCALE,
    Names,
)
from zoo_export.converters.onnx.weights import share_weights
from zoo_export.converters.tracing import Conversion, Function
from zoo_export.options import INT8, ExportOptions
from zoo_models.generation.kerashub import KerasHubReading
from zoo_models.generation.reading import MASK, ReadingModel, reading_model
from zoo_models.layers.cache import Entry, Reading, Rounded
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import FLOAT32
from zoo_runtime.generation.files import (
    DECODE,
    ENCODE,
    GENERATION,
    LOGITS,
    PREFILL,
    SOURCE_MASK,
    CacheEntry,
    Generation,
    beside,
)
from zoo_runtime.tensors import BATCH, Tensor

# What functions of fixed sizes read.
TOKENS, POSITIONS = "tokens", "input_pos"
_NEW, _PAST, _ALL = "tokens", "past", "past_and_tokens"
# Positions that a file of fixed sizes has where nothing is said and the model has more.
_MOST_POSITIONS = 1024


_Convert = Callable[[Conversion], dict[str, Any]]
_Make = Callable[[Conversion], tuple[tuple[Function, ...], Generation]]
# Among the facts: why each token reads the whole text again.
_UNCACHED = "no_cache"


def make_onnx(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write an ONNX file, and one for each function beside it, whose weights it has."""
    made = _functions(for_onnx, conversion)
    facts = convert(conversion)
    if isinstance(made, str):
        return facts | {_UNCACHED: made}
    functions, about = made
    for function in functions:
        path = beside(conversion.path, function.name)
        convert(
            replace(
                conversion,
                path=path,
                inputs=function.inputs,
                outputs=function.outputs,
                function=function,
            )
        )
        share_weights(path, conversion.path)
    return _with(facts, about, conversion.model)


def make_litert(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write a LiteRT file with a signature for each function."""
    return _together(for_litert, conversion, convert)


def make_saved_model(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write a SavedModel with a signature for each function."""
    return _together(for_saved_model, conversion, convert)


def _together(make: _Make, conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    made = _functions(make, conversion)
    if isinstance(made, str):
        return convert(conversion) | {_UNCACHED: made}
    functions, about = made
    return _with(convert(replace(conversion, functions=functions)), about, conversion.model)


def _functions(
    make: _Make, conversion: Conversion
) -> tuple[tuple[Function, ...], Generation] | str:
    """Return the functions of a model, or why it has none."""
    try:
        return make(conversion)
    except UsageError as error:
        if conversion.options.cache_dtype != FLOAT32:
            raise ExportError(
                f"cache_dtype='{conversion.options.cache_dtype}' is for a cache, and it has none: "
                f"{str(error).rstrip('.')}. Leave it out"
            ) from error
        return str(error)


def _with(facts: dict[str, Any], about: Generation, model: Any) -> dict[str, Any]:
    weights = facts.get("weights", {"float32": model.count_params() * np.float32().nbytes})
    about = replace(about, weight_bytes=sum(weights.values()), cache_bytes=bytes_per_token(about))
    return {**facts, GENERATION: asdict(about)}


def bytes_per_token(about: Generation) -> int:
    """Return what one token adds to a cache."""
    return sum(
        math.prod(size for size in entry.shape if size is not None) * np.dtype(entry.dtype).itemsize
        for entry in about.cache
        if entry.grows
    )


def for_onnx(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``decode``, and ``encode`` of a seq2seq model, as optimum names their tensors."""
    reading = reading_model(conversion.model)
    names = DOTTED_DECODER if reading.is_seq2seq else DOTTED
    made = _Made(reading, names, conversion, "int64")
    return (*made.encoders(), made.present(DECODE, with_past=True)), made.about()


def for_saved_model(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``prefill`` and ``decode``, and ``encode`` of a seq2seq model."""
    made = _Made(reading_model(conversion.model), PLAIN, conversion, "int32")
    return (
        *made.encoders(),
        made.present(PREFILL, with_past=False),
        made.present(DECODE, with_past=True),
    ), made.about()


def for_litert(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``prefill_N`` and ``decode``, and ``encode`` of a seq2seq model."""
    return _of_fixed_sizes(conversion, LITERT, in_place=False)


def _of_fixed_sizes(
    conversion: Conversion, names: Names, *, in_place: bool
) -> tuple[tuple[Function, ...], Generation]:
    made = _Made(reading_model(conversion.model), names, conversion, "int32", in_place)
    length, chosen = sizes(made.reading, conversion.options, conversion.model.name)
    functions = (
        *made.encoders(),
        *(made.slices(f"{PREFILL}_{n}", n, length, head=False) for n in chosen),
        made.slices(DECODE, 1, length, head=True),
    )
    grows = any(entry.grows for entry in made.reading.entries.values())
    most = length if grows else made.reading.max_length
    return functions, replace(made.about(), max_length=most, prefill_lengths=chosen)


def for_litertlm(
    conversion: Conversion, vocab_size: int
) -> tuple[tuple[Function, ...], Generation]:
    """Return ``decode`` and ``prefill_N`` as LiteRT-LM calls them, which write into the cache.

    Args:
        conversion: What is converted.
        vocab_size: Tokens that the tokenizer has; further ones are never written.
    """
    functions, about = _of_fixed_sizes(conversion, LITERT_LM, in_place=True)
    first = sorted(functions, key=lambda function: function.name != DECODE)
    return tuple(_with_vocabulary(function, vocab_size) for function in first), about


def sizes(
    reading: ReadingModel | KerasHubReading, options: ExportOptions, name: str
) -> tuple[int, tuple[int, ...]]:
    """Return the positions of a cache of fixed size, and what functions of their own read.

    Args:
        reading: The model.
        options: What was asked for.
        name: Of the model, for messages.

    Raises:
        ExportError: More positions than the model has.
    """
    most, wanted = reading.max_length, options.max_length
    length = min(most or _MOST_POSITIONS, _MOST_POSITIONS) if wanted is None else wanted
    if most is not None and length > most:
        raise ExportError(
            f"max_length={length:,}: model '{name}' has {most:,} positions: give as many or fewer"
        )
    chosen = tuple(n for n in options.prefill_lengths if n <= length)
    if options.prefill_lengths != ExportOptions().prefill_lengths:
        return length, chosen
    # A target text begins with one token, and a long function is for long texts.
    return length, tuple(
        n for n in chosen if 2 * n <= length and (n == chosen[0] or not reading.is_seq2seq)
    )


def _with_vocabulary(function: Function, vocab_size: int) -> Function:
    """Return a function whose logits end with the tokens that the tokenizer has."""

    def call(arrays: Mapping[str, Any]) -> dict[str, Any]:
        made = function.call(arrays)
        return {**made, LOGITS: made[LOGITS][..., :vocab_size]}

    outputs = tuple(
        replace(tensor, shape=(*tensor.shape[:-1], vocab_size)) if tensor.name == LOGITS else tensor
        for tensor in function.outputs
    )
    return (
        function if outputs == function.outputs else replace(function, outputs=outputs, call=call)
    )


@dataclass(frozen=True)
class _Made:
    """The functions of one model in one kind of file.

    Args:
        reading: The model.
        names: Of what is kept.
        conversion: What is converted.
        whole: The dtype of tokens and masks.
        in_place: Whether functions of fixed sizes write into the cache, and give all of it.
    """

    reading: ReadingModel | KerasHubReading
    names: Names
    conversion: Conversion
    whole: str
    in_place: bool = False

    @property
    def entries(self) -> dict[str, Entry]:
        """What is kept, by name, as it is stored: keys and values in the dtype that was asked for.

        Raises:
            ExportError: Another one than float32, and there are none.
        """
        dtype, found = self.conversion.options.cache_dtype, dict(self.reading.entries)
        heads = {name: entry for name, entry in found.items() if _is_heads(entry)}
        if dtype != FLOAT32 and not heads:
            raise ExportError(
                f"cache_dtype='{dtype}' is for keys and values: model "
                f"'{self.conversion.model.name}' keeps the states of recurrent layers, which stay "
                "in float32. Leave it out"
            )
        for name, entry in heads.items():
            found[name] = replace(entry, dtype=dtype)
            if dtype == INT8:
                found[f"{name}{SCALE}"] = replace(entry, shape=(*entry.shape[:2], 1))
        return found

    def about(self) -> Generation:
        """Return what a bundle says of the functions."""
        kept = tuple(
            CacheEntry(
                *self.names.of(name), entry.shape, entry.grows, entry.fixed, dtype=entry.dtype
            )
            for name, entry in self.entries.items()
        )
        return Generation(self.reading.vocab_size, self.reading.max_length, kept)

    def encoders(self) -> tuple[Function, ...]:
        """Return what reads the source of a seq2seq model; nothing for others."""
        if not self.reading.is_seq2seq:
            return ()
        inputs = tuple(t for t in self.conversion.inputs if not t.name.startswith("decoder_"))
        given = {t.name: t for t in inputs}

        def call(arrays: Any) -> dict[str, Any]:
            kept = self.reading.encode(arrays)
            fixed = [name for name, entry in self.reading.entries.items() if entry.fixed]
            return self._named({name: kept[name] for name in fixed})

        batch, length = given[MASK].shape
        outputs = tuple(
            _tensor(self.names.of(name)[1], entry, batch, length)
            for name, entry in self._fixed().items()
        )
        return (Function(ENCODE, inputs, outputs, call),)

    def present(self, name: str, *, with_past: bool) -> Function:
        """Return the function that gives what is kept with what is new behind it."""
        inputs = [
            Tensor("input_ids", self.whole, (BATCH, _NEW)),
            Tensor("attention_mask", self.whole, (BATCH, _ALL if with_past else _NEW)),
            *self._source(),
        ]
        if with_past:
            inputs += self._tensors(self._kept(), 0, BATCH, _PAST)

        def call(arrays: Any) -> dict[str, Any]:
            tokens, mask = (_whole(arrays[key]) for key in ("input_ids", "attention_mask"))
            past = self._past(arrays)
            logits, _, new = self.reading.read(tokens, Reading.masked(tokens, mask, past))
            given = self._named(new)
            for entry in self.about().cache:
                if entry.grows and entry.past in arrays:
                    both = [arrays[entry.past], given[entry.present]]
                    given[entry.present] = ops.concatenate(both, axis=2)
            return {LOGITS: logits[:, None], **given}

        outputs = [
            Tensor(LOGITS, "float32", (BATCH, 1, self.reading.vocab_size)),
            *self._tensors(self._kept(), 1, BATCH, _ALL if with_past else _NEW),
        ]
        return Function(name, tuple(inputs), tuple(outputs), call)

    def slices(self, name: str, tokens: int, length: int, *, head: bool) -> Function:
        """Return the function that gives what is new alone, or the cache with it.

        Args:
            name: Of the function.
            tokens: How many it reads.
            length: Positions of the cache.
            head: Whether it gives logits, of its last token.
        """
        inputs = (
            Tensor(TOKENS, self.whole, (1, tokens)),
            # As LiteRT-LM counts: 0 for padding.
            Tensor(POSITIONS, self.whole, (tokens,)),
            *self._source(),
            *self._tensors(self._kept(), 0, 1, length),
        )

        def call(arrays: Any) -> dict[str, Any]:
            read, positions = arrays[TOKENS], arrays[POSITIONS]
            count = 1 + ops.sum(ops.cast(positions[1:] > 0, "int32"))
            none = ops.zeros(1, "int32")
            reading = Reading.behind(read, none, positions[0], count, self._past(arrays))
            reading.in_place = self.in_place
            if tokens == 1:
                reading.new_mask = ops.ones((1, 1), "int32")  # it is real, whatever its position
            if not head:
                return self._named(self.reading.keep(read, reading))
            logits, _, new = self.reading.read(read, reading)
            return {LOGITS: logits[:, None], **self._named(new)}

        outputs = self._tensors(self._kept(), 1, 1, length if self.in_place else tokens)
        if head:
            outputs = [Tensor(LOGITS, "float32", (1, 1, self.reading.vocab_size)), *outputs]
        return Function(name, inputs, tuple(outputs), call)

    def _fixed(self) -> dict[str, Entry]:
        return {name: entry for name, entry in self.entries.items() if entry.fixed}

    def _kept(self) -> dict[str, Entry]:
        return {name: entry for name, entry in self.entries.items() if not entry.fixed}

    def _source(self) -> list[Tensor]:
        """Return the inputs that :data:`ENCODE` computes, and the mask of the source."""
        if not self.reading.is_seq2seq:
            return []
        mask = next(t for t in self.conversion.inputs if t.name == MASK)
        batch, length = mask.shape
        return [
            replace(mask, name=SOURCE_MASK),
            *self._tensors(self._fixed(), 0, batch, length),
        ]

    def _tensors(
        self, entries: Mapping[str, Entry], at: int, batch: int | str, length: int | str
    ) -> list[Tensor]:
        return [
            _tensor(self.names.of(name)[at], entry, batch, length)
            for name, entry in entries.items()
        ]

    def _past(self, arrays: Any) -> dict[str, Any]:
        """Return what was kept as layers take it: in float32, or in int8 with its scales."""
        past = {}
        for name, entry in self.reading.entries.items():
            given = self.names.of(name)[0]
            if given not in arrays:
                continue
            past[name] = arrays[given]
            if _is_heads(entry) and self.conversion.options.cache_dtype == INT8:
                rounded = Rounded(arrays[given], arrays[f"{given}{SCALE}"])
                is_scaled_later = isinstance(self.reading, ReadingModel) and not entry.fixed
                past[name] = rounded if is_scaled_later else rounded.floats()
            elif _is_heads(entry):
                past[name] = ops.cast(arrays[given], FLOAT32)
        return past | ({MASK: arrays[SOURCE_MASK]} if SOURCE_MASK in arrays else {})

    def _named(self, new: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is new as it is stored, by the names of outputs."""
        dtype, named = self.conversion.options.cache_dtype, {}
        for name, tensor in new.items():
            output = self.names.of(name)[1]
            if not _is_heads(self.reading.entries[name]):
                named[output] = tensor
            elif dtype == INT8:
                rounded = Rounded.of(tensor)
                named |= {output: rounded.integers, f"{output}{SCALE}": rounded.scales}
            else:
                named[output] = ops.cast(tensor, dtype)
        return named


def _is_heads(entry: Entry) -> bool:
    """Return whether an entry has the keys or values of attention heads."""
    return len(entry.shape) == 3 and entry.shape[1] is None


def _tensor(name: str, entry: Entry, batch: int | str, length: int | str) -> Tensor:
    shape = tuple(length if size is None else size for size in entry.shape)
    return Tensor(name, entry.dtype, (batch, *shape))


def _whole(array: Any) -> Any:
    return ops.cast(array, "int32")
