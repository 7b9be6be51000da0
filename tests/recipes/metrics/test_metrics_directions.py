"""Which way a metric is better."""

import inspect

import keras
import pytest

from zoo_recipes.compiling.keras_names import KERAS_COSTS, bare_name, is_cost

ARGUMENTS = {"num_classes": 2, "target_class_ids": [0]}
SHORT = ("bce", "kld", "mae", "mape", "mse", "msle")
NO_LOSSES = {"Loss", "deserialize", "get", "serialize"}
# Less of it is better where it is a loss, more where it is a metric.
BOTH_WAYS = {"cosinesimilarity"}


def direction(kind):
    """Return what Keras itself goes by, in ``EarlyStopping``; some metrics have none."""
    known = inspect.signature(kind).parameters
    try:
        metric = kind(**{key: value for key, value in ARGUMENTS.items() if key in known})
    except TypeError:  # bases, and those that are asked for at a value of another one
        return None
    return getattr(metric, "_direction", None)


def metrics(wanted):
    kinds = [kind for kind in vars(keras.metrics).values() if isinstance(kind, type)]
    return {bare_name(kind.__name__) for kind in kinds if direction(kind) == wanted}


def test_the_costs_are_those_of_keras():
    losses = {name for name in vars(keras.losses) if not name.startswith("_")} - NO_LOSSES
    aliases = {name for name in SHORT if keras.losses.get(name)}
    known = {bare_name(name) for name in losses | aliases} | metrics("down")
    assert known - BOTH_WAYS == KERAS_COSTS
    assert "meansquarederror" in metrics("down")


def test_more_is_better_of_all_others_of_keras():
    assert {"auc", "f1score", "meaniou", "r2score", *BOTH_WAYS} <= metrics("up")
    assert not [name for name in metrics("up") if is_cost(name) or is_cost(f"val_{name}")]


@pytest.mark.parametrize(
    "name",
    [
        *("loss", "log_loss", "calibration_error", "error_rate", "rmse", "mae", "perplexity"),
        *("bits_per_character", "val_loss", "val_mse", "val_RootMeanSquaredError", "log_cosh"),
        *("val_boxes_mean_absolute_error", "val_hinge", "poisson", "KLDivergence", "logits_loss"),
    ],
)
def test_less_is_better(name):
    assert is_cost(name)


@pytest.mark.parametrize(
    "name",
    [
        *("accuracy", "val_roc_auc", "r2", "map_50", "bleu", "cosine_similarity", ""),
        # Outputs with such names.
        *("error_accuracy", "val_loss_accuracy", "mae_auc", "bits_precision"),
    ],
)
def test_more_is_better(name):
    assert not is_cost(name)
