"""Only what is asked for changes in training."""

import keras
import numpy as np
import pytest
from model_cases import example, small

from zoo.finetuning import set_trainable
from zoo_registry import UsageError


def changed(name, task, how):
    """Return the paths of the weights that one training step changes."""
    model = small(name, task)
    set_trainable(model, how)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {w.path: np.array(w) for w in model.weights}
    inputs = example(model, batch=4)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    model.train_on_batch(given, np.zeros(4, "int32"))
    return {w.path for w in model.weights if not np.array_equal(before[w.path], w)}


def test_the_head_alone():
    assert changed("bert-tiny", "text-classification", "head") == {"logits/kernel", "logits/bias"}


def test_statistics_of_what_is_frozen_stay():
    assert changed("resnet20", "image-classification", "head") == {"logits/kernel", "logits/bias"}


def test_the_last_blocks_and_what_is_behind_them():
    parts = {path.split("/")[0] for path in changed("bert-tiny", "text-classification", "last:1")}
    assert parts == {"block_1", "pooled_output", "logits"}
    parts = {path.split("/")[0] for path in changed("resnet20", "image-classification", "last:1")}
    assert {part.split("_conv")[0].split("_norm")[0] for part in parts} == {
        "stage_2_block_0",
        "logits",
    }


@pytest.mark.parametrize(
    ("task", "how", "message"),
    [
        ("text-classification", "haed", "trainable='haed' is not one of: all, head, last:N. Did"),
        (
            "text-classification",
            "last:3",
            "trainable='last:3': model 'bert' has 2 blocks; ask for 1 to 2.",
        ),
        ("features", "head", "trainable='head': model 'bert' has no head with weights of its own;"),
    ],
)
def test_what_cannot_be_is_refused(task, how, message):
    with pytest.raises(UsageError) as error:
        set_trainable(small("bert-tiny", task), how)
    assert message in str(error.value)
