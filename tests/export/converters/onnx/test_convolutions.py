"""Convolutions in ONNX: channels first from end to end, with all that can go inside of them."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops

from zoo_export import export

pytestmark = pytest.mark.slow


def _squeeze_and_excite(x):
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(4, 1, activation="relu")(y)
    y = layers.Conv2D(channels, 1, activation="hard_sigmoid")(y)
    return layers.Multiply()([x, y])


def _block(x, activation, **options):
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, **options)(x)
    return layers.Activation(activation)(layers.BatchNormalization()(x))


def _mobile(image):
    x = layers.Rescaling(2.0, offset=[-1.0, 0.5, 0.25])(image)
    x = _block(x, "hard_swish", strides=2)
    x = layers.ZeroPadding2D(((0, 1), (2, 0)))(x)
    x = layers.DepthwiseConv2D(3, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = _squeeze_and_excite(x)
    x = layers.Add()([x, _block(x, "silu")])
    return layers.Dense(5, name="logits")(layers.GlobalMaxPooling2D()(x))


def _branches(image):
    x = layers.BatchNormalization()(image)  # nothing before it that it could go into
    a = layers.MaxPooling2D(2)(_block(x, "relu"))
    b = layers.AveragePooling2D(2)(_block(x, "leaky_relu"))
    x = layers.Concatenate()([a, b, a])
    shared = layers.Conv2D(4, 1)
    y = shared(x)
    scaled = layers.BatchNormalization()(y)  # `y` itself is read too
    z = layers.BatchNormalization()(shared(x * 2.0))  # the weights are read twice
    return {
        "map": layers.PReLU(shared_axes=[1, 2])(scaled),
        "flat": layers.Flatten()(layers.Add()([y, z])),
        "mean": ops.mean(y, axis=-1),
        "rows": ops.mean(y, axis=1),
        "softmax": layers.Softmax()(layers.Conv2DTranspose(3, 2, strides=2)(y)),
    }


def _volume(steps):
    x = layers.BatchNormalization()(layers.Conv3D(4, 2)(steps))
    return layers.Dense(2, name="logits")(layers.GlobalAveragePooling3D()(layers.ReLU()(x)))


def _steps(steps):
    x = layers.BatchNormalization()(layers.Conv1D(4, 3, padding="same")(steps))
    return layers.Dense(2, name="logits")(layers.ReLU()(x))


MODELS = {
    # name: function, shape, Transposes and Convs in the file
    "mobile": (_mobile, (15, 17, 3), 1, 5),
    "branches": (_branches, (8, 12, 3), None, 4),
    "volume": (_volume, (4, 5, 6, 2), 1, 1),
    "steps": (_steps, (9, 2), None, 1),
}


@pytest.mark.parametrize("name", MODELS)
def test_channels_first(name, tmp_path):
    keras.utils.set_random_seed(3)
    function, shape, transposes, convolutions = MODELS[name]
    image = keras.Input(shape, name="image")
    model = keras.Model(image, function(image), name=name)
    for weight in model.weights:  # as after training: no variance of one, no mean of zero
        weight.assign(weight + 0.3 * keras.random.uniform(weight.shape))

    bundle = export(model, to="onnx", out=tmp_path / "bundle")

    artifact = bundle.artifact("onnx")
    assert artifact.verification.ok
    operators = artifact.facts["operators"]
    assert operators["Conv"] == convolutions
    if transposes is not None:
        assert operators["Transpose"] == transposes
        assert not {"Sqrt", "Reciprocal", "BatchNormalization", "Sub"} & set(operators)
    graph = onnx.load(bundle.path / artifact.path).graph
    assert len({node.name for node in graph.node}) == len(graph.node)


def test_mobilenet_is_convolutions_and_activations(tmp_path):
    import zoo

    model = zoo.get_model("mobilenet-v3-small", input_shape=(32, 32, 3), num_classes=10)
    operators = export(model, to="onnx", out=tmp_path / "b").artifact("onnx").facts["operators"]
    wanted = {"Conv": 52, "HardSwish": 19, "HardSigmoid": 9, "Transpose": 1}
    assert {name: operators[name] for name in wanted} == wanted
    assert sum(operators.values()) <= 126


@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_zeros_around_negative_numbers_are_pooled_as_zeros(tmp_path, pooling):
    image = keras.Input((8, 8, 3), name="image")
    below = layers.Conv2D(16, 3, bias_initializer=keras.initializers.Constant(-9), name="c")(image)
    pooled = pooling(3, 2, name="pooled")(layers.ZeroPadding2D(1)(below))
    model = keras.Model(image, pooled, name="edge")
    rows = np.random.default_rng(0).uniform(0, 1, (9, 8, 8, 3)).astype(np.float32)
    formats = ["onnx", "onnx:float16", "onnx:dynamic-int8", "onnx:int8"]

    made = export(model, to=formats, out=tmp_path / "b", calibration={"image": rows})
    fast = export(model, to=["onnx"], optimize="onnxruntime", out=tmp_path / "fast")

    right = np.asarray(model(rows))
    assert (right[:, 0] == 0).all() == (pooling is layers.MaxPooling2D)
    for bundle, row in [*((made, row) for row in formats), (fast, "onnx")]:
        given = bundle.run({"image": rows}, row)["pooled"]
        assert np.abs(given - right).max() < 0.2, row
