"""Rotary positions (https://arxiv.org/abs/2104.09864) and how they are scaled for longer texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo_models.layers.cache import Reading
from zoo_registry import UsageError, did_you_mean

Rates = np.ndarray[Any, Any]
Scaling = Mapping[str, Any]
TYPE = "rope_type"


@keras.saving.register_keras_serializable(package="kerazoo")
class RotaryPositions(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Cosines and sines by which queries and keys are turned.

    Computed once a model and given to every block, sines negated where :func:`rotate` subtracts.
    Pair i of a head, its elements i and ``head_dim / 2 + i``, turns by
    ``position * theta ** (-2i / head_dim)``, so that a score depends on the distance of two
    positions alone.

    Args:
        head_dim: Width of a head, even.
        theta: Base of the wavelengths.
        scaling: How the rates are changed, as for :func:`rotary_rates`.

    Example:
        >>> import keras
        >>> RotaryPositions(4)(keras.ops.zeros((1, 3), "int32")).shape
        TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        head_dim: int,
        theta: float = 10_000.0,
        scaling: Scaling | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rates, self.amplitude = rotary_rates(head_dim, theta, scaling)
        self.head_dim = head_dim
        self.theta = theta
        self.scaling = None if scaling is None else dict(scaling)

    def call(self, token_ids: Any) -> Any:
        """Return float (2, steps, head_dim) for int (batch, steps): cosines, then sines."""
        return self._waves(ops.arange(ops.shape(token_ids)[1], dtype="int32"))

    def read(self, reading: Reading, token_ids: Any) -> Any:
        """Return float (2, batch, 1, tokens, head_dim) for a call that reads new tokens."""
        del token_ids
        return self._waves(ops.expand_dims(reading.positions, 1))

    def _waves(self, positions: Any) -> Any:
        steps = ops.expand_dims(ops.cast(positions, "float32"), -1)
        turns, signed = (
            steps * ops.convert_to_tensor(np.concatenate([rates, self.rates]), "float32")
            for rates in (self.rates, -self.rates)
        )
        waves = ops.stack([ops.cos(turns), ops.sin(signed)])
        if self.amplitude != 1:
            waves = waves * self.amplitude
        return ops.cast(waves, self.compute_dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the result."""
        return (2, shape[1], self.head_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"head_dim": self.head_dim, "theta": self.theta, "scaling": self.scaling}
        return {**super().get_config(), **own}


def rotate(x: Any, rotation: Any) -> Any:
    """Turn the pairs of each head by its position's angles.

    Args:
        x: float (batch, heads, steps, head_dim).
        rotation: What :class:`RotaryPositions` made.
    """
    half = x.shape[-1] // 2
    turned = ops.concatenate([x[..., half:], x[..., :half]], axis=-1)
    return x * rotation[0] + turned * rotation[1]


def rotary_rates(head_dim: int, theta: float, scaling: Scaling | None) -> tuple[Rates, float]:
    """Return the angle a step of each pair of a head, and what cosines and sines are times.

    Args:
        head_dim: Width of a head, even.
        theta: Base of the wavelengths.
        scaling: ``None``, or a table with ``rope_type`` and its parameters in Hugging Face's words:
            ``"linear"`` (``factor``; https://arxiv.org/abs/2306.15595), ``"llama3"`` (``factor``,
            ``low_freq_factor``, ``high_freq_factor``, ``original_max_position_embeddings``;
            https://arxiv.org/abs/2407.21783) or ``"yarn"`` (``factor``,
            ``original_max_position_embeddings``, and optionally ``attention_factor``,
            ``mscale``, ``mscale_all_dim``, ``beta_fast``, ``beta_slow``, ``truncate``;
            https://arxiv.org/abs/2309.00071).

    Returns:
        float64 (head_dim / 2,), and a number.

    Raises:
        UsageError: A width that is odd, an unknown type, or parameters that it lacks or does not
            know.

    Example:
        >>> rotary_rates(4, 100.0, {"rope_type": "linear", "factor": 2.0})
        (array([0.5 , 0.05]), 1.0)
    """
    if head_dim % 2:
        raise UsageError(f"Rotary positions need an even head_dim, not {head_dim}.")
    rates = theta ** -(np.arange(0, head_dim, 2, dtype="float64") / head_dim)
    if scaling is None:
        return rates, 1.0
    check_scaling(scaling)
    change, _, _ = SCALINGS[scaling[TYPE]]
    return change(rates, theta, scaling)


