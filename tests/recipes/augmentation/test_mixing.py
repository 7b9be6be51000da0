"""Two images in one."""

import numpy as np
import pytest

from zoo_recipes.augmentation.mixing import cut_mix, make_mixes, mix_up, mixed
from zoo_recipes.compiling.losses import CountedAccuracy, SmoothedCrossentropy
from zoo_recipes.configs import Component
from zoo_recipes.recipe import as_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError

# Each image is of one value: that of its class.
CLASSES = np.arange(16)
IMAGES = np.broadcast_to(CLASSES[:, None, None, None], (16, 8, 8, 1)).astype("float32")


@pytest.mark.parametrize("name", ["mix_up", "cut_mix"])
def test_shares_are_those_of_the_pixels(name):
    mixes = make_mixes([Component(name=name, arguments={"alpha": 1.0})])
    seen = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        inputs, fractions = mixed({"image": IMAGES}, CLASSES, mixes, 16, rng)
        np.testing.assert_allclose(fractions.sum(axis=1), 1, atol=1e-6)
        # The mean of the pixels is that of the classes, by their fractions.
        np.testing.assert_allclose(
            inputs["image"].mean(axis=(1, 2, 3)), fractions @ CLASSES, atol=1e-4
        )
        if name == "cut_mix":
            assert set(np.unique(inputs["image"])) <= set(CLASSES)
        seen.append(fractions.max(axis=1).min())
    assert min(seen) < 0.7
    assert (IMAGES[:, 0, 0, 0] == CLASSES).all()  # what was given is as it was


def test_the_same_seed_mixes_the_same():
    one, other = (mix_up(IMAGES, np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(one[0], cut_mix(IMAGES, np.random.default_rng(3))[0])


def test_loss_and_accuracy_take_soft_labels():
    logits = np.array([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]], "float32")
    fractions = np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]], "float32")
    loss = SmoothedCrossentropy(0.1, from_logits=True)
    first, second = (float(loss([c], logits[:1])) for c in (0, 1))
    assert float(loss(fractions[:1], logits[:1])) == pytest.approx(0.25 * first + 0.75 * second)
    assert float(loss(fractions[1:], logits[1:])) == pytest.approx(float(loss([2], logits[1:])))
    metric = CountedAccuracy()
    metric.update_state(fractions, logits)
    metric.update_state([0, 2], logits)
    assert float(metric.result()) == 0.75


def test_only_images_are_mixed():
    with pytest.raises(UsageError, match="only images can be mixed, and the inputs are token_ids"):
        mixed({"token_ids": CLASSES}, CLASSES, [mix_up], 16, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "augmentation: cut_mix makes soft labels, which of all losses only smoothed_"),
        (
            {"compile": {"loss": "smoothed_crossentropy"}, "fit": {"class_weight": "balanced"}},
            "augmentation: cut_mix does not go with fit.class_weight: leave one of them out.",
        ),
    ],
)
def test_what_mixing_does_not_go_with(change, message):
    data = {"model": {"name": "lenet5"}, "dataset": {"name": "digits"}, "augmentation": ["cut_mix"]}
    with pytest.raises(UsageError) as raised:
        as_recipe({**data, **change}, "mine")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alfa": 1.0}, "takes no 'alfa'. Did you mean 'alpha'?"),
        ({"alpha": 0}, "needs alpha above"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=f"augmentation: 'mix_up' {message}"):
        make_mixes([Component(name="mix_up", arguments=arguments)])


@pytest.mark.slow
def test_a_training_on_mixed_images(tmp_path, data_dir):
    recipe = {
        "model": {"name": "mlp", "overrides": {"hidden_dims": [32], "input_shape": [8, 8, 1]}},
        "dataset": {"name": "digits"},
        "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
        "augmentation": [{"name": "mix_up"}, {"name": "cut_mix"}],
        "compile": {
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "loss": {"name": "smoothed_crossentropy", "label_smoothing": 0.0},
        },
        "fit": {"epochs": 6},
    }
    run = train(as_recipe(recipe, "r"), out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert run.metrics["accuracy"] > 0.85
    # Mixed images are harder than those of the test split.
    assert run.history["accuracy"][-1] < run.metrics["accuracy"]
