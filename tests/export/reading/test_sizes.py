"""Sizes that a model leaves open: who chooses them, and what is reported of them."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo_export import export
from zoo_export.card.notes import notes
from zoo_registry import UsageError


@pytest.fixture
def pooled():
    """Take images of any size."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    return keras.Model(image, layers.Dense(2, name="logits")(x), name="pooled")


def test_the_caller_chooses_the_size_of_images(pooled, tmp_path):
    bundle = export(pooled, to=["tflite", "onnx"], out=tmp_path / "b", image_size=(32, 48))
    assert bundle.artifact("tflite").inputs[0].shape == (1, 32, 48, 3)
    assert bundle.artifact("onnx").inputs[0].shape == ("batch", "height", "width", 3)
    assert "nobody chose" not in (bundle.path / "README.md").read_text()

    square = export(pooled, to="tflite", out=tmp_path / "square", image_size=40)
    assert square.artifact("tflite").inputs[0].shape == (1, 40, 40, 3)


def test_sizes_that_nobody_chose_are_told_where_a_file_fixes_them(pooled, tmp_path):
    bundle = export(pooled, to=["tflite", "onnx"], out=tmp_path / "b")
    told = "Sizes that nobody chose are fixed in it: height 64, width 96"
    assert told in (bundle.path / "README.md").read_text()
    assert not any(told in line for line in notes(bundle.artifact("onnx").facts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image_size": 48, "samples": {"image": np.ones((2, 32, 40, 3), "float32")}},
            "image_size=48x48, but the samples or preprocessing of 'pooled' have height 32, width "
            "40: leave it out.",
        ),
        (
            {"image_size": (48,)},
            "image_size=(48,) must be a number of pixels, such as 224, or height and width, such "
            "as (224, 320).",
        ),
        ({"image_size": 0}, "image_size=0 must be a number of pixels"),
    ],
)
def test_sizes_that_do_not_come_true(pooled, tmp_path, options, message):
    with pytest.raises(UsageError) as caught:
        export(pooled, to="tflite", out=tmp_path / "b", **options)
    assert message in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_what_keras_cannot_answer_steadily_is_told(tmp_path):
    inputs = keras.Input((4,), name="features")
    # Of zeros it is NaN.
    scaled = inputs / keras.ops.sum(keras.ops.abs(inputs), axis=-1, keepdims=True)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(scaled), name="scaled")

    bundle = export(model, to=["tflite", "tflite:float16"], out=tmp_path / "b")

    told = "Not compared on zeros, to which Keras itself has no steady answer."
    assert told in notes(bundle.artifact("tflite").facts)
    assert told not in notes(bundle.artifact("tflite:float16").facts)


@pytest.mark.slow
def test_images_of_any_size_grow_by_a_factor(tmp_path):
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(2, 3, strides=2, padding="same")(image)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="mask")(x)
    model = keras.Model(image, x, name="segmentation")

    bundle = export(model, to=["onnx", "saved_model", "tflite"], out=tmp_path / "b")

    given = {"image": np.random.default_rng(0).random((1, 20, 28, 3), "float32")}
    for runtime in ("onnx", "saved_model"):
        assert bundle.run(given, runtime)["mask"].shape == (1, 20, 28, 2)
