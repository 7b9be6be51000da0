"""Rotary positions of a GGUF file in the words of ``config.json``."""

from __future__ import annotations

import math
from typing import Any, Protocol

from zoo_models.weights.gguf_file import GgufFile
from zoo_registry import UsageError

# Which llama.cpp divides the frequencies by: Llama 3's scaling, with its numbers left out.
FREQUENCIES = "rope_freqs.weight"
_THETA = 10_000.0
_FACTOR, _OLD_FACTOR = "rope.scaling.factor", "rope.scale_linear"
_TYPE, _LENGTH = "rope.scaling.type", "rope.scaling.original_context_length"
_FAST, _SLOW = "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"
_AMPLITUDE, _WHOLE_AMPLITUDE = "rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"
KEYS = {
    *("rope.dimension_count", "rope.freq_base", _FACTOR, _OLD_FACTOR, _TYPE, _LENGTH, _FAST, _SLOW),
    *(_AMPLITUDE, _WHOLE_AMPLITUDE, "rope.scaling.finetuned"),
}
# Of Llama 3, 3.1, 3.2 and 3.3.
_LLAMA3 = (8192, 1.0, 4.0)
_CLOSE = 1e-4


class Keys(Protocol):
    """The metadata of an architecture."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""

    def count(self, key: str, default: int | None = None) -> int:
        """Return a number of things."""

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number above 0."""

    def check(self, key: str, wanted: Any) -> None:
        """Refuse another value than one."""

    def wrong(self, key: str, value: Any, wanted: str) -> UsageError:
        """Return the error for a value."""


def rotation(keys: Keys, file: GgufFile, head_dim: int, longest: int) -> dict[str, Any]:
    """Return ``rope_theta`` and ``rope_scaling``.

    Args:
        keys: Of the file's architecture.
        file: The file.
        head_dim: Width of a head.
        longest: The most tokens of a text.

    Raises:
        UsageError: A rotation that is not ours.
    """
    keys.check("rope.dimension_count", head_dim)
    keys.check("rope.scaling.yarn_ext_factor", 1)
    keys.check("rope.scaling.yarn_log_multiplier", 0)
    theta = keys.number("rope.freq_base", _THETA)
    table = _scaling(keys, longest)
    if FREQUENCIES in file.tensors:
        by_frequency = _by_frequency(file, theta, head_dim, keys.get(_LENGTH))
        if table is not None and by_frequency is not None:
            raise UsageError(f"'{file.path}' scales its rotary positions twice; once is built.")
        table = by_frequency or table
    return {"rope_theta": theta, "rope_scaling": table}


def _scaling(keys: Keys, longest: int) -> dict[str, Any] | None:
    # llama.cpp takes a factor without a type for a linear one.
    kind = keys.get(_TYPE, "linear")
    factor = keys.get(_FACTOR) or keys.get(_OLD_FACTOR) or 1.0
    if kind not in ("none", "linear", "yarn"):
        raise keys.wrong(_TYPE, kind, "one of: none, linear, yarn, which are built")
    if kind == "none" or factor == 1:
        return None
    key = _FACTOR if keys.get(_FACTOR) else _OLD_FACTOR
    factor = keys.number(key)
    if kind == "linear":
        keys.check(_AMPLITUDE, 1)
        return {"rope_type": "linear", "factor": factor}
    # The second key is the model's own attention_factor, as the converter writes it.
    amplitude = keys.number(_AMPLITUDE, 1.0) * (1 + 0.1 * math.log(factor))
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": keys.count(_LENGTH, longest),
        "attention_factor": keys.number(_WHOLE_AMPLITUDE, amplitude),
        "beta_fast": keys.number(_FAST, 32.0),
        "beta_slow": keys.number(_SLOW, 1.0),
    }


def _by_frequency(
    file: GgufFile, theta: float, head_dim: int, length: Any
) -> dict[str, Any] | None:
    """Return Llama 3's scaling that gives a file's factors.

    The numbers are not in the file. Three of them follow from the factors but for a common
    multiple, which changes nothing.

    Raises:
        UsageError: No such scaling gives them.
    """
    import numpy as np

    factors = file.read(FREQUENCIES).astype("float64").ravel()
    turns = theta ** -(np.arange(0, head_dim, 2) / head_dim) / (2 * math.pi)
    if factors.shape == turns.shape and np.isfinite(factors).all() and factors.min() > 0:
        largest = float(factors.max())
        if np.allclose(factors, 1, rtol=_CLOSE):
            return None
        original = length if isinstance(length, int) and length > 0 else _LLAMA3[0]
        for first, low, high in ((original, *_LLAMA3[1:]), _solved(factors, turns, original)):
            if np.allclose(_factors(turns, largest, first, low, high), factors, rtol=_CLOSE):
                return {
                    "rope_type": "llama3",
                    "factor": largest,
                    "low_freq_factor": low,
                    "high_freq_factor": high,
                    "original_max_position_embeddings": first,
                }
    raise UsageError(
        f"'{file.path}': the factors of {FREQUENCIES} are not of Llama 3's scaling, the only one "
        "by frequency that is built."
    )


def _factors(turns: Any, factor: float, length: float, low: float, high: float) -> Any:
    """Return what the frequencies are divided by (https://arxiv.org/abs/2407.21783)."""
    import numpy as np

    if not high > low:
        return np.full_like(turns, np.nan)
    kept = np.clip((length * turns - low) / (high - low), 0, 1)
    return 1 / (kept + (1 - kept) / factor)


def _solved(factors: Any, turns: Any, length: int) -> tuple[int, float, float]:
    """Return the numbers of the ramp between the factors, from the pairs on it."""
    import numpy as np

    largest = factors.max()
    kept = (1 / factors - 1 / largest) / (1 - 1 / largest)
    inside = (kept > _CLOSE) & (kept < 1 - _CLOSE)
    if inside.sum() < 2:
        return length, 0.0, 0.0
    slope, offset = np.polyfit(length * turns[inside], kept[inside], 1)
    low = -offset / slope
    return length, float(low), float(low + 1 / slope)
