"""Recipes trained on custom data, and what their runs can do afterwards."""

import numpy as np
import pytest

from zoo import evaluate
from zoo_recipes.custom_data.choosing import on_custom_data, overridden, recipes_for
from zoo_recipes.custom_data.columns import RATINGS, TEXTS
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError


@pytest.fixture
def run(pictures, tmp_path):
    recipe = with_overrides(resolve_recipe("digits-cnn"), ["fit.epochs=1", "fit.batch_size=8"])
    (pictures / "dark" / "broken.png").write_bytes(b"broken")
    return train(
        recipe,
        data=pictures,
        on_bad_record="report",
        out=tmp_path / "run",
        data_dir=tmp_path,
        verbose=False,
    )


def test_a_run_on_own_images(run, measured_again, pictures, tmp_path):
    recipe = run.recipe
    assert recipe.name == "digits-cnn-pictures"
    assert recipe.summary == "Recipe digits-cnn on own images in classes."
    assert recipe.dataset.name == str(pictures)
    assert (recipe.dataset.validation, recipe.license, recipe.expected) == ("validation", "", None)
    assert run.info["labels"] == ["dark", "light"]
    assert run.model().output_shape == (None, 2)
    own = run.info["dataset"]["own"]
    assert own["left_out"] == ["dark/broken.png: is not an image: cannot identify image file"]
    assert own["splits"] == "80/10/10 of each class, by the hash of each example"
    assert measured_again(run, data_dir=tmp_path) == run.metrics

    moved = pictures.rename(tmp_path / "moved")
    with pytest.raises(UsageError) as caught:
        evaluate(run, data_dir=tmp_path)
    assert str(caught.value) == (
        f"There are no data at '{pictures}': if they are elsewhere now, say where with --data "
        "(data=)."
    )
    assert measured_again(run, data=moved, data_dir=tmp_path) == run.metrics
    (moved / "light").rename(moved / "bright")
    with pytest.raises(UsageError) as caught:
        evaluate(run, data=moved, data_dir=tmp_path)
    assert str(caught.value).endswith(
        f"are bright, dark; those of run '{run.path}' are dark, light."
    )


