"""How kinds of files name what a language model keeps, as inputs and as outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

# Of the entry that has the scales of another.
SCALE = "_scale"


@dataclass(frozen=True)
class Names:
    """How a kind of file names what is kept.

    Args:
        past: Name of an input, by kind of entry; ``{}`` is its index.
        new: Name of the output.
    """

    past: Mapping[str, str]
    new: Mapping[str, str]

    def of(self, entry: str) -> tuple[str, str]:
        """Return how an entry of a :class:`ReadingModel` is called as input and as output."""
        if entry.endswith(SCALE):
            past, new = self.of(entry.removesuffix(SCALE))
            return past + SCALE, new + SCALE
        kind, _, index = entry.rpartition("_")
        return self.past[kind].format(index), self.new[kind].format(index)


LITERT = Names(
    past={
        "key": "kv_cache_k_{}",
        "value": "kv_cache_v_{}",
        "state": "state_{}",
        "memory_key": "memory_k_{}",
        "memory_value": "memory_v_{}",
    },
    new={
        "key": "kv_slice_k_{}",
        "value": "kv_slice_v_{}",
        "state": "next_state_{}",
        "memory_key": "memory_k_{}",
        "memory_value": "memory_v_{}",
    },
)
# LiteRT-LM gives and takes the same tensors.
LITERT_LM = replace(LITERT, new=LITERT.past)
DOTTED = Names(
    past={
        "key": "past_key_values.{}.key",
        "value": "past_key_values.{}.value",
        "state": "past_states.{}",
        "memory_key": "past_key_values.{}.encoder.key",
        "memory_value": "past_key_values.{}.encoder.value",
    },
    new={
        "key": "present.{}.key",
        "value": "present.{}.value",
        "state": "present_states.{}",
        "memory_key": "present.{}.encoder.key",
        "memory_value": "present.{}.encoder.value",
    },
)
DOTTED_DECODER = replace(
    DOTTED,
    past={
        **DOTTED.past,
        "key": "past_key_values.{}.decoder.key",
        "value": "past_key_values.{}.decoder.value",
    },
    new={**DOTTED.new, "key": "present.{}.decoder.key", "value": "present.{}.decoder.value"},
)
PLAIN = Names(
    past={
        "key": "past_key_{}",
        "value": "past_value_{}",
        "state": "past_state_{}",
        "memory_key": "memory_key_{}",
        "memory_value": "memory_value_{}",
    },
    new={
        "key": "present_key_{}",
        "value": "present_value_{}",
        "state": "present_state_{}",
        "memory_key": "memory_key_{}",
        "memory_value": "memory_value_{}",
    },
)
