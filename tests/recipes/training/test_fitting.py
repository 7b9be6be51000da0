"""Which way a metric that decides something is better, of whatever output it is."""

import pytest

from zoo_recipes.recipe import as_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError

TWO_OUTPUTS = {
    "model": {
        "name": "bert-tiny",
        "task": "pretraining",
        "overrides": {
            "sequence_length": 32,
            "use_segments": True,
            "hidden_dim": 32,
            "num_layers": 1,
        },
    },
    "dataset": {
        "name": "pydoc",
        "input": "text",
        "train": "train[:5%]",
        "validation": "train[95%:]",
        "test": "test[:5%]",
    },
    "preprocessing": [{"step": "tokenize", "length": 32, "segment_ids": True}],
    "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    "compile": {
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "loss": {"name": "sparse_categorical_crossentropy", "ignore_class": -1},
    },
}
VIEWS = {
    "model": {
        "name": "cnn",
        "task": "features",
        "overrides": {"input_shape": [8, 8, 1], "filters": [8], "padding": "same"},
    },
    "dataset": {"name": "digits"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "augmentation": [{"name": "random_rotation", "factor": 0.05}],
    "contrastive": {},
    "compile": {"optimizer": {"name": "adam", "learning_rate": 0.003}},
}
RATE = 0.003


def expected_rates(values, sign):
    """Return the rate of each epoch, half after each that is no better; after two there is none."""
    rates, rate, best, waited = [], RATE, None, 0
    for value in values:
        rates.append(rate)
        if best is None or sign * value > best:
            best, waited = sign * value, 0
        else:
            rate, waited = rate / 2, waited + 1
        if waited == 2:
            break
    return rates


def trained(data, fit, out, data_dir):
    recipe = as_recipe({**data, "fit": {"batch_size": 32, **fit}}, "watched")
    return train(recipe, out=out, data_dir=data_dir, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "monitor", "sign"),
    [
        (TWO_OUTPUTS, "val_logits_accuracy", 1),
        (TWO_OUTPUTS, "val_next_sentence_logits_loss", -1),
        (VIEWS, "accuracy", 1),
    ],
)
def test_a_metric_that_keras_knows_no_direction_of(data, monitor, sign, data_dir, tmp_path):
    plateau = {"name": "ReduceLROnPlateau", "monitor": monitor, "factor": 0.5, "patience": 1}
    fit = {
        "epochs": 6,
        "early_stopping": {"monitor": monitor, "patience": 2},
        "callbacks": [{**plateau, "min_delta": 0.0}],
    }
    history = trained(data, fit, tmp_path / "run", data_dir).history
    assert history["learning_rate"] == pytest.approx(expected_rates(history[monitor], sign))
    # The other way round the rates would be others.
    assert history["learning_rate"] != pytest.approx(expected_rates(history[monitor], -sign))


@pytest.mark.slow
def test_the_direction_that_a_recipe_gives_stays(data_dir, tmp_path):
    plateau = {"name": "ReduceLROnPlateau", "monitor": "accuracy", "mode": "min", "factor": 0.5}
    fit = {"epochs": 3, "keep_best": "accuracy"}
    fit["callbacks"] = [{**plateau, "patience": 1, "min_delta": 0.0}]
    run = trained(VIEWS, fit, tmp_path / "run", data_dir)
    rates = expected_rates(run.history["accuracy"], -1)
    assert run.history["learning_rate"] == pytest.approx(rates)
    assert rates[-1] < RATE


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        ({"monitor": "acuracy"}, '"acuracy": the training has no such metric. Did you mean \'acc'),
        ({}, "\"val_loss\": the training has no such metric. Did you mean 'loss'?"),
    ],
)
def test_a_plateau_of_what_does_not_exist(watched, said, data_dir, tmp_path):
    fit = {"callbacks": [{"name": "ReduceLROnPlateau", **watched}]}
    with pytest.raises(UsageError) as caught:
        trained(VIEWS, fit, tmp_path / "run", data_dir)
    assert str(caught.value).startswith(f"fit.callbacks.monitor = {said}")
