"""How sure metrics are; rankings; which labels are likely wrong."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn.metrics import ndcg_score

from zoo_recipes.metrics.classification import Classes, likely_label_errors
from zoo_recipes.metrics.detection import Boxes, match, overlaps
from zoo_recipes.metrics.fairness import parity
from zoo_recipes.metrics.resampling import Numbers, WithLoss, measured, point, rank


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
    found = dict(likely_label_errors(given, probabilities, most=12))
    assert set(found) < set(swapped.tolist())
    assert [*found.values()] == [right[row] for row in found]
    assert likely_label_errors(right[:3], np.eye(4)[right[:3]]) == []
    # Of a class that the model knows little of: its own is still the most probable.
    unsure = np.array([[0.9, 0.1], [0.9, 0.1], [0.51, 0.49], [0.52, 0.48]])
    assert likely_label_errors(np.array([0, 0, 0, 1]), unsure) == [(2, 1)]


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


CLASSES = 4
# Printed by COCOeval of pycocotools 2.0.11 for the boxes below.
COCO = (0.1810118859176035, 0.3903448810573341, 0.12184938086256905)
COCO_WITH_CROWDS = (0.15585974399843208, 0.323945695999072, 0.11655126978863299)


def boxes(generator, count):
    corners = generator.uniform(0, 80, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(5, 30, (count, 2))], axis=1)


def poor_detector(crowds=0.0):
    """Return what there is in 60 images and what is found: shifted boxes, false ones."""
    generator, chance = np.random.default_rng(0), np.random.default_rng(1)
    wanted, given = [], []
    for _ in range(60):
        there = boxes(generator, generator.integers(0, 7))
        classes = generator.integers(0, CLASSES, len(there))
        seen = generator.random(len(there)) < 0.8
        shifted = there[seen] + generator.normal(scale=1.5, size=(seen.sum(), 4))
        false = boxes(generator, generator.integers(0, 5))
        told = np.concatenate([classes[seen], generator.integers(0, CLASSES, len(false))])
        scores = generator.random(len(told)).round(3)
        wanted.append(Boxes(there, classes, ignored=chance.random(len(there)) < crowds))
        given.append(Boxes(np.concatenate([shifted, false]), told, scores))
    return wanted, given


@pytest.fixture(scope="module")
def found():
    return match(*poor_detector(), CLASSES)


def test_mean_average_precision_is_that_of_coco(found):
    wanted = dict(zip(("map", "map_50", "map_75"), COCO, strict=True))
    assert point(found) == pytest.approx(wanted, abs=1e-8)
    some = found.take(np.arange(0, 60, 2))
    weights = np.zeros((1, 60))
    weights[0, ::2] = 1
    for name, value in some.metrics(np.ones((1, 30))).items():
        np.testing.assert_allclose(value, found.metrics(weights)[name])
    low, high = measured(found, resamples=100).intervals["map_50"]
    assert low < COCO[1] < high


def test_crowds_are_left_out_as_coco_leaves_them_out():
    wanted = dict(zip(("map", "map_50", "map_75"), COCO_WITH_CROWDS, strict=True))
    assert point(match(*poor_detector(crowds=0.3), CLASSES)) == pytest.approx(wanted, abs=1e-8)


def test_a_second_box_around_the_same_thing_is_wrong():
    there = Boxes(np.array([[0.0, 0, 10, 10]]), np.array([0]))
    twice = Boxes(np.array([[0.0, 0, 10, 10], [0, 0, 10, 9]]), np.zeros(2, int), np.array([0.5, 1]))
    found = match([there], [twice], 2)
    # The surer one comes first, and leaves the overlaps that it misses to the other.
    assert found.right[:, 0].tolist() == [True, False]
    assert found.right[:, -1].tolist() == [False, True]
    assert np.isnan(found.metrics(np.ones((1, 1)))["average_precision"][0, 1])
    assert overlaps(there.corners, np.array([[20.0, 0, 30, 10]])).tolist() == [[0.0]]


def test_gains_of_rankings():
    generator = np.random.default_rng(0)
    wanted, given = generator.integers(0, 5, (20, 30)), generator.random((20, 30))
    found = point(rank(wanted, given))
    means = {"ndcg": ndcg_score(wanted, given), "ndcg_10": ndcg_score(wanted, given, k=10)}
    assert found == pytest.approx(means)
    assert rank([[1.0, 0.0]], [[1.0, 2.0]]).ndcg[0] == pytest.approx(1 / np.log2(3))
