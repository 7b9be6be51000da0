"""Convolutional networks against keras.applications', weight for weight; shapes and refusals."""

import keras
import numpy as np
import pytest

import zoo
from zoo_registry import UsageError

IMAGE = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
# Keras has pixels in -1..1.
PIXELS = {"input_shape": (64, 64, 3), "mean": (0.5,) * 3, "std": (0.5,) * 3}


def copy_weights(source, target):
    """Give every weight a random value; both models have them in the same order."""
    rng = np.random.default_rng(1)
    for theirs, ours in zip(source.weights, target.weights, strict=True):
        fan_in = np.prod(theirs.shape[:-1]) or 1
        if theirs.path.endswith(("kernel", "kernel_0")):
            value = rng.normal(0, fan_in**-0.5, theirs.shape)
        else:
            value = rng.uniform(0.5, 1.5, theirs.shape)
        theirs.assign(value)
        # What is a dense layer here is a 1x1 convolution there.
        ours.assign(value.reshape(ours.shape))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mobilenet-v3-small", "MobileNetV3Small"),
        ("mobilenet-v3-large", "MobileNetV3Large"),
    ],
)
def test_the_same_logits_as_keras(name, theirs):
    ours = zoo.get_model(name, **PIXELS)
    make = getattr(keras.applications, theirs)
    reference = make(weights=None, classifier_activation=None, input_shape=(64, 64, 3))
    copy_weights(reference, ours)
    wanted = np.asarray(reference(IMAGE))
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(ours(IMAGE), wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "mobilenet-v2", "mobilenet-v3-small", "efficientnet-lite0"]
)
def test_maps_of_each_stride_at_any_size(name):
    model = zoo.get_model(name, task="features", input_shape=(None, None, 1))
    for size in (64, 96):
        maps = model(np.zeros((1, size, size, 1), "float32"))
        strides = {key: value for key, value in maps.items() if key.startswith("stride_")}
        assert {"stride_8", "stride_16", "stride_32"} <= set(strides)
        for key, value in strides.items():
            assert value.shape[1] == size // int(key.removeprefix("stride_")), key


def test_shortcuts_of_cifar_resnets_have_no_weights():
    model = zoo.get_model("resnet20")
    kernels = [weight.shape for weight in model.weights if weight.path.endswith("kernel")]
    assert len(kernels) == 20
    assert not [shape for shape in kernels if len(shape) == 4 and shape[0] == 1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet18", {"pooling": "avgg"}, "pooling"),
        ("vit-tiny-patch16-224", {"input_shape": (50, 48, 3)}, "patch"),
        ("mobilenet-v3-small", {"size": "medium"}, "size"),
    ],
)
def test_what_does_not_fit_is_refused(name, arguments, message):
    with pytest.raises(UsageError, match=message):
        zoo.get_model(name, **arguments)
