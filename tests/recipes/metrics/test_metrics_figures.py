"""Figures from arrays, against scikit-learn, with rows that count several times."""

import numpy as np
import pytest
from sklearn import metrics

from zoo_recipes.metrics import classification
from zoo_recipes.metrics.classification import Classes, MultiLabels
from zoo_recipes.metrics.resampling import Numbers

ROWS = 400
AVERAGES = ("micro", "macro")


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def weights(generator):
    """Two resamples, and all rows once."""
    drawn = generator.multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=2)
    return np.concatenate([drawn, np.ones((1, ROWS), int)]).astype(float)


def classes(generator, count):
    """Return outcomes with ties, a class that is never given and one that never occurs either."""
    targets = generator.integers(0, count - 1, ROWS)
    logits = np.round(generator.normal(size=(ROWS, count)), 1)
    logits[np.arange(ROWS), targets] += 1
    logits[:, [0, count - 1]] = -9
    return Classes(targets, logits)


def test_figures_of_classes_are_those_of_scikit_learn(generator, weights):
    found = classes(generator, 8)
    targets, predicted = found.targets, found.logits.argmax(axis=1)
    figures = found.metrics(weights)
    assert (
        found.confusion.tolist()
        == metrics.confusion_matrix(targets, predicted, labels=range(8)).tolist()
    )
    for at, row in enumerate(weights):
        options = {"sample_weight": row}
        given = {name: value[at] for name, value in figures.items()}
        assert given["accuracy"] == metrics.accuracy_score(targets, predicted, **options)
        top = metrics.top_k_accuracy_score(
            targets, _untied(found.logits), k=5, labels=range(8), **options
        )
        assert given["top_5_accuracy"] == pytest.approx(top, abs=0.02)
        present = np.union1d(targets[row > 0], predicted[row > 0])
        for average in (*AVERAGES, None):
            score = metrics.precision_recall_fscore_support(
                targets, predicted, labels=present, average=average, zero_division=0, **options
            )
            for name, wanted in zip(("precision", "recall", "f1"), score[:3], strict=True):
                value = given[f"{name}_{average}" if average else name]
                value = value if average else value[present]
                np.testing.assert_allclose(value, wanted, atol=1e-12)
        areas = [
            metrics.roc_auc_score(targets == label, found.log_probabilities[:, label], **options)
            for label in np.unique(targets[row > 0])
        ]
        assert given["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
        probabilities = np.exp(found.log_probabilities)
        loss = metrics.log_loss(targets, probabilities, labels=range(8), **options)
        assert given["log_loss"] == pytest.approx(loss, rel=1e-9)
    assert np.isnan(figures["f1"][:, 7]).all()
    assert (figures["f1"][:, 0] == 0).all()


def _untied(logits):
    # scikit-learn breaks ties by the number of the class, we let the right one win.
    return logits + np.random.default_rng(1).normal(scale=1e-9, size=logits.shape)


@pytest.mark.parametrize("one_logit", [False, True])
def test_two_classes(generator, weights, one_logit):
    targets = generator.integers(0, 2, ROWS)
    margin = np.round(generator.normal(size=ROWS) + targets, 1)
    logits = margin[:, np.newaxis] if one_logit else np.stack([-margin, 0 * margin], axis=1)
    figures = Classes(targets, logits).metrics(weights)
    assert "top_5_accuracy" not in figures
    for at, row in enumerate(weights):
        options = {"sample_weight": row}
        wanted = metrics.accuracy_score(targets, margin > 0, **options)
        assert figures["accuracy"][at] == pytest.approx(wanted)
        wanted = metrics.roc_auc_score(targets, margin, **options)
        assert figures["roc_auc"][at] == pytest.approx(wanted, abs=1e-12)
        wanted = metrics.f1_score(targets, margin > 0, **options)
        assert figures["f1"][at, 1] == pytest.approx(wanted)


def test_the_calibration_error_of_known_confidence():
    # Half of the rows are 90 % sure and 80 % right, the others 60 % sure and 60 % right.
    sure = np.repeat([0.9, 0.6], 10)
    logits = np.stack([np.log(sure), np.log(1 - sure)], axis=1)
    targets = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    figures = Classes(targets, logits).metrics(np.ones((1, 20)))
    assert figures["calibration_error"][0] == pytest.approx((0.1 + 0) / 2)


def test_an_area_of_very_many_values_has_no_interval(generator, weights, monkeypatch):
    monkeypatch.setattr(classification, "MOST_SORTED", 100)
    found = classes(generator, 8)
    assert "roc_auc" not in found.metrics(weights)
    assert "roc_auc" in found.metrics(weights[-1:])


def test_several_classes_an_example(generator, weights):
    targets = (generator.random((ROWS, 4)) < 0.3).astype(int)
    logits = np.round(generator.normal(size=(ROWS, 4)) + targets, 1)
    figures = MultiLabels(targets, logits).metrics(weights)
    for at, row in enumerate(weights):
        options = {"sample_weight": row}
        given = logits >= 0
        wanted = metrics.accuracy_score(targets, given, **options)
        assert figures["subset_accuracy"][at] == pytest.approx(wanted)
        for average in AVERAGES:
            wanted = metrics.f1_score(targets, given, average=average, **options)
            assert figures[f"f1_{average}"][at] == pytest.approx(wanted)
        wanted = metrics.roc_auc_score(targets, logits, **options)
        assert figures["roc_auc"][at] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3)])
def test_numbers(generator, weights, shape):
    targets = generator.normal(size=shape) + 1000
    predictions = targets + generator.normal(scale=0.5, size=shape)
    figures = Numbers(targets, predictions).metrics(weights)
    scores = {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
    }
    for name, score in scores.items():
        wanted = [score(targets, predictions, sample_weight=row) for row in weights]
        np.testing.assert_allclose(figures[name], wanted, rtol=1e-9)
