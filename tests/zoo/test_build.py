"""From a name to a model: what is refused before anything is built, and what comes back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import zoo
from zoo_registry import UnknownNameError, UsageError

ACCEPTED = "Accepted: activation, dropout, hidden_dims, input_shape, name, num_classes, rescale."


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hiden_dims": [3]}, "no override 'hiden_dims'. Did you mean 'hidden_dims'?"),
        ({"xyzzy": 1, "dropuot": 0.1}, "no override 'xyzzy'. no override 'dropuot'. Did you"),
        ({"hidden_dims": 128}, "hidden_dims=128 must be tuple[int, ...] ("),
        ({"dropout": "much"}, "dropout='much' must be float ("),
        ({"num_classes": 2.5}, "num_classes=2.5 must be int ("),
        ({"num_classes": True}, "num_classes=True must be int ("),
    ],
)
def test_overrides_are_checked_before_building(overrides: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.get_model("mnist-mlp", **overrides)
    assert str(caught.value).startswith("Model 'mnist-mlp': ")
    assert message in str(caught.value)
    assert str(caught.value).endswith(ACCEPTED)


def test_unknown_name_and_task() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist-mlp'"):
        zoo.get_model("mnist-mpl")
    with pytest.raises(UsageError) as caught:
        zoo.get_model("bert-tiny", task="mask-lm")
    assert str(caught.value) == (
        "Model 'bert-tiny' has no task 'mask-lm'. Did you mean 'masked-lm'? "
        "It has: features, text-classification, multi-label, token-classification, "
        "question-answering, masked-lm, sentence-embedding, next-sentence, pretraining."
    )


def test_the_model_carries_the_spec_it_was_built_from() -> None:
    model = zoo.get_model("mnist-mlp", num_classes=4, hidden_dims=[8])
    assert model.zoo_spec.name == "mnist-mlp"
    assert model.zoo_spec.defaults["hidden_dims"] == (8,)
    assert model.output_shape == (None, 4)
    # A list from TOML or JSON and a tuple build the same.
    assert model.count_params() == 784 * 8 + 8 + 8 * 4 + 4


def test_a_task_for_a_model_that_has_none() -> None:
    @zoo.register("taskless")
    def taskless() -> object:
        import keras

        inputs = keras.Input((2,), name="features")
        return keras.Model(inputs, inputs)

    assert zoo.get_model("taskless").count_params() == 0
    with pytest.raises(UsageError, match="offers no task: leave task='features' out"):
        zoo.get_model("taskless", task="features")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_of_a_file(tmp_path: Path, suffix: str) -> None:
    import numpy as np

    small = {"hidden_dims": (4,), "input_shape": (2, 2, 1)}
    model = zoo.get_model("mnist-mlp", **small)
    path = tmp_path / f"w{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    again = zoo.get_model("mnist-mlp", weights=path, **small)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UsageError, match=re.escape(f"weights='{path}' do not fit model")):
        zoo.get_model("mnist-mlp", weights=path, hidden_dims=(5,), input_shape=(2, 2, 1))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        UsageError, match=re.escape(f"weights='{path}' are not a complete file of Keras")
    ):
        zoo.get_model("mnist-mlp", weights=path, **small)


@pytest.mark.parametrize("weights", ["model.pkl", "none.keras"])
def test_weights_that_are_not_there(weights: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.get_model("mnist-mlp", weights=weights)
    assert str(caught.value) == f"weights='{weights}': there is no such file."
