"""What a model keeps of the tokens that it has read: keys and values, or the states of an RNN.

A layer that looks at other tokens finds a :class:`Reading` where it finds an attention bias or a
position otherwise, and asks it for what was kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

# What a position that must not be seen adds to a score.
HIDDEN = -1e9
# Zeros have a scale too.
_LEAST = 1e-6
KEY, VALUE, STATE = "key_{}", "value_{}", "state_{}"
MEMORY_KEY, MEMORY_VALUE = "memory_key_{}", "memory_value_{}"


@dataclass(frozen=True)
class Entry:
    """One tensor that is kept from call to call.

    Args:
        shape: Without the batch; ``None`` is the axis along which it grows.
        dtype: Of its elements.
        grows: Whether new tokens are put behind those before; what does not grow is replaced, or
            stays as it is.
        fixed: Whether it is computed once, of the source of a seq2seq model.
    """

    shape: tuple[int | None, ...]
    dtype: str
    grows: bool = True
    fixed: bool = False


@dataclass(frozen=True)
class Rounded:
    """Keys or values that are kept in int8; those of a token in a head have one scale.

    Args:
        integers: int8 (batch, heads, tokens, head_dim).
        scales: float32 (batch, heads, tokens, 1).
    """

    integers: Any
    scales: Any

    @classmethod
    def of(cls, tensor: Any) -> Rounded:
        """Return float (batch, heads, tokens, head_dim) in int8."""
        largest = ops.max(ops.abs(tensor), axis=-1, keepdims=True)
        scales = ops.maximum(largest, _LEAST) / 127
        return cls(ops.cast(ops.round(tensor / scales), "int8"), scales)

    def floats(self) -> Any:
        """Return what the integers stand for."""
        return ops.cast(self.integers, "float32") * self.scales


@dataclass
class Reading:
    """One call of a model that reads new tokens behind those that it has read.

    Args:
        positions: int32 (batch or 1, tokens), the position of each new token in its text.
        new_mask: int32 (batch or 1, tokens), 1 where a new token is real.
        past_mask: int32 (batch or 1, kept tokens), 1 where what was kept is of a real token.
        past_positions: int32 (batch or 1, kept tokens).
        past: What was kept, by the name of an entry; keys and values may be :class:`Rounded`.
        slot: int32 scalar, which kept token the first new one takes the place of: what is kept has
            room there. Without it all that is kept was read, and new tokens come behind.
        padding: int32 (batch, 1) with it, how many entries come before each text.
        in_place: Whether new keys and values are written at ``slot`` before attention looks at all
            that is kept, and ``new`` has the whole cache; no padding comes before a text then.
        new: What this call adds, by the name of an entry; filled by the layers.
        entries: What the entries are; filled by the layers.
    """

    positions: Any
    new_mask: Any
    past_mask: Any
    past_positions: Any
    past: Mapping[str, Any]
    slot: Any = None
    padding: Any = None
    in_place: bool = False
    new: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def behind(
        cls, tokens: Any, padding: Any, slot: Any, count: Any, past: Mapping[str, Any]
    ) -> Reading:
        """Return the reading of texts that end together, with padding before the shorter ones.

        Args:
            tokens: int32 (batch, tokens); what is behind the real ones is not read.
            padding: int32 (batch,), how many entries stand for no token, kept and new together.
            slot: int32 scalar, how many entries are kept; those behind are free.
            count: int32 scalar, how many of the new tokens are real or padding before the text.
            past: What was kept.
        """
        steps = ops.reshape(ops.arange(ops.shape(tokens)[1], dtype="int32"), (1, -1))
        kept = ops.reshape(ops.arange(_kept_tokens(past), dtype="int32"), (1, -1))
        before = ops.reshape(padding, (-1, 1))

        def real(slots: Any, end: Any) -> Any:
            inside = ops.logical_and(ops.greater_equal(slots, before), ops.less(slots, end))
            return ops.cast(inside, "int32")

        return cls(
            positions=ops.maximum(slot + steps - before, 0),
            new_mask=real(slot + steps, slot + count),
            past_mask=real(kept, slot),
            past_positions=ops.maximum(kept - before, 0),
            past=past,
            slot=slot,
            padding=before,
        )

    @classmethod
    def masked(cls, tokens: Any, mask: Any, past: Mapping[str, Any]) -> Reading:
        """Return the reading of texts with padding anywhere.

        Args:
            tokens: int32 (batch, tokens).
            mask: int32 (batch, kept and new tokens), 1 where a token is real.
            past: What was kept.
        """
        positions = ops.maximum(ops.cumsum(mask, axis=1) - 1, 0)
        first = ops.shape(mask)[1] - ops.shape(tokens)[1]
        return cls(
            positions[:, first:], mask[:, first:], mask[:, :first], positions[:, :first], past
        )

    @property
    def tokens(self) -> Any:
        """How many tokens this call has, with padding."""
        return ops.shape(self.new_mask)[1]

    @property
    def last(self) -> Any:
        """int32 (batch,), which of the new tokens is the last real one of each text."""
        steps = ops.reshape(ops.arange(self.tokens, dtype="int32"), (1, -1))
        return ops.max(steps * self.new_mask, axis=1)

    def keep_heads(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Keep the keys and values of the next attention layer; return those that are kept.

        Where they are written in place, the new ones are among them.

        Args:
            key: float (batch, heads, tokens, head_dim).
            value: The same.
        """
        names = self._next(KEY), self._next(VALUE)
        for name, tensor in zip(names, (key, value), strict=True):
            self.entries[name] = Entry((tensor.shape[1], None, tensor.shape[3]), _dtype(tensor))
            self.new[name] = tensor
        kept = self.past.get(names[0]), self.past.get(names[1])
        if not self.in_place:
            return kept
        pairs = zip(kept, (key, value), strict=True)
        whole = [written(past, tensor, self.slot) for past, tensor in pairs]
        self.new.update(zip(names, whole, strict=True))
        return whole[0], whole[1]

    def memory_heads(self) -> tuple[Any, Any]:
        """Return the keys and values that the next attention to a source has."""
        return tuple(self._taken(self._next(name)) for name in (MEMORY_KEY, MEMORY_VALUE))

    def _taken(self, name: str) -> Any:
        value = self.past[name]
        self.entries[name] = Entry(
            (value.shape[1], None, value.shape[3]), _dtype(value), grows=False, fixed=True
        )
        return value

    def _next(self, pattern: str) -> str:
        names = map(pattern.format, itertools.count())
        return next(name for name in names if name not in self.entries)

    def kept_states(self, count: int) -> list[Any] | None:
        """Return the states that the next recurrent layer left; ``None`` at the beginning."""
        first = int(self._next(STATE).partition("_")[2])
        found = [self.past.get(STATE.format(first + index)) for index in range(count)]
        return None if found[0] is None else found

    def keep_states(self, states: Sequence[Any]) -> None:
        """Keep the states of a recurrent layer, float (batch, units) each."""
        for state in states:
            name = self._next(STATE)
            self.entries[name] = Entry(tuple(state.shape[1:]), _dtype(state), grows=False)
            self.new[name] = state


