"""What an export computes with: weights as they are saved, and weights that are a bit off."""

import keras
import numpy as np
import pytest

from zoo_export.reading.inference import in_last_bit
from zoo_export.reading.model_file import load


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_move_by_their_last_bit_up_or_down_and_whole_numbers_stay(dtype):
    array = np.random.default_rng(0).normal(size=(7, 143)).astype(dtype)
    array[0] = np.arange(143) - 70
    moved = in_last_bit(np.random.default_rng(1), array)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved[0], array[0])
    steps = (moved[1:] - array[1:]) / np.spacing(np.abs(array[1:]))
    assert set(np.unique(np.abs(steps))) <= {1.0, 2.0}
    assert 0.45 < (steps > 0).mean() < 0.55
    assert in_last_bit(np.random.default_rng(1), np.array(2.5, dtype)).shape == ()


def test_a_model_is_loaded_with_its_weights_though_none_are_drawn(tmp_path):
    inputs = keras.Input((4, 3))
    hidden = keras.layers.LSTM(5)(inputs)  # an orthogonal kernel, and biases of one
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="he_normal")(hidden))
    model.save(tmp_path / "model", zipped=False)
    loaded = load(tmp_path / "model")
    for weight, wanted in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert np.asarray(keras.initializers.Orthogonal()((3, 3))).any()
