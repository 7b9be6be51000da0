"""The front end of speech models against other people's, and DS-CNN against its paper."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from zoo_models.build import get_model
from zoo_models.layers import LogMelSpectrogram
from zoo_registry import UsageError

SETTINGS = {"frame_length": 640, "frame_step": 320, "num_bands": 40, "low": 20, "high": 4000}


@pytest.fixture(scope="module")
def audio():
    rng = np.random.default_rng(0)
    times = np.arange(16_000) / 16_000
    swept = 0.4 * np.sin(2 * np.pi * (200 + 1500 * times) * times)
    return np.stack([swept + rng.normal(0, 0.01, 16_000), rng.uniform(-1, 1, 16_000)]).astype("f4")


def test_bands_are_those_of_keras(audio):
    ours = np.asarray(LogMelSpectrogram(16_000, **SETTINGS, floor=0)(audio))
    keras_own = keras.layers.MelSpectrogram(
        fft_length=640,
        sequence_length=640,
        sequence_stride=320,
        sampling_rate=16_000,
        num_mel_bins=40,
        min_freq=20,
        max_freq=4000,
        mag_exp=2.0,
        power_to_db=False,
    )
    theirs = np.log(np.asarray(keras_own(audio))).transpose(0, 2, 1)
    # Theirs has half a frame of mirrored audio at either end.
    assert ours.shape == (2, 49, 40)
    np.testing.assert_allclose(ours, theirs[:, 1:50], atol=2e-4)


def test_coefficients_are_those_of_a_fourier_transform_and_scipy(audio):
    from scipy.fft import dct
    from scipy.signal.windows import hann

    layer = LogMelSpectrogram(16_000, **SETTINGS, num_coefficients=10)
    frames = np.lib.stride_tricks.sliding_window_view(audio, 640, axis=1)[:, ::320]
    power = np.abs(np.fft.rfft(frames * hann(640, sym=False))) ** 2
    edges = 700 * np.expm1(np.linspace(_mel(20), _mel(4000), 42) / 1127)
    bins = np.arange(321) * 25
    bands = [
        np.interp(_mel(bins), _mel(edges[at : at + 3]), [0, 1, 0], left=0, right=0)
        for at in range(40)
    ]
    wanted = dct(np.log(power @ np.array(bands).T + 1e-6), norm="ortho")[..., :10]
    np.testing.assert_allclose(np.asarray(layer(audio)), wanted, atol=1e-3)
    assert layer.compute_output_shape((None, 16_000)) == (None, 49, 10)
    again = LogMelSpectrogram.from_config(layer.get_config())
    np.testing.assert_array_equal(again(audio), layer(audio))


def _mel(hertz):
    return 1127 * np.log1p(np.asarray(hertz) / 700)


def test_silence_is_finite_and_half_precision_does_not_reach_the_power():
    layer = LogMelSpectrogram(16_000, **SETTINGS)
    np.testing.assert_allclose(layer(np.zeros((1, 16_000), "f4")), np.log(1e-6), rtol=1e-6)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert LogMelSpectrogram(16_000, **SETTINGS).compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"high": 9000},
            "Bands from 20 to 9000 Hz are not possible at 16000 samples a second: they lie between "
            "0 and 8000.",
        ),
        (
            {"frame_length": 128},
            "40 bands from 20 Hz are too narrow for frames of 128 samples, 125 Hz apart: no "
            "frequency falls into band 0. Take fewer bands or longer frames.",
        ),
    ],
)
def test_bands_that_cannot_be_had(settings, message):
    with pytest.raises(UsageError) as caught:
        LogMelSpectrogram(16_000, **{**SETTINGS, **settings})
    assert str(caught.value) == message


@pytest.mark.parametrize(("size", "kilobytes"), [("s", 38.6), ("m", 189.2), ("l", 497.6)])
def test_ds_cnn_takes_the_memory_of_its_paper(size, kilobytes):
    """The paper's own sum: a byte for each weight and for the two largest neighbouring maps.

    Batch normalization is one bias a channel there.
    """
    model = get_model(f"ds-cnn-{size}")
    weights = sum(
        int(np.prod(weight.shape))
        for weight in model.trainable_weights
        if len(weight.shape) > 1 or weight.path.endswith(("beta", "bias"))
    )
    maps = [
        int(np.prod(layer.output.shape[1:]))
        for layer in model.layers
        if isinstance(layer, keras.layers.Activation)
    ]
    held = max(one + other for one, other in pairwise(maps))
    assert round((weights + held) / 1000, 1) == kilobytes


def test_a_sound_shorter_than_a_frame_is_refused():
    with pytest.raises(UsageError) as caught:
        get_model("ds-cnn-s", length=600)
    assert str(caught.value) == (
        "ds-cnn: an audio clip of length=600 samples is shorter than one frame of frame_length=640."
    )
