"""What is checked of the data before a training, and what preprocessing discards."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from zoo_recipes import sizes
from zoo_recipes.arrays.sources import PreparedArrays
from zoo_recipes.compiling.components import compile_arguments
from zoo_recipes.configs import CompileConfig, Component
from zoo_recipes.custom_data.choosing import overridden
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.checks import check_classes
from zoo_recipes.training.loop import build_training
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


def test_one_output_is_no_two_classes(data_dir, tmp_path):
    message = refused("digits-mlp", ["model.num_classes=1"], data_dir, tmp_path / "run")
    assert message == "Split 'train[:10%]' of 'digits' has label 9, and the model 1 class, 0."


CLASSES = "targets of int64 (batch,) and outputs of float32 (batch, 10)"
RANKS = "Arguments `target` and `output` must have the same rank (ndim). Received: "


@pytest.mark.parametrize(
    ("override", "named", "said"),
    [
        ("loss=categorical_crossentropy", '"categorical_crossentropy"', RANKS),
        ("loss=binary_crossentropy", '"binary_crossentropy"', RANKS),
        ("loss=mse", '"mse"', "Incompatible shapes: [2] vs. [2,10]."),
        ('metrics=["accuracy", "auc"]', '"accuracy", "auc"', "Argument `segment_ids` and `data`"),
        ('metrics=["precision"]', '"precision"', "Incompatible shapes: [1,2] vs. [1,20]."),
        ('metrics=["f1_score"]', '"f1_score"', "FBetaScore expects 2D inputs"),
        ('metrics=["CategoricalAccuracy"]', '"CategoricalAccuracy"', "CategoricalAccuracy takes a"),
    ],
)
def test_what_does_not_go_with_class_numbers(data_dir, tmp_path, override, named, said):
    # By luck the shapes of a batch of as many examples as there are classes would fit.
    overrides = [f"compile.{override}", "fit.batch_size=10"]
    message = refused("digits-mlp", overrides, data_dir, tmp_path / "run")
    key = override.partition("=")[0]
    assert message.startswith(f"compile.{key} = {named} does not fit {CLASSES}: {said}")
    fits = {
        "loss": "sparse_categorical_crossentropy, smoothed_crossentropy",
        "metrics": "accuracy, sparse_top_k_categorical_accuracy",
    }
    assert message.endswith(f". Class indices go with: {fits[key]}.")


@pytest.mark.parametrize("metric", ["auc", "precision", "f1_score"])
def test_metrics_of_one_output_with_two_classes(metric):
    inputs = keras.Input((4,), name="numbers")
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs))
    config = CompileConfig(metrics=(Component(name=metric),))
    source = PreparedArrays({"numbers": np.ones((1, 4), np.float32)}, np.zeros(1, np.int32))
    model.compile(**compile_arguments(config, 1))
    with pytest.raises(UsageError) as caught:
        build_training(model, source, config)
    assert str(caught.value).startswith(
        f'compile.metrics = "{metric}" does not fit targets of int32 (batch,) and outputs of '
        "float32 (batch, 2): "
    )


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ('fit.early_stopping={monitor="val_acc",patience=1}', "fit.early_stopping.monitor"),
        ("fit.keep_best=val_acc", "fit.keep_best"),
    ],
)
def test_a_metric_that_is_watched_and_does_not_exist(data_dir, tmp_path, override, key):
    overrides = ["dataset.validation=test[:10%]", override]
    message = refused("digits-mlp", overrides, data_dir, tmp_path / "run")
    assert message == (
        f"{key} = \"val_acc\": the training has no such metric. Did you mean 'val_accuracy'?"
    )
    far = override.replace("val_acc", "val_bleu_score_4")
    message = refused("digits-mlp", [overrides[0], far], data_dir, tmp_path / "far")
    assert message.endswith(" There are: loss, accuracy, val_loss, val_accuracy.")


def test_the_accuracy_of_smoothed_targets_may_be_watched(data_dir, tmp_path):
    recipe = with_overrides(
        resolve_recipe("digits-mlp"),
        [*QUICK, "dataset.validation=test", "fit.keep_best=val_accuracy"],
    )
    smoothed = with_overrides(recipe, ["compile.loss=smoothed_crossentropy"])
    run = train(smoothed, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert run.status == "complete"


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
    with pytest.warns(
        UserWarning, match=r"^texts longer than the 128 tokens .* truncated: [\d,]+ of \d"
    ):
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


def warned(name, data, sets, **options):
    """Train, and return what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recipe = overridden(resolve_recipe(name), ["fit.epochs=1", *sets], data, None)
        run = train(recipe, verbose=False, force=True, **options)
    assert run.status == "complete"
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


def test_photographs_made_small_and_grey(tmp_path, data_dir):
    rng = np.random.default_rng(0)
    for name, colour in (("red", (150, 40, 40)), ("green", (40, 90, 40))):
        (tmp_path / "balls" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(colour + rng.normal(0, 9, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "balls" / name / f"{number}.png")
    where = {"out": tmp_path / "run", "data_dir": data_dir}
    (message,) = warned("digits-cnn", tmp_path / "balls", [], **where)
    assert message == (
        "images of 60x80 in colour (median) are made 8x8 and grey: the model does not see what "
        "is smaller than a pixel of these and all colours. It does with --image-size 32x32x3, or "
        "with a recipe for such images (`zoo data`)"
    )
    keys = sizes.of_images(resolve_recipe("digits-cnn"), (32, 32, 3))
    assert warned("digits-cnn", tmp_path / "balls", keys, **where) == []


def test_texts_that_are_cut(tmp_path, data_dir):
    lines = [f"{'word ' * 60}{n},{n % 2}" for n in range(80)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    where = {"out": tmp_path / "run", "data_dir": data_dir}
    (message,) = warned("language-id-lstm", path, ["preprocessing.0.length=32"], **where)
    found = re.fullmatch(
        r"texts longer than the 32 tokens of the model were truncated: 64 of 64 \(train\), 8 of 8 "
        r"\(validation\), 8 of 8 \(test\)\. That is (\d+)% of what they hold; 95 % of them are "
        r"whole with --sequence-length (\d+)",
        message,
    )
    length = int(found[2])
    assert int(found[1]) == pytest.approx(100 * (1 - 32 / length), abs=2)
    # Numbers that the tokenizer has not seen are of more tokens.
    keys = sizes.of_texts(resolve_recipe("language-id-lstm"), length)
    left = warned("language-id-lstm", path, keys, **where)
    assert not any("(train)" in message for message in left)


def test_a_part_of_a_model_that_nobody_has_trained_is_warned_of(data_dir, tmp_path):
    part = [*QUICK, "model.trainable=head"]
    recipe = with_overrides(resolve_recipe("digits-mlp"), part)
    with pytest.warns(UserWarning, match="as it was drawn") as caught:
        train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert [str(each.message) for each in caught if "drawn" in str(each.message)] == [
        "model.weights=none with model.trainable=head: what is not trained stays as it was drawn, "
        "and no number of examples helps. Train all of it (`--set model.trainable=all`), or begin "
        "with weights"
    ]
