"""The check finds what it is there to find."""

import keras
import pytest

from zoo.conformance import check
from zoo_registry import ModelSpec, TensorSpec


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


@pytest.mark.parametrize("full_size", [False, True])
@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"num_params": 50}, "num_params is 51 and not 50"),
        ({"macs": 5}, "macs is 42 and not 5"),
        (
            {"inputs": (TensorSpec("pixels", (32, 32, 3)),)},
            "inputs is features: float32[batch, 4] and not pixels: float32[batch, 32, 32, 3]",
        ),
        (
            {"inputs": (TensorSpec("features", (4,), "int32"),)},
            "inputs is features: float32[batch, 4] and not features: int32[batch, 4]",
        ),
    ],
)
def test_what_a_spec_declares_is_counted(declared, message, full_size):
    spec = ModelSpec(name="plain", builder=plain, **declared)
    wrong = [step for step in check(spec, formats=(), full_size=full_size) if not step.ok]
    assert [step.name for step in wrong] == ["spec"]
    assert wrong[0].detail == f"ZooError: Of what the spec of 'plain' says, {message}."


def test_a_task_that_cannot_be_built_is_found():
    def odd(*, task="features"):
        return {"features": plain}[task]()

    spec = ModelSpec(name="odd", builder=odd, tasks=("features", "image-classification"))
    wrong = [step.name for step in check(spec, formats=()) if not step.ok]
    assert wrong == ["spec"]


@pytest.mark.slow
def test_a_format_that_fails_is_a_failed_step():
    steps = check(ModelSpec(name="nan", builder=nan), formats=["onnx"])
    assert not steps[-1].ok
    assert steps[-1].name == "onnx"
