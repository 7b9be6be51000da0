"""Embeddings that are learned from which examples belong together."""

import numpy as np
import pytest

import zoo
from zoo_recipes.distributed.cluster import check_recipe
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import as_recipe
from zoo_recipes.tasks.contrasting import Contrastive, ViewAccuracy
from zoo_recipes.tasks.views import neighbors, retrieved
from zoo_recipes.training.training import train
from zoo_registry import UsageError

VIEWS = {
    "model": {
        "name": "cnn",
        "task": "features",
        "overrides": {"input_shape": [8, 8, 1], "filters": [16, 32], "padding": "same"},
    },
    "dataset": {"name": "digits"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "augmentation": [
        {"name": "random_translation", "height_factor": 0.15, "width_factor": 0.15},
        {"name": "random_rotation", "factor": 0.05},
    ],
    "contrastive": {"temperature": 0.2, "projection_dim": 16},
    "compile": {"optimizer": {"name": "adam", "learning_rate": 0.003}},
    "fit": {"epochs": 4, "batch_size": 128},
}
TEXTS = {
    "model": {
        "name": "transformer-classifier",
        "task": "features",
        "overrides": {"hidden_dim": 32, "num_layers": 1, "ff_dim": 32, "num_heads": 2},
    },
    "dataset": {"name": "language_id", "input": ["text", "english"]},
    "preprocessing": [{"step": "tokenize", "length": 16}],
    "tokenizer": {"kind": "wordpiece", "vocab_size": 200},
    "contrastive": {},
    "compile": {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    "fit": {"epochs": 8, "batch_size": 32},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, data_dir):
    out = tmp_path_factory.mktemp("contrasting") / "encoder"
    return train(as_recipe(VIEWS, "views"), out=out, data_dir=data_dir, verbose=False)


def test_the_loss_is_that_of_the_paper():
    rows = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    exponents = np.exp(units @ units.T / 0.5)
    losses = [
        -np.log(exponents[i, j] / (exponents[i].sum() - exponents[i, i]))
        for i, j in zip(range(6), [3, 4, 5, 0, 1, 2], strict=True)
    ]
    loss = Contrastive(temperature=0.5)
    nothing = np.zeros(6)
    np.testing.assert_allclose(loss.call(nothing, rows), losses, rtol=1e-5)
    again = Contrastive.from_config(loss.get_config())
    assert float(again(nothing, rows)) == pytest.approx(np.mean(losses), rel=1e-5)
    # float16 has a third of the digits, and cosines are computed in float32.
    assert float(loss(nothing, rows.astype("float16"))) == pytest.approx(np.mean(losses), rel=1e-2)
    metric = ViewAccuracy()
    metric.update_state(nothing, np.concatenate([rows[:3], rows[:3] + 0.01]))
    assert float(metric.result()) == 1.0


def test_figures_are_those_of_all_pairs_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 50, 4))
    first, second = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    classes, texts = rng.integers(0, 3, 50), [f"text {number}" for number in range(50)]
    cosines = first @ first.T - 9 * np.eye(50)
    across = first @ second.T
    ranks = 1 + (across > np.diag(across)[:, np.newaxis]).sum(axis=1)
    monkeypatch.setattr("zoo_recipes.tasks.views._BLOCK", 16)
    hits, _ = neighbors(first, classes).counted["neighbor_accuracy"]
    assert (hits == (classes[cosines.argmax(axis=1)] == classes)).all()
    found = retrieved(first, second, texts).counted
    assert (found["recall_at_1"][0] == (ranks == 1)).all()
    assert (found["recall_at_10"][0] == (ranks <= 10)).all()
    np.testing.assert_allclose(found["mrr"][0], 1 / ranks)
    # Where all texts are the same one, every answer is right.
    assert retrieved(first, second, ["a"] * 50).counted["recall_at_1"][0].all()


def test_views_of_images(encoder, tmp_path, data_dir, measured_again):
    model = encoder.model()
    # The head of training is not part of what is kept.
    assert [layer.name for layer in model.layers if "projection" in layer.name] == []
    assert model.output_shape == (None, 64)
    assert encoder.metrics == measured_again(encoder, data_dir=data_dir)
    assert encoder.metrics["neighbor_accuracy"] > 0.93
    bundle = zoo.export(encoder.path, to="tflite", out=tmp_path / "bundle")
    found = zoo.evaluate(bundle, data_dir=data_dir).metrics
    assert found["neighbor_accuracy"] == pytest.approx(
        encoder.metrics["neighbor_accuracy"], abs=0.005
    )


