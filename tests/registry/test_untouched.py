"""What a caller's process is like after work of ours."""

from __future__ import annotations

import logging
import random

import numpy as np

import zoo
from zoo_system.untouched import untouched


def test_generators_and_loggers_stay_as_they_were() -> None:
    def draw() -> tuple[float, float]:
        random.seed(3)
        np.random.seed(3)
        return random.random(), float(np.random.rand())

    logger, before = logging.getLogger("of-a-library"), list(logging.root.handlers)
    logger.setLevel(logging.ERROR)
    wanted = draw()
    random.seed(3)
    np.random.seed(3)
    with untouched():
        random.random()
        np.random.rand(9)
        logging.root.addHandler(logging.NullHandler())
        logger.setLevel(logging.DEBUG)
    assert (random.random(), float(np.random.rand())) == wanted
    assert logging.root.handlers == before
    assert logger.level == logging.ERROR


def test_a_model_that_is_only_sized_draws_nothing() -> None:
    random.seed(3)
    wanted = random.random()
    random.seed(3)
    zoo.size("mlp")
    assert random.random() == wanted


def test_all_that_builds_models_for_its_own_ends_does_so() -> None:
    for function in (zoo.evaluate, zoo.explain, zoo.export, zoo.size, zoo.tune):
        inner = function
        names = []
        while hasattr(inner, "__wrapped__"):
            names.append(inner.__code__.co_qualname)
            inner = inner.__wrapped__
        assert "ContextDecorator.__call__.<locals>.inner" in names, function
