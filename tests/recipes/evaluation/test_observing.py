"""What a model answers, kind by kind, from outputs that are known."""

import numpy as np
import pytest

from zoo_recipes.arrays.sources import PreparedArrays, only_logits
from zoo_recipes.evaluation.measuring import observe
from zoo_recipes.metrics.classification import MultiLabels
from zoo_recipes.metrics.resampling import measured, point
from zoo_recipes.recipe import as_recipe
from zoo_registry import UsageError

TAGS = ("O", "B-PER", "I-PER")


def recipe(loss, **arguments):
    data = {
        "model": {"name": "mlp"},
        "dataset": {"name": "digits"},
        "compile": {"loss": {"name": loss, **arguments}, "metrics": []},
    }
    return as_recipe(data, "mine")


def seen(task, targets, outputs, loss, labels=(), **arguments):
    """Observe a model that copies its input, so that its outputs are known."""
    source = PreparedArrays({"x": np.asarray(outputs, np.float32)}, np.asarray(targets))
    return observe(
        lambda inputs: {"logits": inputs["x"]}, recipe(loss, **arguments), task, source, labels
    )


def test_classes_and_their_loss():
    generator = np.random.default_rng(0)
    targets, logits = generator.integers(0, 3, 600), generator.normal(size=(600, 3))
    found = seen("image-classification", targets, logits, "sparse_categorical_crossentropy")
    figures = measured(found.rows, resamples=50)
    assert found.scores["loss"] == pytest.approx(figures.metrics["log_loss"], rel=1e-5)
    assert figures.metrics["loss"] == pytest.approx(found.scores["loss"], rel=1e-5)
    assert figures.intervals["loss"] == pytest.approx(figures.intervals["log_loss"], rel=1e-4)


def test_tags_of_words():
    targets = [[0, 1, 2], [1, 0, -1]]
    logits = np.eye(3)[[[0, 1, 2], [1, 1, 2]]] * 9
    loss = "sparse_categorical_crossentropy"
    found = seen("token-classification", targets, logits, loss, TAGS, ignore_class=-1)
    figures = point(found.outcomes)
    # The last token of the second text does not count: its tag is unknown.
    assert figures["accuracy"] == pytest.approx(4 / 5)
    assert figures["entity_precision"] == pytest.approx(2 / 3)
    assert figures["entity_recall"] == 1
    # The texts have unequal numbers of tags that count: none has a loss of its own.
    assert found.losses is None


@pytest.mark.parametrize("shape", [(50,), (50, 2)])
def test_numbers(shape):
    targets = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = seen("regression", targets, targets.reshape(50, -1) + 1, "mean_squared_error")
    figures = point(found.rows)
    assert [figures[name] for name in ("loss", "rmse", "mae")] == pytest.approx([1, 1, 1], 1e-5)


def test_several_classes():
    targets = np.array([[1.0, 0.0], [1.0, 1.0]])
    logits = [[2.0, -2.0], [2.0, -2.0]]
    found = seen("multi-label", targets, logits, "binary_crossentropy")
    assert isinstance(found.outcomes, MultiLabels)
    assert point(found.outcomes)["subset_accuracy"] == 0.5


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_the_model_does_not_know(label):
    logits = np.zeros((2, 3))
    with pytest.raises(UsageError) as caught:
        seen("text-classification", [0, label], logits, "sparse_categorical_crossentropy")
    assert str(caught.value) == (
        f"The split has label {label}, and the model 3 classes, 0 to 2: choose a split whose right "
        "classes are known (--split, split=)."
    )


def test_what_has_no_metrics():
    with pytest.raises(UsageError) as caught:
        seen("features", np.zeros((2, 3), np.int32), np.zeros((2, 3)), "mse")
    assert str(caught.value) == (
        "Task 'features' with targets int32[2, 3] and outputs [2, 3] has no metrics yet: there are "
        "some for classes, several classes, tagged words, numbers, written texts and language "
        "models."
    )
    with pytest.raises(UsageError, match=r"^The model gives start, end: metrics are computed on "):
        only_logits({"start": 0, "end": 0})
