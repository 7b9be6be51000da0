"""Losses and warm-ups that recipes name."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from zoo_recipes.compiling.components import compile_arguments, make_loss
from zoo_recipes.compiling.losses import SmoothedCrossentropy
from zoo_recipes.configs import CompileConfig, Component
from zoo_registry import UsageError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 4, 7)).astype("float32")
NUMBERS = RNG.integers(0, 7, (3, 4))


def smoothed(**arguments):
    return make_loss(Component(name="smoothed_crossentropy", arguments=arguments))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_it_is_keras_smoothing_of_one_hot_targets(smoothing):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    wanted = theirs(np.eye(7)[NUMBERS], LOGITS)
    np.testing.assert_allclose(
        smoothed(label_smoothing=smoothing)(NUMBERS, LOGITS), wanted, rtol=1e-6
    )
    probabilities = keras.ops.softmax(LOGITS)
    ours = smoothed(label_smoothing=smoothing, from_logits=False)(NUMBERS, probabilities)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_padding_does_not_count():
    loss = smoothed(label_smoothing=0.1, ignore_class=0)
    numbers = np.where(np.arange(4) < 2, np.maximum(NUMBERS, 1), 0)
    alone = smoothed(label_smoothing=0.1)(numbers[:, :2], LOGITS[:, :2])
    np.testing.assert_allclose(loss(numbers, LOGITS), alone, rtol=1e-6)
    assert float(loss(np.zeros((3, 4)), LOGITS)) == 0


def test_it_is_saved_and_refuses_what_it_cannot_take():
    loss = smoothed(label_smoothing=0.2, ignore_class=3)
    assert loss.from_logits
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(again, SmoothedCrossentropy)
    assert again.get_config() == loss.get_config()
    with pytest.raises(UsageError, match=r"label_smoothing=2 must be in 0\.\.1"):
        smoothed(label_smoothing=2)


@pytest.mark.parametrize("name", ["polynomial_decay", "cosine_decay"])
@pytest.mark.parametrize(("steps", "first"), [(3, 1e-3), (1000, 0.0)])
def test_a_share_of_few_steps_is_no_warmup(name, steps, first):
    """Small data of one's own have so few steps that a tenth of them is none."""
    schedule = Component(name=name, arguments={"warmup_steps": 0.1})
    optimizer = compile_arguments(CompileConfig(schedule=schedule), steps=steps)["optimizer"]
    assert float(optimizer.learning_rate) == pytest.approx(first, abs=2e-5)
