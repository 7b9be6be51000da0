"""Quantization-aware training: the model, its float reference and the ranges in the file."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo_export import ExportError, export, verify
from zoo_models.layers import ActivationRange, QuantizedWeights
from zoo_models.quantization import quantization_aware, without_fake_quantization
from zoo_registry import UsageError


def separable():
    """Build all kinds of layers that are trained for int8, with what stands between them."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = shortcut = layers.ReLU(6.0, name="relu6")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="separable")


@pytest.fixture(scope="module")
def trained_for_int8(digits):
    keras.utils.set_random_seed(1)
    model = quantization_aware(separable())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(*digits, epochs=5, verbose=0).history
    assert history["accuracy"][-1] > 0.85
    return model


def test_what_is_rounded():
    model = quantization_aware(separable())
    kinds = {layer.name: type(layer) for layer in model.layers}
    rounded = [name for name, kind in kinds.items() if kind is QuantizedWeights]
    ranges = [name for name, kind in kinds.items() if kind is ActivationRange]
    assert rounded == ["conv_quantized", "depthwise_quantized", "logits_quantized"]
    # One for each tensor that integers are computed from; the sum's parts share relu6's.
    assert set(ranges) == {
        *("rescale_range", "relu6_range", "depthwise_range", "flatten_range", "logits")
    }
    assert model.output_shape == (None, 10)
    assert [tensor.name for tensor in model.inputs] == ["image"]


def test_its_weights_are_those_of_the_model_and_the_way_back_is_exact(digits):
    model = separable()
    aware = quantization_aware(model)
    back = without_fake_quantization(aware)
    images = digits[0][:8]

    np.testing.assert_array_equal(back(images), model(images))
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
    assert np.abs(aware(images) - model(images)).max() > 0
    aware.get_layer("conv_quantized").layer.kernel.assign_add(keras.ops.ones((3, 3, 1, 8)))
    np.testing.assert_array_equal(back(images), model(images))


def test_rounded_weights_are_the_nearest_of_255_values():
    dense = layers.Dense(3, use_bias=False)
    layer = QuantizedWeights(dense)
    given = layer(np.eye(4, dtype="float32")).numpy()
    step = np.abs(dense.kernel.numpy()).max() / 127
    np.testing.assert_allclose(given, np.round(dense.kernel.numpy() / step) * step, atol=1e-6)

    conv = layers.DepthwiseConv2D(1, depth_multiplier=2, use_bias=False)
    pixel = np.ones((1, 1, 1, 3), "float32")
    conv.build(pixel.shape)
    conv.kernel.assign(np.array([1, 1e-3, 2, 7, 1e-5, 50]).reshape(1, 1, 3, 2))
    # Each channel has a scale of its own, so that none is lost.
    np.testing.assert_allclose(
        QuantizedWeights(conv)(pixel).numpy().reshape(-1), [1, 1e-3, 2, 7, 1e-5, 50], rtol=1e-5
    )


def test_limits_widen_at_once_and_narrow_slowly_and_stand_still_after_training():
    layer = ActivationRange(momentum=0.5)
    layer(np.array([[-1.0, 3.0]], "float32"), training=True)
    assert (float(layer.low), float(layer.high)) == (-1.0, 3.0)
    layer(np.array([[1.0, 5.0]], "float32"), training=True)  # zero stays among the values
    assert (float(layer.low), float(layer.high)) == (-0.5, 5.0)
    layer(np.array([[-2.0, 1.0]], "float32"), training=True)
    assert (float(layer.low), float(layer.high)) == (-2.0, 3.0)
    assert float(layer(np.array([[100.0]], "float32"))[0, 0]) == pytest.approx(3.0, abs=0.02)
    assert (float(layer.low), float(layer.high)) == (-2.0, 3.0)


def test_it_is_saved_and_loaded(trained_for_int8, digits, tmp_path):
    trained_for_int8.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    images = digits[0][:16]
    np.testing.assert_array_equal(loaded(images), trained_for_int8(images))


def test_a_model_without_such_layers_is_refused():
    inputs = keras.Input((4,))
    with pytest.raises(UsageError) as caught:
        quantization_aware(keras.Model(inputs, layers.ReLU()(inputs), name="bare"))
    assert str(caught.value) == (
        "Model 'bare' has no Dense, Conv2D or DepthwiseConv2D among its layers that could be "
        "trained for int8."
    )


@pytest.mark.slow
def test_the_ranges_of_training_reach_the_files(trained_for_int8, digits, make_run, tmp_path):
    schemes = ["tflite:int8", "tflite:int8-io"]
    bundle = export(
        make_run(trained_for_int8, examples=300), to=["tflite", *schemes], out=tmp_path / "b"
    )
    assert all(row.ok for row in verify(bundle))
    plain = bundle.artifact("tflite")
    assert "FAKE_QUANT" not in plain.facts["operators"]
    logits = trained_for_int8.get_layer("logits")
    step = float(logits.high - logits.low) / 255
    expected = trained_for_int8(digits[0][:300]).numpy()
    for scheme in schemes:
        artifact = bundle.artifact(scheme)
        # All but the rescaling is in integers.
        assert artifact.facts["weights"].get("float32", 0) <= 4
        assert artifact.bytes < plain.bytes
        assert artifact.verification.top1_agreement > 0.97
        # The file gives what the rounding model gives in Keras, to a step or two of its output.
        given = bundle.run({"image": digits[0][:300]}, scheme)["logits"]
        assert np.abs(given - expected).max() < 2.5 * step
        assert (given.argmax(1) == expected.argmax(1)).mean() > 0.98
        scales = _scales(bundle.path / artifact.path)
        for layer in trained_for_int8.layers:
            if isinstance(layer, ActivationRange):
                trained = float(layer.high - layer.low) / 255
                assert np.isclose(scales, trained, rtol=1e-3).any(), layer.name
    int8, int8_io = (bundle.artifact(scheme).facts for scheme in schemes)
    assert (int8["ranges"], "calibration" in int8) == ("trained", False)
    assert int8_io["ranges"] == "trained, those of inputs measured"
    assert int8_io["calibration"]["rows"] == 128
    assert int8_io["quantization"]["image"]["scale"] == 1.0


def test_few_steps_of_training_give_limits_that_hold_what_has_grown(digits):
    keras.utils.set_random_seed(1)
    model = quantization_aware(separable())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(*digits, epochs=1, verbose=0)
    exact = np.asarray(without_fake_quantization(model)(digits[0]))
    assert np.abs(model(digits[0]) - exact).max() < 0.04 * np.abs(exact).max()


@pytest.mark.slow
def test_trained_ranges_that_cut_the_logits_off_are_told(trained_for_int8, make_run, tmp_path):
    model = keras.models.clone_model(trained_for_int8)
    model.set_weights(trained_for_int8.get_weights())
    model.get_layer("logits").high.assign(0.5)
    with pytest.raises(ExportError) as caught:
        export(make_run(model), to=["tflite:int8"], out=tmp_path / "b")
    assert (
        ". Its ranges are what the last steps of training saw: train longer, or take a "
        "scheme that measures them, such as tflite:int16x8."
    ) in str(caught.value)


def _scales(path):
    """Return the scales of all tensors that have one for all channels."""
    from ai_edge_litert.interpreter import Interpreter

    tensors = Interpreter(model_path=str(path)).get_tensor_details()
    found = [tensor["quantization_parameters"]["scales"] for tensor in tensors]
    return [float(scales[0]) for scales in found if len(scales) == 1]
