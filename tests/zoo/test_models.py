"""Every built-in model and every task it offers."""

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_cases import (
    BUILTIN,
    EVERY_HEAD,
    TRAINED_HEADS,
    assert_equal_outputs,
    example,
    outputs,
    small,
)

from zoo_registry import ModelSpec, models
from zoo_registry.build import get_model

GOLDEN = Path(__file__).parents[1] / "golden" / "models.json"
every_model = pytest.mark.parametrize("name", BUILTIN)
every_head = pytest.mark.parametrize(("name", "task"), EVERY_HEAD)


def expected_shapes(model, task, batch, length):
    width = {layer.name: layer for layer in model.layers}
    if task == "features":
        shapes = {"pooled_output": (batch,), "sequence_output": (batch, length)}
        return {name: (*shapes[name], width[name].output.shape[-1]) for name in model.output_names}
    steps = (length,) if task.endswith("-lm") else ()
    size = 40 if task.endswith("-lm") else model.zoo_spec.defaults.get("num_classes", 2)
    return {"logits": (batch, *steps, size)}


def test_golden_parameter_counts():
    golden = json.loads(GOLDEN.read_text())
    assert {name: models.get(name).num_params for name in BUILTIN} == golden


@every_model
def test_spec_is_complete(name):
    spec = models.get(name)
    assert spec.name == name
    assert spec.license == "Apache-2.0"
    assert "https://" in spec.paper
    assert spec.summary.endswith(".")
    assert spec.tags
    assert spec.tasks
    assert spec.inputs
    assert spec.defaults.keys() <= inspect.signature(spec.load_builder()).parameters.keys()
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))).num_params == spec.num_params


@every_model
def test_spec_says_what_the_full_size_model_is(name):
    spec = models.get(name)
    with keras.StatelessScope(initialize_variables=False):  # no memory for the weights
        model = get_model(name)
    assert model.count_params() == spec.num_params
    built = {(t.name, tuple(t.shape[1:]), t.dtype) for t in model.inputs}
    assert {(t.name, t.shape, t.dtype) for t in spec.inputs} == built


@every_head
def test_forward(name, task):
    model = small(name, task)
    assert not model.compiled
    assert not set(model.output_names) & {tensor.name for tensor in model.inputs}
    got = outputs(model, example(model, batch=3, length=9))
    assert {key: value.shape for key, value in got.items()} == expected_shapes(model, task, 3, 9)
    for value in got.values():
        assert value.dtype == "float32"
        assert np.isfinite(value).all()
        assert np.ptp(value[0] - value[1]) > 1e-7, "two examples give the same output"
    if "logits" in got:
        assert not np.allclose(got["logits"].sum(-1), 1), "logits went through a softmax"
    if "token_ids" in {tensor.name for tensor in model.inputs}:
        shorter = outputs(model, example(model, batch=1, length=4))
        shapes = {key: value.shape for key, value in shorter.items()}
        assert shapes == expected_shapes(model, task, 1, 4)


@every_head
def test_save_reload_and_clone(name, task, tmp_path):
    model = small(name, task)
    inputs = example(model)
    wanted = outputs(model, inputs)
    model.save(tmp_path / "model.keras")
    assert_equal_outputs(outputs(keras.models.load_model(tmp_path / "model.keras"), inputs), wanted)
    for copy in (keras.models.clone_model(model), type(model).from_config(model.get_config())):
        copy.set_weights(model.get_weights())
        assert_equal_outputs(outputs(copy, inputs), wanted)


@pytest.mark.parametrize(("name", "task"), TRAINED_HEADS)
def test_one_step_lowers_the_loss(name, task):
    model = small(name, task)
    inputs = example(model, batch=8)
    logits = outputs(model, inputs)["logits"]
    labels = np.random.default_rng(1).integers(0, logits.shape[-1], logits.shape[:-1])
    compute = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    with tf.GradientTape() as tape:
        loss = compute(labels, model(given, training=True))
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables)
    unreached = [
        v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None
    ]
    assert not unreached
    keras.optimizers.SGD(0.05).apply(gradients, model.trainable_variables)
    assert float(compute(labels, outputs(model, inputs)["logits"])) < float(loss)
