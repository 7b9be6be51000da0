"""Sounds of every kind become one channel of one length at one sample rate."""

import sys

import numpy as np
import pytest
import soundfile

from zoo_registry import UsageError
from zoo_runtime.errors import MissingPackageError
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.audio import as_mono

STEP = {"step": "audio", "sample_rate": 8000, "length": 8000}


def prepared(raw, step=STEP):
    return Preprocessor([step]).batch([raw])["audio"][0]


def tone(rate, hertz=440, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def test_files_and_samples_agree_bit_for_bit(tmp_path):
    samples = (tone(8000) * 32768).astype(np.int16)
    floats = samples / np.float32(32768)
    raws = [samples, (samples, 8000), floats, floats.astype(np.float64)]
    for suffix, subtype in ((".wav", "PCM_16"), (".flac", "PCM_16"), (".wav", "FLOAT")):
        file = tmp_path / f"{subtype}{suffix}"
        soundfile.write(file, floats, 8000, subtype=subtype)
        raws += [file, str(file)]
    for raw in raws:
        np.testing.assert_array_equal(prepared(raw), floats)


@pytest.mark.parametrize("rate", [16000, 44100, 11025, 4000])
def test_another_rate_gives_the_same_tone(rate):
    made = prepared((tone(rate).astype(np.float32), rate))
    assert (made.dtype, made.shape) == (np.float32, (8000,))
    # Not at the ends, where a resampler takes what lies beyond for silence.
    np.testing.assert_allclose(made[400:-400], tone(8000)[400:-400], atol=2e-3)


def test_what_a_lower_rate_cannot_hold_is_filtered_out():
    made = prepared((tone(44100, hertz=6000), 44100))
    assert np.abs(made[400:-400]).max() < 1e-3


def test_channels_are_mixed_cut_and_padded():
    left, right = tone(8000), tone(8000, hertz=330)
    both = np.stack([left, right], axis=1)
    np.testing.assert_allclose(prepared(both), (left + right) / 2, atol=1e-6)
    short = prepared(left[:100])
    np.testing.assert_array_equal(short[:100], left[:100].astype(np.float32))
    assert not short[100:].any()
    long = np.concatenate([left, right])
    np.testing.assert_array_equal(prepared(long), left.astype(np.float32))
    assert np.abs(prepared(left * 3)).max() == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("no/such.wav", "There is no audio file 'no/such.wav'."),
        (np.zeros(0, np.int16), "There is no audio in an array: it has no samples."),
        (np.full(9, 300.0), "Samples in floats are in -1..1; these reach 300.0."),
        (np.full(9, np.nan), "Samples in floats are in -1..1; these reach nan."),
        (np.zeros(9, np.int64), "Samples in whole numbers are int16 or int32, not int64."),
        ((np.zeros(9), 0), "A sample rate is a number of Hz, not 0."),
        ((np.zeros(9), "8k"), "A sample rate is a number of Hz, not '8k'."),
        (
            np.zeros((2, 3, 4)),
            "Audio is given as a path, or an array (samples,) or (samples, channels) of floats, "
            "int16 or int32, alone or in a tuple with its sample rate; not a ndarray of float64 "
            "of shape (2, 3, 4).",
        ),
    ],
)
def test_what_is_no_sound(raw, message):
    with pytest.raises(UsageError) as caught:
        prepared(raw)
    assert str(caught.value) == message


def test_a_file_that_is_no_sound(tmp_path):
    (tmp_path / "text.wav").write_bytes(b"hello")
    with pytest.raises(UsageError) as caught:
        prepared(tmp_path / "text.wav")
    path = tmp_path / "text.wav"
    assert str(caught.value) == f"'{path}' cannot be read as audio: Format not recognised."


def test_settings_that_make_no_sound():
    for key, value in (("sample_rate", 0), ("length", 1.5)):
        with pytest.raises(UsageError) as caught:
            Preprocessor([{**STEP, key: value}])
        wanted = f"Step 'audio': {key}={value} must be a positive integer"
        most = ", at most 768,000." if key == "sample_rate" else "."
        assert str(caught.value) == wanted + most


def test_without_the_extra_samples_still_work(monkeypatch, tmp_path):
    for name in ("soundfile", "soxr"):
        monkeypatch.setitem(sys.modules, name, None)
    assert as_mono(np.ones(3), 8000).tolist() == [1, 1, 1]
    for raw, what, library in (
        (tmp_path / "a.wav", "An audio file", "soundfile"),
        ((np.ones(3), 16000), "Audio of 16000 Hz where 8000 are wanted", "soxr"),
    ):
        with pytest.raises(MissingPackageError) as caught:
            as_mono(raw, 8000)
        assert str(caught.value) == (
            f"{what} needs the package '{library}', which is not installed: "
            "pip install 'kerazoo-runtime[audio]'"
        )
        # One that is missing is said once, not of every file of a folder.
        assert not isinstance(caught.value, UsageError)


def test_a_library_that_is_there_and_cannot_be_imported(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    (tmp_path / "soundfile.py").write_text("raise OSError('sndfile library not found')")
    with pytest.raises(MissingPackageError) as caught:
        as_mono("a.wav", 8000)
    assert str(caught.value) == (
        "An audio file needs the package 'soundfile', which is installed and cannot be imported: "
        "sndfile library not found"
    )
