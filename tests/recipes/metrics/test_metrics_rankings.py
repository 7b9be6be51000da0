"""Figures of boxes, against what pycocotools counts, and of rankings."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from zoo_recipes.metrics.detection import Boxes, match, overlaps
from zoo_recipes.metrics.resampling import measured, point, rank

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
