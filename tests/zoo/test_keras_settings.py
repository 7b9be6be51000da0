"""What the user's own settings of Keras change: nothing, or one sentence says what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from zoo_models.backend import check_backend
from zoo_models.bridges.applications import PIXELS, _pixels, channels_last
from zoo_models.sizing import abstract_model
from zoo_registry import UsageError, models

# One of each family: the others are the same code with other sizes.
FAMILIES = {
    spec.family: name
    for name in models.names()
    if "/" not in name and (spec := models.get(name)).inputs and len(spec.inputs[0].shape) == 3
}


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", [*FAMILIES.values(), "ds-cnn-s", "keras/mobilenet"])
def test_models_are_the_same_whatever_image_data_format_says(name, channels_first):
    spec = models.get(name)
    for task in spec.tasks[:1]:
        keras.utils.clear_session()  # names are counted anew
        model = abstract_model(spec, task, **spec.reduced)
        keras.utils.clear_session()
        with channels_last():
            usual = abstract_model(spec, task, **spec.reduced)
        assert json.dumps(model.get_config(), default=str) == json.dumps(
            usual.get_config(), default=str
        )
        assert [tuple(w.shape) for w in model.weights] == [tuple(w.shape) for w in usual.weights]


def test_models_give_the_same_whatever_image_data_format_says(channels_first):
    """Some layers of Keras ask for it not where they are made but whenever they are called."""
    image, features = keras.Input((32, 32, 3)), keras.Input((4,))
    pixels = {how: keras.Model(image, _pixels(image, how), name=how) for how in PIXELS.values()}
    several = {"num_classes": 2, "target_mean": [1.0, 2.0], "target_scale": 3.0}
    net = zoo.get_model("resnet", **models.get("resnet").reduced)
    numbers = zoo.get_model("mlp", input_shape=(4,), task="regression", **several)
    outputs = {how: prepared(image) for how, prepared in pixels.items()}
    outputs |= {"net": net(image), "numbers": numbers(features)}
    model = keras.Model([image, features], outputs)
    rng = np.random.default_rng(0)
    rows = [rng.uniform(0, 255, (2, 32, 32, 3)), rng.normal(size=(2, 4))]
    given = model(rows)
    with channels_last():
        usual = model(rows)
    for name, value in usual.items():
        assert np.std(value) > 0, name
        np.testing.assert_array_equal(given[name], value, err_msg=name)


def test_augmentation_is_the_same_whatever_image_data_format_says(channels_first):
    from zoo_recipes.compiling.components import make_augmentation
    from zoo_recipes.configs import Component

    layer = make_augmentation(
        Component(name="RandomTranslation", arguments={"height_factor": 0.1, "width_factor": 0.1})
    )
    assert layer.data_format == "channels_last"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must hold an object: correct it, or remove it."),
        ('{"floatx": "float99"}', "floatx is 'float99', and Keras takes float32, float16,"),
    ],
)
def test_settings_that_keras_cannot_be_imported_with(text, message, tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text(text)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delitem(sys.modules, "keras")
    with pytest.raises(UsageError, match=re.escape(message)):
        check_backend()


@pytest.mark.parametrize("how", ["environment", "settings"])
@pytest.mark.parametrize(
    "code",
    [
        "zoo.get_model('mlp')",
        "zoo.train('digits-mlp', out='run')",
        "zoo.load_model(__file__)",
        "zoo.size('mlp')",
        "zoo.evaluate('run')",
        "zoo.explain('run', 'picture.png')",
        "from zoo.cli.main import main; main(['show', 'mlp', '--batch', '1'])",
    ],
)
def test_another_backend_is_one_sentence(code, how, tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    (tmp_path / "script.py").write_text(f"import zoo\n{code}\n")
    environment = {"KERAS_BACKEND": "jax"} if how == "environment" else {}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        env={**_without_backend(), "KERAS_HOME": str(tmp_path), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].endswith(
        "set KERAS_BACKEND=tensorflow before Python starts."
    )
    assert "on TensorFlow, not on 'jax'" in done.stderr


def _without_backend() -> dict[str, str]:
    import os

    return {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}


def test_one_graph_may_hold_two_models_of_a_kind():
    one = zoo.get_model("mlp", input_shape=(4,), hidden_dims=(3,), name="left")
    two = zoo.get_model("mlp", input_shape=(4,), hidden_dims=(3,), name="right")
    features = keras.Input((4,))
    both = keras.Model(features, keras.layers.Average()([one(features), two(features)]))
    assert {layer.name for layer in both.layers} >= {"left", "right"}
    assert zoo.get_model(name="mlp", input_shape=(4,)).name == "mlp"
    with pytest.raises(zoo.UsageError, match="get_model needs the name of a model"):
        zoo.get_model()
