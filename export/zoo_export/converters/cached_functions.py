"""The functions of a language model that read new tokens with what was kept of those before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras import ops

from zoo_export.converters.cache_names import SCALE, Names
from zoo_export.converters.tracing import Conversion, Function
from zoo_export.options import INT8
from zoo_models.generation.kerashub import KerasHubReading
from zoo_models.generation.reading import MASK, ReadingModel
from zoo_models.layers.cache import Entry, Reading, Rounded
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import FLOAT32
from zoo_runtime.generation.files import ENCODE, LOGITS, SOURCE_MASK, CacheEntry, Generation
from zoo_runtime.tensors import BATCH, Tensor

# What functions of fixed sizes read.
TOKENS, POSITIONS = "tokens", "input_pos"
_NEW, _PAST, _ALL = "tokens", "past", "past_and_tokens"


@dataclass(frozen=True)
class CachedFunctions:
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