def test_a_run_is_what_another_model_begins_with(encoder, tmp_path):
    weights = str(encoder.path)
    with pytest.warns(UserWarning, match="The head of 'cnn' starts fresh.*logits/kernel"):
        model = zoo.get_model("cnn", num_classes=3, weights=weights)
    # Sizes are those of the run.
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 1), (None, 3))
    ours, theirs = (m.get_layer("conv_1").kernel.numpy() for m in (model, encoder.model()))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UsageError) as raised:
        zoo.get_model("cnn", weights=weights, padding="valid")
    assert (
        "do not fit model 'cnn': of another shape: dense/kernel (32, 64) and not (512, 64)"
        in str(raised.value)
    )
    with pytest.raises(UsageError) as raised:
        zoo.get_model("mlp", weights=weights)
    assert str(raised.value) == f"weights='{weights}' are of model 'cnn', not of 'mlp'."
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="is a run that is not complete: `zoo train --resume"):
        zoo.get_model("cnn", weights=tmp_path)


@pytest.mark.slow
def test_pairs_of_texts_from_a_file(tmp_path, data_dir):
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "ru", "se") for b in ("ta", "vo", "ni", "pe")]
    pairs = [(a, b) for a in words for b in words if a < b]
    rows = [f"{a} {b}\t{b.upper()} und {a.upper()}" for a, b in pairs]
    file = tmp_path / "pairs.tsv"
    file.write_text("\n".join(["source\ttarget", *rows]), encoding="utf-8")
    run = train(
        with_overrides(as_recipe(TEXTS, "texts"), ["fit.epochs=12"]),  # 152 pairs are few
        data=file,
        out=tmp_path / "run",
        data_dir=data_dir,
        verbose=False,
    )
    assert run.recipe.dataset.input == ("source", "target")
    assert run.recipe.dataset.validation == "validation"
    assert run.metrics["recall_at_1"] > 0.5  # by chance 1 in 19
    assert run.metrics["mrr"] >= run.metrics["recall_at_1"]
    # A model of classes begins with the tokenizer and the sizes of the run.
    with pytest.warns(UserWarning, match="starts fresh"):
        model = zoo.get_model("transformer-classifier", num_classes=2, weights=run.path)
    assert model.get_layer("token_embedding").embeddings.shape[1] == 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compile": {"loss": "mse"}}, "there are no targets to learn; leave compile.loss out."),
        ({"fit": {"class_weight": "balanced"}}, "leave fit.class_weight out."),
        (
            {"dataset": {"name": "digits", "validation": "test"}},
            "contrastive: views of one example differ by augmentation, which validation has none "
            "of; leave dataset.validation out.",
        ),
        (
            {"contrastive": {"temperature": 0}},
            "contrastive.temperature = 0: it should be greater than 0.",
        ),
    ],
)
def test_what_does_not_go_with_it(changes, message):
    with pytest.raises(UsageError) as raised:
        as_recipe({**VIEWS, **changes}, "mine")
    assert message in str(raised.value)


def test_several_workers_see_parts_only():
    with pytest.raises(UsageError) as raised:
        check_recipe(as_recipe(VIEWS, "mine"), 2)
    assert str(raised.value) == (
        "contrastive: every example is compared with all others of a batch, of which each worker "
        "has a part only. Train it with one."
    )


@pytest.mark.slow
def test_feature_maps_are_no_embedding(tmp_path, data_dir):
    model = {"name": "bert-tiny", "task": "masked-lm", "overrides": {"sequence_length": 16}}
    data = {
        **TEXTS,
        "model": model,
        "dataset": {"name": "language_id", "input": "text"},
    }
    with pytest.raises(UsageError) as raised:
        train(as_recipe(data, "mine"), out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert str(raised.value) == (
        "contrastive: model 'bert' gives (16, 200) for an example, and what is compared is "
        "one vector: set model.task to 'features' or 'sentence-embedding'."
    )
