"""A head's rows go to the classes of their names, and a head of another task to none."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import zoo
from zoo_models.weights.opening import open_weights
from zoo_registry import models

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
        "format_version": 1,
        "status": "complete",
        "recipe": {"name": "mine", "model": {"name": "mnist-mlp", "overrides": {**SIZES}}},
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
    model, (warning,) = built("bert", weights=snapshot, labels=labels, **TASK)
    assert warning == (
        f"These classes of 'bert' start fresh, as '{snapshot}' has none of their name: odd."
    )
    ours = columns(model)
    np.testing.assert_array_equal(ours[:, [0, 2]], theirs[:, [2, 0]])
    assert np.abs(ours[:-1, 1:2] - theirs[:-1]).min() > 0
    assert ours[-1, 1] == 0
    assert model.zoo_weights.fresh_classes == ("odd",)
    assert model.zoo_weights.assets.labels == ("good", "odd", "bad")


def test_as_many_classes_of_other_names_start_fresh(snapshot, run):
    model, (warning,) = built("bert", weights=snapshot, labels=["x", "y", "z"], **TASK)
    assert warning.startswith("The head of 'bert' starts fresh")
    folder, trained = run
    model, (warning,) = built("mnist-mlp", weights=folder, labels=["x", "y", "z"])
    assert warning.startswith("The head of 'mnist-mlp' starts fresh")
    assert np.abs(columns(model)[:-1] - columns(trained)[:-1]).min() > 0
    assert model.zoo_weights.loaded == len(model.weights) - 2


def test_rows_of_a_run_go_by_name(run):
    folder, trained = run
    model, (warning,) = built("mnist-mlp", weights=folder, labels=["cow", "ant", "dog", "bee"])
    assert warning.endswith("has none of their name: dog.")
    np.testing.assert_array_equal(columns(model)[:, [1, 3, 0]], columns(trained))
    model, warning = built("mnist-mlp", weights=folder)
    assert warning == []
    np.testing.assert_array_equal(columns(model), columns(trained))
    assets = model.zoo_weights.assets
    assert assets.labels == ("ant", "bee", "cow")
    assert [dict(step) for step in assets.preprocessing] == (
        [{"step": "image", "size": [2, 2], "channels": 1}]
    )


def test_names_of_two_classes_each_are_no_names(snapshot):
    configure(snapshot, id2label={"0": "crane", "1": "crane", "2": "good"})
    _, (warning,) = built("bert", weights=snapshot, labels=["good", "crane"], **TASK)
    assert warning.endswith("has none of their name: crane.")
    with pytest.raises(zoo.UsageError, match=r"num_classes=5 for 2 labels\.$"):
        built("bert", weights=snapshot, labels=["good", "crane"], num_classes=5, **TASK)


def test_the_head_of_another_task_is_not_taken(snapshot):
    model, (warning,) = built("bert", weights=snapshot, task="token-classification")
    assert warning.startswith("The head of 'bert' starts fresh")
    assert {"classifier.weight", "classifier.bias"} < set(model.zoo_weights.unused)
    folder = REFERENCES / "distilbert-masked-lm"
    model, (warning,) = built("distilbert", weights=folder, **TASK)
    assert "head_dense/kernel" in warning


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


@pytest.mark.parametrize("name", ["vit", "resnet", "mobilenet-v2"])
def test_images_of_two_classes_that_transformers_leaves_unnamed(name, tmp_path):
    folder = tmp_path / "two"
    shutil.copytree(REFERENCES / f"{name}-image-classification", folder)
    configure(folder, ("id2label", "label2id"))
    file = folder / "model.safetensors"
    held = {k: v[:2] if k.startswith("classifier.") else v for k, v in load_file(file).items()}
    save_file({k: np.ascontiguousarray(v) for k, v in held.items()}, file)
    smaller = {} if name == "vit" else {"input_shape": (32, 32, 3)}
    model, warned = built(name, weights=folder, **smaller)
    assert warned == []
    assert model.output_shape == (None, 2)
    head = next(v for k, v in held.items() if k.startswith("classifier.") and v.ndim == 2)
    np.testing.assert_array_equal(model.get_layer("logits").kernel, head.T)


def test_rows_of_classes_that_nothing_names_go_in_their_order_and_that_is_said(run, tmp_path):
    folder, trained = run
    file = tmp_path / "alone.keras"
    file.write_bytes((folder / "model.keras").read_bytes())
    model, (warning,) = built("mnist-mlp", weights=file, labels=["x", "y", "z"], **SIZES)
    assert warning == (
        f"'{file}' does not name its classes: the rows of its head went to those of 'mnist-mlp' "
        "in their order."
    )
    np.testing.assert_array_equal(columns(model), columns(trained))


def test_a_snapshot_written_again_keeps_its_classes_and_its_tokenizer(tmp_path):
    folder = REFERENCES / "pipeline-bert"
    model = zoo.get_model("bert", weights=folder, **TASK)
    again = zoo.save_pretrained(model, tmp_path / "again")
    labels_of = [json.loads((f / "config.json").read_text())["id2label"] for f in (folder, again)]
    assert labels_of[0] == labels_of[1]
    one, other = (zoo.load_tokenizer(f).encode("the café").ids for f in (folder, again))
    assert one == other


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_grey_images_there_and_back(name, tmp_path):
    sizes = {
        "resnet": {
            "num_blocks": (2, 1),
            "filters": (8, 12),
            "stem_filters": 8,
            "bottleneck": False,
        },
        "vit": {"patch_size": 4, "num_layers": 1, "hidden_dim": 16, "num_heads": 4},
    }
    model = zoo.get_model(name, input_shape=(8, 8, 1), num_classes=3, **sizes[name])
    written = zoo.save_pretrained(model, tmp_path / "grey")
    processor = json.loads((written / "preprocessor_config.json").read_text())
    assert len(processor["image_mean"]) == len(processor["image_std"]) == 1
    again, warning = built(name, weights=written)
    assert warning == []
    assert again.input_shape[-1] == 1
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(again(x), model(x), atol=1e-5)


@pytest.mark.parametrize("name", ["gpt", "llama"])
def test_decoders_that_classify_say_what_padding_is(name, tmp_path):
    sizes = {"vocab_size": 40, "num_layers": 1, "hidden_dim": 16, "num_heads": 2}
    model = zoo.get_model(name, ff_dim=24, **sizes, **TASK)
    written = zoo.save_pretrained(model, tmp_path / "out")
    assert json.loads((written / "config.json").read_text())["pad_token_id"] == 0
    tokenizer = zoo.load_tokenizer(REFERENCES / "tokenizer-bert")
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    written = zoo.save_pretrained(model, tmp_path / "two", tokenizer=tmp_path / "tokenizer.json")
    number = tokenizer.token_to_id("[PAD]")
    assert json.loads((written / "config.json").read_text())["pad_token_id"] == number
