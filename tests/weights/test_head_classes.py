"""A head's rows go to the classes of their names, and a head of another task to none."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo_registry import models
from zoo_registry.build import open_weights

REFERENCES = Path(__file__).parent / "references"
TASK = {"task": "text-classification"}
SIZES = {"hidden_dims": (4,), "input_shape": (2, 2, 1)}


@pytest.fixture
def snapshot(tmp_path):
    folder = tmp_path / "snapshot"
    shutil.copytree(REFERENCES / "bert-text-classification", folder)
    configure(folder, id2label={"0": "bad", "1": "so so", "2": "good"})
    return folder


@pytest.fixture
def run(tmp_path):
    """Return the folder of a run of three classes, as far as its weights are read."""
    folder = tmp_path / "run"
    (folder / "assets").mkdir(parents=True)
    model = zoo.get_model("mnist-mlp", num_classes=3, **SIZES)
    model.save(folder / "model.keras")
    info = {
        "recipe": {"model": {"name": "mnist-mlp", "overrides": {**SIZES}}},
        "task": "image-classification",
        "labels": ["ant", "bee", "cow"],
        "preprocessing": [{"step": "image", "size": [2, 2], "channels": 1}],
    }
    (folder / "run.json").write_text(json.dumps(info))
    return folder, model


def configure(folder, drop=(), **values):
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))


def built(name, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = zoo.get_model(name, **arguments)
    return model, [str(warning.message) for warning in caught]


def columns(model):
    head = model.get_layer("logits")
    return np.vstack([head.kernel, head.bias])


def test_rows_of_a_snapshot_go_by_name(snapshot):
    theirs = columns(zoo.get_model("bert", weights=snapshot, **TASK))
    labels = ["good", "odd", "bad"]
    model, (said,) = built("bert", weights=snapshot, labels=labels, **TASK)
    assert said == (
        f"These classes of 'bert' start fresh, as '{snapshot}' has none of their name: odd."
    )
    ours = columns(model)
    np.testing.assert_array_equal(ours[:, [0, 2]], theirs[:, [2, 0]])
    assert np.abs(ours[:-1, 1] - theirs[:-1]).min() > 0
    assert ours[-1, 1] == 0
    assert model.zoo_weights.fresh_classes == ("odd",)
    assert model.zoo_weights.belongings.labels == ("good", "odd", "bad")


def test_as_many_classes_of_other_names_start_fresh(snapshot, run):
    model, (said,) = built("bert", weights=snapshot, labels=["x", "y", "z"], **TASK)
    assert said.startswith("The head of 'bert' starts fresh")
    folder, trained = run
    model, (said,) = built("mnist-mlp", weights=folder, labels=["x", "y", "z"])
    assert said.startswith("The head of 'mnist-mlp' starts fresh")
    assert np.abs(columns(model)[:-1] - columns(trained)[:-1]).min() > 0
    assert model.zoo_weights.loaded == len(model.weights) - 2


def test_rows_of_a_run_go_by_name(run):
    folder, trained = run
    model, (said,) = built("mnist-mlp", weights=folder, labels=["cow", "ant", "dog", "bee"])
    assert said.endswith("has none of their name: dog.")
    np.testing.assert_array_equal(columns(model)[:, [1, 3, 0]], columns(trained))
    model, said = built("mnist-mlp", weights=folder)
    assert said == []
    np.testing.assert_array_equal(columns(model), columns(trained))
    belongings = model.zoo_weights.belongings
    assert belongings.labels == ("ant", "bee", "cow")
    assert [dict(step) for step in belongings.preprocessing] == (
        [{"step": "image", "size": [2, 2], "channels": 1}]
    )


def test_the_head_of_another_task_is_not_taken(snapshot):
    model, (said,) = built("bert", weights=snapshot, task="token-classification")
    assert said.startswith("The head of 'bert' starts fresh")
    assert {"classifier.weight", "classifier.bias"} < set(model.zoo_weights.unused)
    folder = REFERENCES / "distilbert-masked-lm"
    model, (said,) = built("distilbert", weights=folder, **TASK)
    assert "head_dense/kernel" in said


@pytest.mark.parametrize(
    ("keys", "drop", "count"),
    [({}, ("id2label", "label2id"), 2), ({"num_labels": 4}, ("id2label", "label2id"), 4)],
)
def test_classes_that_are_counted_or_left_out_have_the_names_of_transformers(
    snapshot, keys, drop, count
):
    configure(snapshot, drop, **keys)
    labels = open_weights(models.get("bert"), snapshot).labels
    assert labels == [f"LABEL_{index}" for index in range(count)]
