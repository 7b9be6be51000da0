"""Audio clips of any kind, file or samples, as mono float32 in -1..1 at one sample rate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.optional import need
from zoo_runtime.preprocess.pixels import kind_of

# What libsndfile reads, by the ends of file names.
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"})
# Loud recordings go a little beyond 1; what goes far beyond it is not audio in -1..1.
_LOUDEST = 4.0
# A gigabyte of float32, 50 minutes in CD quality; a small file can hold more of silence.
_MOST_SAMPLES = 1 << 28
Samples = np.ndarray[Any, Any]


def read_audio(file: str | Path | bytes) -> tuple[Samples, int]:
    """Return the samples of a file, float32 (samples, channels), and their rate in Hz.

    Args:
        file: Its path, or its bytes.

    Raises:
        UsageError: There is no such file, or it is not audio.
        MissingPackageError: The library that reads files is not installed.
    """
    soundfile = need("soundfile", "An audio file")
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise UsageError(f"There is no audio file '{file}'.")

    def opened() -> Any:
        return io.BytesIO(file) if isinstance(file, bytes) else str(file)

    try:
        about = soundfile.info(opened())
        if about.frames * about.channels > _MOST_SAMPLES:
            raise UsageError(
                f"{_name(file)} has {about.frames:,} samples of {about.channels} channels: cut it "
                "first."
            )
        samples, rate = soundfile.read(opened(), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise UsageError(f"{_name(file)} cannot be read as audio: {reason}.") from error
    return samples, int(rate)


def as_mono(raw: Any, sample_rate: int) -> Samples:
    """Return an audio clip as float32 (samples,) in -1..1: the mean of its channels, resampled.

    Args:
        raw: Path or bytes of a file, ``(samples, rate)``, or samples at ``sample_rate``: floats in
            -1..1, int16 or int32, (samples,) or (samples, channels).
        sample_rate: Wanted, in Hz.

    Raises:
        UsageError: Something else, or a clip without a sample.
        MissingPackageError: A library that it takes is not installed.

    Example:
        >>> as_mono(np.array([[0, 16384], [-32768, -32768]], np.int16), 8000)
        array([ 0.25, -1.  ], dtype=float32)
    """
    if isinstance(raw, str | Path | bytes):
        samples, rate = read_audio(raw)
    elif isinstance(raw, tuple) and len(raw) == 2:
        samples, rate = raw
    else:
        samples, rate = raw, sample_rate
    mono = _floats(samples).mean(axis=1)
    if mono.size == 0:
        raise UsageError(f"There is no audio in {_name(raw)}: it has no samples.")
    if not isinstance(rate, int | float | np.number) or not rate >= 1:
        raise UsageError(f"A sample rate is a number of Hz, not {rate!r}.")
    if int(rate) != sample_rate:
        resampler = need("soxr", f"Audio of {int(rate)} Hz where {sample_rate} are wanted")
        mono = resampler.resample(mono, int(rate), sample_rate)
    return np.asarray(np.clip(mono, -1, 1), np.float32)


def fitted(clip: Samples, length: int) -> Samples:
    """Return the first ``length`` samples; a shorter clip is padded with zeros.

    Example:
        >>> fitted(np.ones(2, np.float32), 3), fitted(np.ones(9, np.float32), 2)
        (array([1., 1., 0.], dtype=float32), array([1., 1.], dtype=float32))
    """
    return np.pad(clip[:length], (0, max(0, length - len(clip))))


def _floats(samples: Any) -> Samples:
    array = samples if isinstance(samples, np.ndarray) else None
    if array is None or array.ndim not in {1, 2} or array.dtype.kind not in "fi":
        shape = f" of shape {array.shape}" if array is not None else ""
        raise UsageError(
            "Audio is given as a path, or an array (samples,) or (samples, channels) of floats, "
            "int16 or int32, alone or in a tuple with its sample rate; not "
            f"{kind_of(samples)}{shape}."
        )
    columns = array[:, np.newaxis] if array.ndim == 1 else array
    if array.dtype.kind == "f":
        return _checked(columns.astype(np.float32))
    if array.dtype.itemsize not in {2, 4}:
        raise UsageError(f"Samples in whole numbers are int16 or int32, not {array.dtype}.")
    return (columns / np.float64(np.iinfo(array.dtype).max + 1)).astype(np.float32)


def _checked(samples: Samples) -> Samples:
    loudest = np.abs(samples).max(initial=0)
    if not loudest <= _LOUDEST:
        raise UsageError(f"Samples in floats are in -1..1; these reach {loudest}.")
    return samples


def _name(raw: Any) -> str:
    if isinstance(raw, bytes):
        return f"A file of {len(raw):,} bytes"
    return f"'{raw}'" if isinstance(raw, str | Path) else "an array"
