"""Only what is asked for changes in training."""

import keras
import numpy as np
import pytest
from model_cases import example, small

import zoo
from zoo_models.build import check_trainable
from zoo_models.finetuning import merge_lora, set_trainable
from zoo_registry import UsageError


def trained(name, task, how):
    """Return a model after one training step and the paths of the weights that it changed."""
    model = small(name, task)
    set_trainable(model, *check_trainable(how))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {w.path: np.array(w) for w in model.weights}
    model.train_on_batch(given(model), np.zeros(4, "int32"))
    return model, {w.path for w in model.weights if not np.array_equal(before[w.path], w)}


def given(model):
    inputs = example(model, batch=4)
    return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def changed(name, task, how):
    return trained(name, task, how)[1]


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
    ("name", "task"),
    [
        ("bert-tiny", "text-classification"),
        ("vit-tiny-patch16-224", "image-classification"),
        ("smollm2-135m", "text-classification"),
        ("gpt-nano", "text-classification"),
    ],
)
def test_lora_adapters_are_trained_and_merged(name, task, tmp_path):
    model, paths = trained(name, task, "lora:2")
    head = {path for path in paths if path.startswith("logits")}
    # The first step moves b only, as b starts at zero and hides a.
    assert head
    assert {path.rpartition("/")[2] for path in paths - head} == {"lora_kernel_b"}
    wanted = np.asarray(model(given(model)))

    merged = zoo.merge_lora(model)

    plain = small(name, task)
    assert [w.path for w in merged.weights] == [w.path for w in plain.weights]
    assert all(weight.trainable for weight in merged.trainable_weights)
    assert len(merged.trainable_weights) == len(plain.trainable_weights)
    np.testing.assert_allclose(merged(given(model)), wanted, atol=1e-6)
    before = {w.path: np.array(w) for w in plain.weights}
    assert any(not np.array_equal(before[w.path], w) for w in merged.weights)
    assert zoo.merge_lora(merged) is merged
    merged.save(tmp_path / "merged.keras")
    np.testing.assert_allclose(
        zoo.load_model(tmp_path / "merged.keras")(given(model)), wanted, atol=1e-6
    )


def test_a_dense_layer_of_its_own_is_corrected_too():
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(8, name="block_0_dense")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))
    set_trainable(model, "lora", 2)
    model.layers[1].lora_kernel_b.assign(np.ones((2, 8)))
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(merge_lora(model)(x), model(x), atol=1e-6)
    assert [w.path for w in merge_lora(model).layers[1].weights] == (
        ["block_0_dense/kernel", "block_0_dense/bias"]
    )


@pytest.mark.parametrize(
    ("task", "how", "message"),
    [
        (
            "text-classification",
            "haed",
            "trainable='haed' is not one of: all, head, last:N, lora:RANK. Did you mean 'head'?",
        ),
        ("text-classification", "lora:0", "trainable='lora:0' is not one of: all, head, last:N,"),
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
        set_trainable(small("bert-tiny", task), *check_trainable(how))
    assert message in str(error.value)


def test_a_model_without_dense_blocks_has_nothing_to_correct():
    with pytest.raises(UsageError) as error:
        set_trainable(small("resnet20", "image-classification"), "lora", 8)
    assert str(error.value) == (
        "trainable='lora:8': model 'cifar_resnet' has no dense layers in blocks; choose "
        "trainable='last:1' or 'head'."
    )