def test_a_path_in_a_recipe_is_frozen_absolute(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = with_overrides(resolve_recipe("digits-cnn"), ["dataset.name=./pictures"])
    frozen = on_custom_data(recipe)
    assert frozen.dataset.name == str(pictures)
    assert (frozen.name, frozen.license) == (recipe.name, recipe.license)


# Recipe, and what makes its training short.
SHORT = {
    "g2p-transformer": (
        "tokenizer.vocab_size=280",
        "model.num_layers=1",
        "dataset.target_length=9",
    ),
    "pydoc-gpt": ("tokenizer.vocab_size=280", "model.num_layers=1"),
    "digits-mlp": (),
}


def write_data(name, folder):
    """Write data for a recipe; return their path and the columns to name."""
    if name == "digits-mlp":
        x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
        np.savez(folder / "data.npz", x=x, y=np.arange(60) % 4)
        return folder / "data.npz", None
    if name == "pydoc-gpt":
        lines = [f"{n} and {n * n}, in other words {n:b}. " * 50 for n in range(30)]
        (folder / "book.txt").write_text("\n\n".join(lines), encoding="utf-8")
        return folder / "book.txt", None
    rows = [f"{n}\t{n:b}" for n in range(60)]
    (folder / "data.tsv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "data.tsv", {"source": "1", "target": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_each_task_takes_its_kind(name, measured_again, tmp_path):
    data, columns = write_data(name, tmp_path)
    recipe = with_overrides(resolve_recipe(name), ["fit.epochs=1", *SHORT[name]])
    run = train(
        recipe, data=data, columns=columns, out=tmp_path / "run", data_dir=tmp_path, verbose=False
    )
    assert np.isfinite(list(run.metrics.values())).all()
    assert run.recipe.dataset.columns == (columns or {})
    assert measured_again(run, data_dir=tmp_path) == run.metrics


def test_what_a_recipe_cannot_train_on(reviews, tmp_path):
    with pytest.raises(UsageError) as caught:
        train("digits-cnn", data=reviews, out=tmp_path / "run")
    assert str(caught.value) == (
        f"Recipe 'digits-cnn' trains image-classification, and '{reviews}' holds texts in "
        "classes, for text-classification or contrastive texts. Recipes for them: "
        f"{', '.join(recipes_for(TEXTS))}."
    )
    # Those whose result was measured come first.
    measured = recipes_for(TEXTS).index("movie-reviews-minilm")
    assert measured < recipes_for(TEXTS).index("ag-news-transformer")
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("user,item,rating\n1,2,3\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        train("digits-cnn", data=ratings, out=tmp_path / "run")
    assert str(caught.value) == (
        f"Recipe 'digits-cnn' trains image-classification, and '{ratings}' holds ratings, for "
        f"rating. Recipes for them: {', '.join(recipes_for(RATINGS))}."
    )
    with pytest.raises(UsageError) as caught:
        train("digits-cnn", columns={"text": "review"}, out=tmp_path / "run")
    assert str(caught.value) == (
        "Columns and bad records are settings of your own data, and dataset 'digits' is none: name "
        "your file or folder with --data (data=)."
    )
    assert not (tmp_path / "run").exists()


def test_what_is_set_of_the_data_is_of_ones_own(pictures):
    overrides = [
        "dataset.train=train[:50%]",
        "dataset.test=validation",
        "fit.keep_best=val_accuracy",
        "model.dropout=0.1",
    ]
    recipe = overridden(resolve_recipe("digits-cnn"), overrides, pictures, None)
    dataset = recipe.dataset
    assert (dataset.train, dataset.validation, dataset.test) == (
        "train[:50%]",
        "validation",
        "validation",
    )
    assert (dataset.input, dataset.name) == ("image", str(pictures))
    assert (recipe.fit.keep_best, recipe.model.overrides["dropout"]) == ("val_accuracy", 0.1)
    assert on_custom_data(recipe) == recipe


def test_the_best_epoch_is_kept_unless_it_is_said_otherwise(pictures):
    fit = overridden(resolve_recipe("digits-cnn"), [], pictures, None).fit
    assert fit.keep_best == "val_loss"
    last = overridden(resolve_recipe("digits-cnn"), ["fit.keep_best=none"], pictures, None)
    assert (last.fit.keep_best, last.fit.early_stopping) == (None, None)


def test_the_loss_that_is_watched_has_no_penalty(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{rng.integers(20)},{rng.integers(30)},{rng.integers(1, 6)}" for _ in range(600)]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["user,item,rating", *rows]), encoding="utf-8")
    sets = ["model.l2=0.5", "fit.epochs=3", "dataset.validation=test"]
    recipe = overridden(resolve_recipe("movielens-factorization"), sets, path, None)
    run = train(recipe, out=tmp_path / "run", data_dir=tmp_path, verbose=False)
    # What is trained on falls with the penalty, which is four fifths of it.
    assert run.history["loss"][0] > 5 * run.history["val_loss"][0]
    assert run.metrics["loss"] == pytest.approx(min(run.history["val_loss"]), rel=1e-5)
    assert run.metrics["rmse"] ** 2 == pytest.approx(run.metrics["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_bad_record": "skip"}, "on_bad_record='skip' is not one of error, report."),
        (
            {"columns": {"txt": "a"}},
            "Columns (txt=a) are those of tables, and '{data}' holds images in classes: leave them "
            "out.",
        ),
        ({"workers": 0}, "workers=0 must be a whole number from 1 on."),
    ],
)
def test_options_that_would_be_ignored(options, message, pictures, tmp_path):
    with pytest.raises(UsageError) as caught:
        train("digits-cnn", data=pictures, out=tmp_path / "run", data_dir=tmp_path, **options)
    assert str(caught.value) == message.format(data=pictures)


def test_pixels_of_0_to_1(tmp_path):
    x = np.random.default_rng(0).random((60, 8, 8))
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(60) % 4)
    options = {"data": tmp_path / "data.npz", "data_dir": tmp_path, "verbose": False}
    with pytest.raises(UsageError) as caught:
        train("digits-cnn", out=tmp_path / "run", **options)
    assert str(caught.value).endswith(
        "have float64 pixels of 0 to 1, and here pixels go from 0 to 255: multiply them by 255."
    )


def test_a_bare_name_of_a_file_is_told_apart(pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    with pytest.raises(
        UsageError, match=r'has it\. Your own data are written "\./pictures"\. Ours: '
    ):
        with_overrides(resolve_recipe("digits-cnn"), ["dataset.name=pictures"])


@pytest.mark.slow
def test_other_data_have_columns_of_their_own(reviews, measured_again, tmp_path):
    short = ["fit.epochs=1", "tokenizer.vocab_size=280"]
    recipe = with_overrides(resolve_recipe("language-id-lstm"), short)
    run = train(recipe, data=reviews, out=tmp_path / "run", data_dir=tmp_path, verbose=False)
    other = tmp_path / "other.csv"
    text = reviews.read_text(encoding="utf-8").replace("text,label", "words,mark")
    other.write_text(text, encoding="utf-8")
    columns = {"text": "words", "label": "mark"}
    # With other names in its header it is another file.
    options = {"data": other, "columns": columns, "split": "test", "data_dir": tmp_path}
    assert measured_again(run, **options) == run.metrics
