"""Recipes that start from weights that are there, and train a part of them."""

import json
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo_recipes.recipe import as_recipe
from zoo_recipes.training.fitting import build
from zoo_recipes.training.training import train
from zoo_registry import UsageError

WORDS = Path(__file__).parents[2] / "weights" / "references" / "tokenizer-bert"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    tokenizer = zoo.load_tokenizer(WORDS)
    file = tmp_path_factory.mktemp("words") / "tokenizer.json"
    tokenizer.save(str(file))
    sizes = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "ff_dim": 32, "max_length": 24}
    model = zoo.get_model("bert", vocab_size=tokenizer.get_vocab_size(), **sizes)
    folder = tmp_path_factory.mktemp("weights") / "bert"
    return zoo.save_pretrained(model, folder, tokenizer=file)


def recipe(snapshot, **model):
    data = {
        "model": {"name": "bert", "task": "text-classification", "weights": str(snapshot), **model},
        "dataset": {"name": "language_id", "train": "train[:2%]", "test": "test[:2%]"}
        | {"input": "text"},
        "preprocessing": [{"step": "tokenize", "length": 16}],
        "tokenizer": {"kind": "pretrained"},
        "fit": {"epochs": 1, "batch_size": 8},
    }
    return as_recipe(data, "mine")


@pytest.mark.parametrize("trainable", ["all", "head", "lora:2"])
def test_what_is_trained_is_said_and_the_run_holds_a_plain_model(
    snapshot, trainable, data_dir, tmp_path, capfd
):
    chosen = recipe(snapshot, trainable=trainable)
    with pytest.warns(UserWarning, match=r"The head of 'bert' starts fresh"):
        run = train(chosen, out=tmp_path / "run", data_dir=data_dir)

    model, info = run.model(), run.info["model"]
    shown = capfd.readouterr().err
    assert f"training {info['num_trained']:,} of" in shown
    assert info["num_params"] == model.count_params()
    trained = {"all": info["num_params"], "head": 16 * 28 + 28}
    assert info["num_trained"] == trained.get(
        trainable, trained["head"] + 2 * 2 * (4 * 32 + 2 * 48)
    )
    assert info["weights"]["source"] == str(snapshot)
    assert set(info["weights"]["sha256"]) == {"model.safetensors"}
    fresh = zoo.get_model("bert", weights=snapshot)
    same = {
        path: np.array_equal(value, {w.path: w for w in fresh.weights}[path])
        for path, value in ((w.path, w) for w in model.weights)
        if path.startswith(("token_embedding", "block_1"))
    }
    assert all(same.values()) == (trainable == "head"), same
    assert same["token_embedding/embeddings"] == (trainable != "all")
    assert all(weight.trainable for weight in model.weights)
    made, given = (json.loads((f / "tokenizer.json").read_text()) for f in (run.assets, snapshot))
    assert made["model"] == given["model"]


def test_the_rows_of_a_run_go_to_the_classes_of_their_names(tmp_path):
    """As many classes of other names would take each other's rows, and answer worse than fresh."""
    model = zoo.get_model("mnist-mlp", num_classes=3)
    folder = tmp_path / "run"
    folder.mkdir()
    model.save(folder / "model.keras")
    known = {"task": "image-classification", "labels": ["ant", "bee", "cow"]}
    (folder / "run.json").write_text(
        json.dumps(
            {
                "format_version": 1,
                "status": "complete",
                "recipe": {"name": "mine", "model": {"name": "mnist-mlp"}},
                **known,
            }
        )
    )
    data = {
        "model": {"name": "mnist-mlp", "task": known["task"], "weights": str(folder)},
        "dataset": {"name": "digits", "train": "train", "test": "test"},
        "fit": {"epochs": 1, "batch_size": 8},
    }
    with pytest.warns(UserWarning, match=r"has none of their name: dog\.$"):
        made = build(as_recipe(data, "mine"), known["task"], ["cow", "dog", "ant"], None)
    theirs, ours = (m.get_layer("logits").kernel.numpy() for m in (model, made))
    np.testing.assert_array_equal(ours[:, [2, 0]], theirs[:, [0, 2]])
    assert not np.array_equal(ours[:, 1], theirs[:, 1])


def test_weights_that_are_not_there_are_refused_before_anything_is_written(data_dir, tmp_path):
    with pytest.raises(UsageError, match=r"^weights='no/such': there is no such file\.$"):
        train(recipe("no/such"), out=tmp_path / "run", data_dir=data_dir)
    assert not (tmp_path / "run").exists()