class Memory:
    """Stands for the encoder's output, of which a :class:`Reading` has the keys and values.

    Args:
        reading: The call.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading


@dataclass(frozen=True)
class CausalBias:
    """The attention bias of a call: it hides what is not read, what comes later and padding.

    Args:
        reading: The call.
        window: How many tokens, itself the last, a token sees; all before it by default.
    """

    reading: Reading
    window: int | None = None

    def of_past(self) -> Any:
        """Return float (batch or 1, 1, tokens or 1, kept tokens) for what was kept."""
        reading = self.reading
        hidden = ops.expand_dims(ops.equal(reading.past_mask, 0), 1)
        if self.window is not None:
            queries = ops.expand_dims(reading.positions, -1)
            keys = ops.expand_dims(reading.past_positions, 1)
            hidden = ops.logical_or(hidden, ops.greater_equal(queries, keys + self.window))
        return ops.expand_dims(ops.cast(hidden, "float32") * HIDDEN, 1)

    def of_new(self) -> Any:
        """Return float (batch or 1, 1, tokens, tokens) for the tokens of this call."""
        steps = ops.arange(self.reading.tokens, dtype="int32")
        keys, queries = ops.reshape(steps, (1, 1, -1)), ops.reshape(steps, (1, -1, 1))
        hidden = ops.logical_or(
            ops.greater(keys, queries), ops.expand_dims(ops.equal(self.reading.new_mask, 0), 1)
        )
        if self.window is not None:
            hidden = ops.logical_or(hidden, ops.greater_equal(queries, keys + self.window))
        return ops.expand_dims(ops.cast(hidden, "float32") * HIDDEN, 1)

    def of_all(self) -> Any:
        """Return float (batch or 1, 1, tokens, kept tokens) for new tokens among those kept."""
        reading = self.reading
        queries = ops.expand_dims(reading.positions, -1)
        keys = ops.expand_dims(reading.past_positions, 1)
        hidden = ops.greater(keys, queries)
        if self.window is not None:
            hidden = ops.logical_or(hidden, ops.greater_equal(queries, keys + self.window))
        return ops.expand_dims(ops.cast(hidden, "float32") * HIDDEN, 1)


def attend(query: Any, key: Any, value: Any, bias: CausalBias) -> Any:
    """Return what new tokens gather from those that were read and from each other.

    Keys and values that are kept and those that are new stay apart, so that nothing copies what is
    kept, unless the reading writes them in place. Heads of keys that several heads of queries
    share are not repeated.

    Args:
        query: float (batch, heads, tokens, head_dim), scaled.
        key: float (batch, key heads, tokens, head_dim).
        value: The same.
        bias: What they may see.

    Returns:
        float (batch, heads, tokens, head_dim).
    """
    reading = bias.reading
    past_key, past_value = reading.keep_heads(key, value)
    heads, kv_heads, width = query.shape[1], key.shape[1], query.shape[3]
    tokens = reading.tokens
    grouped = ops.reshape(query, (-1, kv_heads, heads // kv_heads * tokens, width))

    def shared(part: Any) -> Any:
        # The rows of each group of heads stand one behind the other.
        if part.shape[2] == 1 or heads == kv_heads:
            return part
        return ops.concatenate([part] * (heads // kv_heads), axis=2)

    if reading.in_place:
        key, value, seen = past_key, past_value, bias.of_all()
    else:
        seen = bias.of_new()
    scores = ops.matmul(grouped, ops.transpose(key, (0, 1, 3, 2)))
    scores = scores + ops.cast(shared(seen), scores.dtype)
    if past_key is None or reading.in_place:
        gathered = ops.matmul(ops.softmax(scores, axis=-1), value)
    else:
        past_key, by_key = _with_scales(past_key)
        past_value, by_value = _with_scales(past_value)
        before = ops.matmul(grouped, ops.transpose(past_key, (0, 1, 3, 2)))
        length = ops.shape(past_key)[2]
        before = before if by_key is None else before * by_key
        before = before + ops.cast(shared(bias.of_past()), scores.dtype)
        likely = ops.softmax(ops.concatenate([before, scores], axis=-1), axis=-1)
        of_past = likely[..., :length]
        of_past = of_past if by_value is None else of_past * by_value
        gathered = ops.matmul(of_past, past_value) + ops.matmul(likely[..., length:], value)
    return ops.reshape(gathered, (-1, heads, tokens, width))


def written(kept: Any, new: Any, slot: Any) -> Any:
    """Return what is kept with new tokens in it.

    Args:
        kept: float (batch, heads, kept tokens, head_dim).
        new: float (batch, heads, tokens, head_dim); those beyond the end are left out.
        slot: int32 scalar, where the first of them comes.
    """
    length, count = kept.shape[2], new.shape[2]
    if count == 1:
        return ops.slice_update(kept, (0, 0, slot, 0), new)
    room = ops.pad(kept, [(0, 0), (0, 0), (0, count), (0, 0)])
    return ops.slice_update(room, (0, 0, slot, 0), new)[:, :, :length]


def _with_scales(kept: Any) -> tuple[Any, Any]:
    """Return keys or values as floats, with what the scores or probabilities are multiplied by.

    A row of scores has as many numbers as tokens, and not those of their heads' widths.
    """
    if not isinstance(kept, Rounded):
        return kept, None
    return ops.cast(kept.integers, "float32"), ops.transpose(kept.scales, (0, 1, 3, 2))


def _kept_tokens(past: Mapping[str, Any]) -> Any:
    """Return how many tokens there is room for in what was kept."""
    kept = past.get(KEY.format(0))
    if isinstance(kept, Rounded):
        kept = kept.integers
    return 0 if kept is None else ops.shape(kept)[2]


def _dtype(tensor: Any) -> str:
    return str(keras.backend.standardize_dtype(tensor.dtype))
