"""From audio to log-mel spectrograms or MFCCs, as images: the front end of speech models."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo_registry import UsageError

Array = np.ndarray[Any, Any]


@keras.saving.register_keras_serializable(package="kerazoo")
class LogMelSpectrogram(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """The logarithm of the power in bands of the mel scale, or the cepstrum of it (MFCC).

    Bands are triangles on the scale 1127 ln(1 + f / 700), as in HTK and ``tf.signal``. The Fourier
    transform is a strided convolution with cosines and sines under a Hann window, of only those
    frequencies that a band needs, and what follows are products with constants: operators that
    every runtime has. Nothing in it is learned.

    Args:
        sample_rate: Of the audio, in Hz.
        frame_length: Samples of which one spectrum is made.
        frame_step: Samples from one spectrum to the next.
        num_bands: Bands of the mel scale.
        low: Lower end of the first band in Hz.
        high: Upper end of the last band in Hz; at most half of the sample rate.
        num_coefficients: So many coefficients of an orthonormal cosine transform of the bands
            instead of these (Davis, Mermelstein 1980, https://doi.org/10.1109/TASSP.1980.1163420);
            ``None`` gives the bands.
        floor: Added to the power before the logarithm.

    Raises:
        UsageError: Bands beyond the sample rate, or so narrow that no frequency falls into one.

    Example:
        >>> audio = np.zeros((1, 1600), "float32")
        >>> layer = LogMelSpectrogram(16000, frame_length=400, frame_step=200, num_bands=20)
        >>> layer(audio).shape
        TensorShape([1, 7, 20])
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        frame_length: int,
        frame_step: int,
        num_bands: int = 40,
        low: float = 20.0,
        high: float = 4000.0,
        num_coefficients: int | None = None,
        floor: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        # The power of speech goes beyond float16 at both ends.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.sample_rate = sample_rate
        self.frame_length = frame_length
        self.frame_step = frame_step
        self.num_bands = num_bands
        self.low = low
        self.high = high
        self.num_coefficients = num_coefficients
        self.floor = floor
        bands = mel_bands(sample_rate, frame_length, num_bands, low, high)
        used = np.flatnonzero(bands.any(axis=1))
        self._waves = _windowed_waves(frame_length, used)
        # The squares of cosine and sine parts have the same weights.
        self._bands = np.tile(bands[used], (2, 1)).astype(np.float32)
        count = num_coefficients
        self._cosines = None if count is None else _cosine_transform(num_bands, count)

    @property
    def float_constants(self) -> list[Array]:
        """What an export keeps in float, with all that this layer does."""
        held = (self._waves, self._bands, self._cosines)
        return [array for array in held if array is not None]

    def call(self, audio: Any) -> Any:
        """Return float32 (batch, frames, bands or coefficients).

        Args:
            audio: float (batch, samples) in -1..1.
        """
        parts = ops.conv(
            ops.expand_dims(audio, -1), self._waves, self.frame_step, data_format="channels_last"
        )
        x = ops.log(ops.matmul(ops.square(parts), self._bands) + self.floor)
        return x if self._cosines is None else ops.matmul(x, self._cosines)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, frames, bands or coefficients)."""
        batch, samples = input_shape
        frames = None if samples is None else 1 + (samples - self.frame_length) // self.frame_step
        return batch, frames, self.num_coefficients or self.num_bands

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same layer again."""
        own: tuple[str, ...] = ("sample_rate", "frame_length", "frame_step", "num_bands")
        own += ("low", "high", "num_coefficients", "floor")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def mel_bands(
    sample_rate: int, frame_length: int, num_bands: int, low: float, high: float
) -> Array:
    """Return the weight of each frequency of a real Fourier transform in each band of mel.

    Args:
        sample_rate: In Hz.
        frame_length: Samples that are transformed.
        num_bands: Triangles between ``low`` and ``high`` that each begin in the middle of the last.
        low: In Hz.
        high: In Hz.

    Returns:
        float64 (frame_length // 2 + 1, num_bands).

    Raises:
        UsageError: Bands beyond the sample rate, or so narrow that no frequency falls into one.

    Example:
        >>> mel_bands(8000, 8, 2, 0, 4000).round(2).T.tolist()
        [[0.0, 0.6, 0.0, 0.0, 0.0], [0.0, 0.4, 0.87, 0.38, 0.0]]
    """
    if not 0 <= low < high <= sample_rate / 2:
        raise UsageError(
            f"Bands from {low:g} to {high:g} Hz are not possible at {sample_rate} samples a "
            f"second: they lie between 0 and {sample_rate / 2:g}."
        )
    ends = np.linspace(_mel(low), _mel(high), num_bands + 2)
    bins = _mel(np.arange(frame_length // 2 + 1) * sample_rate / frame_length)[:, np.newaxis]
    rising = (bins - ends[:-2]) / (ends[1:-1] - ends[:-2])
    falling = (ends[2:] - bins) / (ends[2:] - ends[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    if not bands.any(axis=0).all():
        raise UsageError(
            f"{num_bands} bands from {low:g} Hz are too narrow for frames of {frame_length} "
            f"samples, {sample_rate / frame_length:g} Hz apart: no frequency falls into band "
            f"{int(np.argmin(bands.any(axis=0)))}. Take fewer bands or longer frames."
        )
    return np.asarray(bands)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


def _windowed_waves(frame_length: int, frequencies: Array) -> Array:
    """Return cosines, then sines, float32 (frame_length, 1, 2 frequencies)."""
    times = np.arange(frame_length)[:, np.newaxis]
    angles = 2 * np.pi * times * frequencies / frame_length
    window = 0.5 - 0.5 * np.cos(2 * np.pi * times / frame_length)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * window
    return np.asarray(waves[:, np.newaxis].astype(np.float32))


def _cosine_transform(size: int, count: int) -> Array:
    """Return the first columns of the orthonormal DCT-II, float32 (size, count)."""
    from scipy.fft import dct

    return np.asarray(dct(np.eye(size), norm="ortho", axis=1)[:, :count].astype(np.float32))