def check_scaling(scaling: Scaling) -> None:
    """Refuse a table that :func:`rotary_rates` cannot follow.

    Raises:
        UsageError: An unknown type, or parameters that it lacks or does not know.

    Example:
        >>> check_scaling({"rope_type": "dynamic", "factor": 2.0})
        Traceback (most recent call last):
        ...
        zoo_system.errors.UsageError: rope_type='dynamic' is not one of: linear, llama3, yarn.
    """
    kind = scaling.get(TYPE)
    if kind not in SCALINGS:
        hint = did_you_mean(str(kind), SCALINGS)
        raise UsageError(f"{TYPE}={kind!r} is not one of: {', '.join(SCALINGS)}.{hint}")
    _, needed, optional = SCALINGS[kind]
    lacking = [key for key in needed if scaling.get(key) is None]
    unknown = sorted(set(scaling) - {TYPE, *needed, *optional})
    if lacking or unknown:
        wrong = [f"lacks {key}" for key in lacking] + [f"has no {key}" for key in unknown]
        raise UsageError(f"{TYPE}={kind!r} {', '.join(wrong)}.")


def _linear(rates: Rates, theta: float, scaling: Scaling) -> tuple[Rates, float]:
    del theta
    return rates / scaling["factor"], 1.0


def _llama3(rates: Rates, theta: float, scaling: Scaling) -> tuple[Rates, float]:
    """Slow waves, of which the first texts had less than one, are stretched; quick ones stay."""
    del theta
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * rates / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return rates * (kept + (1 - kept) / scaling["factor"]), 1.0


def _yarn(rates: Rates, theta: float, scaling: Scaling) -> tuple[Rates, float]:
    """The same with a ramp over the pairs, and sharper attention."""
    factor, width = scaling["factor"], 2 * len(rates)
    length = scaling["original_max_position_embeddings"]
    turns = (scaling.get("beta_fast") or 32, scaling.get("beta_slow") or 1)
    first, last = (
        width * math.log(length / (t * 2 * math.pi)) / 2 / math.log(theta) for t in turns
    )
    if scaling.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    last += 0.001 if first == last else 0
    stretched = np.clip((np.arange(len(rates)) - first) / (last - first), 0, 1)
    amplitude = scaling.get("attention_factor")
    if amplitude is None:
        amplitude = _sharpened(factor, scaling.get("mscale"), scaling.get("mscale_all_dim"))
    return rates * (stretched / factor + 1 - stretched), float(amplitude)


def _sharpened(factor: float, scale: float | None, scale_all: float | None) -> float:
    if factor <= 1:
        return 1.0
    growth = 0.1 * math.log(factor)
    if scale and scale_all:
        return (scale * growth + 1) / (scale_all * growth + 1)
    return growth + 1


LENGTH = "original_max_position_embeddings"
# What changes the rates, the parameters that it needs, and those that it may have.
SCALINGS: dict[
    str,
    tuple[Callable[[Rates, float, Scaling], tuple[Rates, float]], tuple[str, ...], tuple[str, ...]],
] = {
    "linear": (_linear, ("factor",), ()),
    "llama3": (_llama3, ("factor", "low_freq_factor", "high_freq_factor", LENGTH), ()),
    "yarn": (
        _yarn,
        ("factor", LENGTH),
        ("attention_factor", "mscale", "mscale_all_dim", "beta_fast", "beta_slow", "truncate"),
    ),
}
