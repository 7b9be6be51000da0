"""Random changes of sounds, as keyword spotting is trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, Any]
# Decibels from the loudest noise that is asked for to the softest that is drawn.
SPAN = 30.0


def time_shift(inputs: Arrays, rng: np.random.Generator, *, factor: float) -> Arrays:
    """Move every sound to and fro; silence fills the gap.

    Args:
        inputs: ``audio``, (batch, samples).
        rng: Source of chance.
        factor: Longest way, as a share of the samples.

    Example:
        >>> sound = {"audio": np.ones((1, 8))}
        >>> int(time_shift(sound, np.random.default_rng(2), factor=0.5)["audio"].sum())
        5
    """
    audio = inputs["audio"]
    length = audio.shape[1]
    most = round(factor * length)
    shifts = rng.integers(-most, most, len(audio), endpoint=True)[:, np.newaxis]
    sources = np.arange(length) - shifts
    inside = (sources >= 0) & (sources < length)
    moved = np.take_along_axis(audio, sources.clip(0, length - 1), axis=1)
    return {**inputs, "audio": moved * inside}


def white_noise(inputs: Arrays, rng: np.random.Generator, *, snr: float) -> Arrays:
    """Add noise that is as loud at all frequencies.

    Args:
        inputs: ``audio``, float32 (batch, samples) in -1..1.
        rng: Source of chance.
        snr: Least ratio of signal to noise in decibels; each sound has one between it and 30 more.

    Example:
        >>> sound = {"audio": np.ones((1, 9000), np.float32)}
        >>> noise = white_noise(sound, np.random.default_rng(0), snr=20.0)["audio"] - 1
        >>> bool(-20 > 20 * np.log10(noise.std()) > -50)
        True
    """
    audio = inputs["audio"]
    loudness = np.sqrt(np.mean(audio**2, axis=1, keepdims=True))
    decibels = rng.uniform(snr, snr + SPAN, (len(audio), 1))
    noise = rng.standard_normal(audio.shape, np.float32)
    noisy = audio + noise * (loudness * 10 ** (-decibels / 20)).astype(np.float32)
    return {**inputs, "audio": noisy.clip(-1, 1)}


# By name: what changes sounds, its one argument, and the numbers that it may be.
SOUND_CHANGES: dict[str, tuple[Callable[..., Arrays], str, tuple[float, float]]] = {
    "time_shift": (time_shift, "factor", (0.0, 1.0)),
    "white_noise": (white_noise, "snr", (-20.0, 100.0)),
}
