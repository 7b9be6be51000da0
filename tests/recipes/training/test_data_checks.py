"""Data that would make a training worthless are refused before it begins."""

from dataclasses import replace

import numpy as np
import pytest

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.data_checks import check_classes
from zoo_recipes.training.training import train
from zoo_registry import UsageError

QUICK = ["fit.epochs=1", "dataset.train=train[:10%]"]


def refused(name, overrides, data_dir, out):
    with pytest.raises(UsageError) as caught:
        train(
            with_overrides(resolve_recipe(name), [*QUICK, *overrides]),
            out=out,
            data_dir=data_dir,
            verbose=False,
        )
    return str(caught.value)


def test_an_empty_split(data_dir, tmp_path):
    message = refused("digits-mlp", ["dataset.validation=test[:0%]"], data_dir, tmp_path / "run")
    assert message == "Split 'test[:0%]' of 'digits/1.0.0' has no examples."


def test_labels_that_the_model_has_no_output_for(data_dir, tmp_path):
    message = refused("digits-mlp", ["model.num_classes=7"], data_dir, tmp_path / "run")
    assert message == (
        "Split 'train[:10%]' of 'digits' has label 9, and the model 7 classes, 0 to 6."
    )


def test_a_vocabulary_larger_than_the_models(data_dir, tmp_path):
    overrides = ["model.vocab_size=100", "tokenizer.vocab_size=500"]
    message = refused("language-id-lstm", overrides, data_dir, tmp_path / "run")
    assert message == (
        "The tokenizer has 500 tokens, and model 'lstm-classifier' only 100: set "
        "tokenizer.vocab_size=100, or leave model.overrides.vocab_size out."
    )


def test_one_class_only():
    recipe = resolve_recipe("digits-mlp")
    with pytest.raises(UsageError) as caught:
        check_classes(recipe, np.array([4, 4, 4]))
    assert str(caught.value) == (
        "All 3 examples of split 'train' of 'digits' are of class 4: there is nothing to tell "
        "apart."
    )


def test_texts_that_are_cut_are_counted_and_told(data_dir, tmp_path):
    recipe = resolve_recipe("language-id-lstm")
    # Without a length, as the step's own default is: 128.
    step = {key: value for key, value in recipe.preprocessing[0].items() if key != "length"}
    texts = {"tokenizer.kind": "char", "model.hidden_dim": 8}
    short = with_overrides(recipe, [*QUICK, *(f"{key}={value}" for key, value in texts.items())])
    short = replace(short, preprocessing=(step,))
    with pytest.warns(UserWarning, match=r"^texts longer than the 128 tokens .* cut: [\d,]+ of \d"):
        run = train(short, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert 0 < run.info["truncated"]["test"] < run.info["dataset"]["splits"]["test"]["examples"]


def test_inputs_that_are_trained_on_too_are_counted_and_told(data_dir, tmp_path):
    recipe = with_overrides(
        resolve_recipe("digits-mlp"), [*QUICK, "dataset.train=train+test[:25%]"]
    )
    message = r"^inputs that are trained on too: 90 of 360 \(test\)\. What is measured on them may "
    with pytest.warns(UserWarning, match=message):
        run = train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert run.info["shared"] == {"test": 90}
