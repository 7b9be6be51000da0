"""Every built-in model and every task it offers."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from model_cases import BUILTIN, DISTINCT_HEADS, TABLE, example, outputs, small

from zoo.conformance import examinations
from zoo_registry import ModelSpec, models

GOLDEN = Path(__file__).parents[1] / "golden" / "models.json"
every_model = pytest.mark.parametrize("name", BUILTIN)
every_head = pytest.mark.parametrize(("name", "task"), DISTINCT_HEADS)


def expected_shape(model, name, task, batch, length):
    """Return what the builders' docstrings promise."""
    static = dict(zip(model.output_names, model.outputs, strict=True))[name].shape[1:]
    if name.endswith("logits"):
        per_step = task in {"token-classification", "question-answering", "seq2seq"}
        per_step = per_step or (name == "logits" and task.endswith(("-lm", "pretraining")))
        classes = model.zoo_spec.defaults.get("num_classes", 2)
        sizes = {"start_logits": (), "end_logits": (), "next_sentence_logits": (2,)}
        tokens = task.endswith(("-lm", "pretraining", "seq2seq"))
        return (
            batch,
            *((length,) if per_step else ()),
            *sizes.get(name, (40,) if tokens else (classes,)),
        )
    return (batch, *(length if size is None else size for size in static))


def test_golden_parameter_counts():
    golden = json.loads(GOLDEN.read_text())
    assert {name: models.get(name).num_params for name in BUILTIN} == golden


@every_model
def test_spec_is_complete(name):
    spec = models.get(name)
    assert spec.name == name
    assert "Apache-2.0" in spec.license
    assert "https://" in spec.paper
    assert spec.summary.endswith(".")
    assert spec.tags
    assert spec.tasks
    assert spec.inputs
    assert spec.defaults.keys() <= inspect.signature(spec.load_builder()).parameters.keys()
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).num_params == spec.num_params


@every_head
def test_forward(name, task):
    model = small(name, task)
    assert not model.compiled
    assert not set(model.output_names) & {tensor.name for tensor in model.inputs}
    got = outputs(model, example(model, batch=3, length=9))
    for key, value in got.items():
        assert value.shape == expected_shape(model, key, task, 3, 9)
        assert value.dtype == "float32"
        assert np.isfinite(value).all()
        difference = value[0] - value[1]
        apart = np.ptp(difference) if difference.size > 1 else np.abs(difference)
        assert apart > 1e-7, "two examples give the same output"
        if key.endswith("logits"):
            assert not np.allclose(value.sum(-1), 1), "logits went through a softmax"
    if "token_ids" in {tensor.name for tensor in model.inputs}:
        for key, value in outputs(model, example(model, batch=1, length=4)).items():
            assert value.shape == expected_shape(model, key, task, 1, 4)


# What is built by the same code as another is left out, as where files are made of them.
@pytest.mark.parametrize(("name", "task"), TABLE)
def test_every_promise_but_export(name, task, tmp_path):
    (examination,) = examinations(models.get(name), tmp_path, task=task, formats=())
    # What all heads of a model stand on is the same, and `tasks` builds each of them.
    of_first = {"tasks", "full-size", "clean-build", "determinism", "dtype-policies", "clone"}
    once = of_first if task != models.get(name).tasks[0] else set()
    results = [examination.result(each) for each in examination.checks if each not in once]
    assert not [result for result in results if not result.ok]
