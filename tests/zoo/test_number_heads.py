"""Models that classify predict numbers too: one logit, in the unit of the targets."""

import keras
import numpy as np
import pytest

import zoo
from zoo_models.build import get_model
from zoo_registry import ModelSpec, UsageError


def test_the_value_is_the_logit_in_the_unit_of_the_targets():
    options = {"input_shape": (4,), "hidden_dims": (8,), "task": "regression"}
    keras.utils.set_random_seed(0)
    plain = zoo.get_model("mlp", **options)
    keras.utils.set_random_seed(0)
    scaled = zoo.get_model("mlp", **options, target_mean=40.0, target_scale=12.0)
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    assert scaled.output_names == ["value"]
    assert scaled.output_shape == (None, 1)
    np.testing.assert_allclose(scaled(rows), 40 + 12 * np.asarray(plain(rows)), rtol=1e-6)
    # It has the layers of a classifier of one class, and no other weights.
    assert (
        scaled.count_params() == zoo.get_model("mlp", **options | {"num_classes": 1}).count_params()
    )
    assert scaled.get_layer("logits").units == 1


def test_several_numbers():
    model = zoo.get_model(
        "mlp",
        input_shape=(4,),
        task="regression",
        num_classes=2,
        target_mean=[1.0, 2.0],
        target_scale=[3.0, 4.0],
    )
    model.get_layer("logits").kernel.assign(np.zeros(model.get_layer("logits").kernel.shape))
    np.testing.assert_array_equal(model(np.zeros((1, 4))), [[1, 2]])


@pytest.mark.parametrize(
    ("name", "task", "overrides"),
    [
        ("cnn", "image-regression", {}),
        ("mobilenet-v3-small", "image-regression", {"input_shape": (32, 32, 3)}),
        ("lstm-classifier", "text-regression", {"vocab_size": 30}),
        ("bert-tiny", "text-regression", {"vocab_size": 30}),
    ],
)
def test_every_family_that_classifies(name, task, overrides, tmp_path):
    model = zoo.get_model(name, task=task, **overrides)
    assert (model.output_names, model.output_shape) == (["value"], (None, 1))
    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").output_shape == (None, 1)


def test_what_is_no_head():
    with pytest.raises(UsageError, match="Model 'bert-tiny' has no task 'image-regression'"):
        zoo.get_model("bert-tiny", task="image-regression")
    with pytest.raises(UsageError, match=r"target_scale='wide' must be float"):
        zoo.get_model("mlp", task="regression", target_scale="wide")
    with pytest.raises(UsageError, match="no override 'target_mean'"):
        zoo.get_model("mlp", target_mean=1.0)


def test_a_head_of_ones_own_is_left_alone():
    def own(*, task: str = "regression") -> keras.Model:
        inputs = keras.Input((3,), name="features")
        return keras.Model(inputs, keras.layers.Dense(2, name="mine")(inputs))

    spec = ModelSpec(name="own", builder=own, tasks=("regression",))
    assert get_model(spec).output_names == ["mine"]
    assert spec.head_of("regression") == "regression"
