"""Sounds in slices, explained by a model whose weights are known."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from zoo_recipes.explanation.explaining import explain_trained
from zoo_recipes.explanation.reading import Segmentation
from zoo_registry import UsageError

RATE, SAMPLES, PARTS = 1000, 300, 10
WEIGHTS = np.random.default_rng(0).normal(size=(SAMPLES, 2)).astype("float32")


@pytest.fixture(scope="module")
def run(known_run):
    sound = keras.Input((SAMPLES,), name="audio")
    linear = layers.Dense(2, use_bias=False, name="logits")
    model = keras.Model(sound, linear(sound))
    linear.set_weights([WEIGHTS])
    steps = [{"step": "audio", "sample_rate": RATE, "length": SAMPLES}]
    return known_run(model, "known", "audio-classification", ("quiet", "loud"), steps)


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "shap"])
def test_a_slice_is_worth_its_samples_times_their_weights(run, method, tmp_path):
    sound = np.random.default_rng(1).uniform(-1, 1, 250).astype("float32")
    sound[60:90] = 0
    found = explain_trained(
        run, sound, method, label="loud", segmentation=Segmentation(patches=PARTS)
    )
    products = np.pad(sound, (0, SAMPLES - len(sound))) * WEIGHTS[:, 1]
    true = products.reshape(PARTS, -1).sum(axis=1)
    # The third slice is silent, and what fills the sound up.
    heard = [0, 1, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(found.values, true[heard], atol=1e-4)
    assert found.features.names[2] == "0.090-0.120 s"
    assert found.features.spans[2] == (90, 120)
    found.write(tmp_path)
    assert 'alt="heat-map.png"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    with Image.open(tmp_path / "heat-map.png") as picture:
        colours = np.asarray(picture.convert("RGB"), int)
    red, blue = colours[..., 0] - colours[..., 2], colours[..., 2] - colours[..., 0]
    assert (red > 50).any() == (true > 0).any()
    assert (blue > 50).any() == (true < 0).any()


def test_silence_has_nothing_to_explain(run):
    with pytest.raises(UsageError, match="The audio clip is silent from its beginning to its end"):
        explain_trained(run, np.zeros(SAMPLES, "float32"), "occlusion")


def test_grad_cam_is_for_images(run):
    with pytest.raises(UsageError) as failure:
        explain_trained(run, np.ones(SAMPLES, "float32"), "grad-cam")
    assert str(failure.value) == "Method 'grad-cam' is for images; this input is a sound."
