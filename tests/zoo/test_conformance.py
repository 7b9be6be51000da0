"""The check finds what it is there to find."""

import keras
import pytest

from zoo.conformance import check
from zoo_registry import ModelSpec


class Forgetful(keras.layers.Layer):
    """Does not save its argument."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()


def model_of(layer):
    features = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(features)
    return keras.Model(features, keras.layers.Dense(3, name="logits")(layer(hidden)))


def plain():
    return model_of(keras.layers.Identity())


def nan():
    return model_of(keras.layers.Rescaling(float("nan")))


def constant():
    return model_of(keras.layers.Rescaling(0.0))


def forgetful():
    with keras.saving.custom_object_scope({"Forgetful": Forgetful}):
        return model_of(Forgetful(2.0))


def unreached():
    model = plain()
    features = model.inputs[0]
    stopped = keras.ops.stop_gradient(model.get_layer("hidden")(features))
    return keras.Model(features, keras.layers.Dense(3, name="logits")(stopped))


def broken():
    raise RuntimeError("no such thing")


def failed(builder, **spec):
    with keras.saving.custom_object_scope({"Forgetful": Forgetful}):
        steps = check(ModelSpec(name=builder.__name__, builder=builder, **spec), formats=())
    return {step.name: step.detail for step in steps if not step.ok}


def test_a_good_model_passes():
    assert failed(plain) == {}


@pytest.mark.parametrize(
    ("builder", "step", "message"),
    [
        (nan, "forward", "Output 'logits' holds NaN or infinite values."),
        (constant, "forward", "Output 'logits' is the same for every input."),
        (forgetful, "save", "Output 'logits' differs by "),
        (forgetful, "clone", "Output 'logits' differs by "),
        (unreached, "train", "The loss does not reach hidden/kernel, hidden/bias."),
        (broken, "build", "RuntimeError: no such thing"),
    ],
)
def test_what_is_wrong_is_found(builder, step, message):
    assert message in failed(builder)[step]


def test_a_wrong_parameter_count_is_found_at_full_size():
    spec = ModelSpec(name="plain", builder=plain, num_params=50)
    (step,) = check(spec, formats=(), full_size=True)
    assert step.detail == "ZooError: 51 trainable parameters; the spec says 50."


@pytest.mark.slow
def test_a_format_that_fails_is_a_failed_step():
    steps = check(ModelSpec(name="nan", builder=nan), formats=["onnx"])
    assert not steps[-1].ok
    assert steps[-1].name == "onnx"
