"""How sure figures are, and which labels are likely wrong."""

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate

from zoo_recipes.metrics.classification import Classes, likely_label_errors
from zoo_recipes.metrics.fairness import parity
from zoo_recipes.metrics.resampling import Numbers, WithLoss, measured, point


def answers(right, rows):
    """Return outcomes of which a known number is right."""
    hits = np.arange(rows) < right
    return Classes(np.zeros(rows, int), np.where(hits[:, np.newaxis], [1.0, 0.0], [0.0, 1.0]))


def test_the_interval_of_a_share_is_that_of_theory():
    found = measured(answers(900, 1000))
    low, high = found.intervals["accuracy"]
    half = 1.96 * np.sqrt(0.9 * 0.1 / 1000)
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.003)
    assert set(found.intervals) == set(found.metrics)
    # One class never occurs as the right one: no area, and nobody to recall.
    assert "roc_auc" not in found.metrics
    assert measured(answers(900, 1000)).intervals == found.intervals
    assert measured(answers(900, 1000), seed=1).intervals != found.intervals


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        errors = generator.exponential(size=80)
        low, high = measured(Numbers(np.zeros(80), errors), seed=seed).intervals["mae"]
        held += low < 1 < high
    assert 0.90 < held / 200 < 0.98


def test_a_figure_that_is_not_defined_is_left_out():
    found = Numbers(np.ones(3), np.array([1.0, 2.0, 3.0]))
    assert point(found).keys() == measured(found).metrics.keys()
    assert "r2" not in point(found)


def test_a_loss_goes_along_with_its_rows():
    found = measured(WithLoss(answers(2, 4), np.array([0.0, 0.0, 1.0, 3.0])).take([0, 1, 2]))
    assert found.metrics["loss"] == pytest.approx(1 / 3)
    assert found.intervals["loss"] == (0, 1)


def test_labels_that_were_swapped_are_found():
    generator = np.random.default_rng(0)
    right = generator.integers(0, 4, 500)
    logits = generator.normal(size=(500, 4)) + 7 * np.eye(4)[right]
    swapped = generator.choice(500, 15, replace=False)
    given = right.copy()
    given[swapped] = (right[swapped] + 1) % 4
    probabilities = np.exp(Classes(given, logits).log_probabilities)
    assert set(likely_label_errors(given, probabilities, most=12)) < set(swapped.tolist())
    assert likely_label_errors(right[:3], np.eye(4)[right[:3]]) == []


def test_parity_is_that_of_the_rates_of_groups():
    generator = np.random.default_rng(0)
    groups = generator.choice(["a", "b"], 300)
    targets = generator.integers(0, 2, 300)
    predicted = np.where((groups == "a") & (generator.random(300) < 0.4), 1, targets)
    found = parity(targets, predicted, groups.tolist(), ["no", "yes"])
    rates = MetricFrame(
        metrics=selection_rate, y_true=targets, y_pred=predicted, sensitive_features=groups
    ).by_group
    assert list(found) == ["yes"]
    assert found["yes"]["demographic_parity_difference"] == pytest.approx(abs(np.diff(rates)[0]))
    false_alarms = predicted[(groups == "a") & (targets == 0)].mean()
    assert found["yes"]["equalized_odds_difference"] == pytest.approx(false_alarms)
    one_sided = parity(np.array([1, 1, 0, 1]), np.array([1, 0, 0, 1]), list("aabb"), ["no", "yes"])
    assert set(one_sided["yes"]) == {"demographic_parity_difference", "demographic_parity_ratio"}
