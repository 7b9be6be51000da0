"""Recipes as data: what is accepted, what is refused and in which words."""

import subprocess
import sys
from pathlib import Path

import pytest

import zoo_registry
from zoo_recipes.catalog import RECIPES
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import Recipe, as_recipe, resolve_recipe
from zoo_registry import UsageError

MINIMAL = {"model": {"name": "mlp"}, "dataset": {"name": "digits"}}


def refused(data, name="mine"):
    with pytest.raises(UsageError) as caught:
        as_recipe(data, name)
    return str(caught.value)


@pytest.mark.parametrize("name", RECIPES)
def test_every_builtin_recipe_is_valid_and_survives_toml(name):
    recipe = zoo_registry.recipes.get(name)
    assert recipe.name == name
    assert recipe.summary.endswith(".")
    assert recipe.license
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    is_ours = recipe.dataset.name in zoo_registry.datasets
    if is_ours or recipe.expected:
        # What can be had here was measured, and of the rest it is said who published it.
        assert recipe.expected is not None
        assert bool(recipe.expected.published) is not is_ours
    if is_ours:
        assert len(recipe.expected.seeds) >= 3
        assert 0 < recipe.expected.tolerance < 0.2 * max(1, recipe.expected.value)


def test_the_promised_recipes_are_there():
    assert set(RECIPES) >= {
        *("digits-mlp", "digits-cnn", "digits-lstm", "mnist5k-cnn", "mnist5k-lenet5"),
        *("language-id-lstm", "language-id-transformer", "language-id-bert", "pydoc-gpt"),
        *("pydoc-llama", "shakespeare-gpt"),
        *("g2p-transformer", "brown-tagger"),
        *("resume-bias", "movielens-factorization", "movielens-100k-factorization"),
        *("mnist5k-scenes-centernet", "voc-centernet"),
        *("asterisk-ds-cnn", "speech-commands-ds-cnn"),
        *("movie-reviews-minilm", "movie-reviews-minilm-head"),
        *("mnist-mlp", "mnist-lenet5", "fashion-mnist-cnn"),
        *("cifar10-cnn", "cifar10-resnet20", "cifar10-resnet56"),
        *("imagenet-resnet50", "imagenet-mobilenet-v3-small", "imagenet-vit-small"),
        *("photos-mobilenet", "photos-resnet", "texts-bert"),
        *("flowers-transfer", "imdb-lstm", "imdb-bert", "sst2-bert", "ag-news-transformer"),
        *("conll-bert-ner", "squad-bert-qa", "pretrain-bert-mlm-nsp"),
        "wikitext-gpt2",
        *("translate-ted-pt-en-transformer", "cnn-dailymail-summarize-transformer"),
    }


def test_five_mistakes_are_told_at_once():
    data = {
        "model": {"name": "cnm", "tsk": "image-classification"},
        "dataset": {"name": "digit", "train": "train[:80"},
        "fit": {"epoch": 3, "batch_size": "32"},
    }
    assert refused(data) == (
        "Recipe 'mine' has 6 mistakes:\n"
        "  model.tsk = \"image-classification\": there is no such key. Did you mean 'task'?\n"
        '  fit.batch_size = "32": it should be a valid integer.\n'
        "  fit.epoch = 3: there is no such key. Did you mean 'epochs'?\n"
        "  model.name = \"cnm\": There is no model 'cnm'. Did you mean 'cnn'? "
        "`zoo models` lists all.\n"
        '  dataset.name = "digit": neither Kerazoo nor tensorflow-datasets has it. '
        "Did you mean 'digits'? Ours: asterisk_prompts, breast_cancer, brown, cmudict, diabetes, "
        "digits, django_translations, language_id, mnist5k, mnist5k_angles, mnist5k_scenes, "
        "movie_reviews, "
        "movielens_small, program_messages, pydoc, resume, reuters_r8, shakespeare.\n"
        '  dataset.train = "train[:80": is not a split, such as "train", "train[:90%]" '
        'or "train+test".'
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"seed": -1}, "seed = -1: it should be greater than or equal to 0."),
        ({"datset": 1}, "datset = 1: there is no such key. Did you mean 'dataset'?"),
        ({"augmentation": ["a", 3]}, "augmentation.1 = 3: it should be an object."),
        ({"compile": {"optimizer": {"lr": 1}}}, "compile.optimizer.name: is missing."),
        (
            {"compile": {"precision": "float8"}},
            "compile.precision = \"float8\": it should be 'auto', 'float32', 'mixed_float16' or "
            "'mixed_bfloat16'.",
        ),
        (
            {"fit": {"early_stopping": {"patience": 3}}},
            'fit.early_stopping: monitor "val_loss" needs dataset.validation.',
        ),
        (
            {"preprocessing": [{"step": "image", "size": [8, 8], "chanels": 1}]},
            "preprocessing.0: Step 'image' has no 'chanels'. Did you mean 'channels'? It has: "
            "size, channels, input, resample, shorter_side, resized, rounding.",
        ),
        (
            {"preprocessing": [{"step": "tokenize", "length": 8}]},
            "preprocessing.0: step 'tokenize' needs the table [tokenizer].",
        ),
        (
            {"tokenizer": {"kind": "bbpe"}},
            "tokenizer.kind = \"bbpe\": it should be 'char', 'bpe', 'wordpiece' or 'pretrained'.",
        ),
    ],
)
def test_a_mistake_names_the_key_and_what_was_received(table, message):
    assert refused({**MINIMAL, **table}) == f"Recipe 'mine' has 1 mistake:\n  {message}"


def test_a_task_that_the_model_lacks():
    data = {"model": {"name": "cnn", "task": "text-classification"}, "dataset": {"name": "digits"}}
    assert refused(data) == (
        "Recipe 'mine' has 1 mistake:\n  model.task = \"text-classification\": model 'cnn' has no "
        "such task. Did you mean 'image-classification'?"
    )


def test_missing_tables():
    assert (
        refused({}) == "Recipe 'mine' has 2 mistakes:\n  model: is missing.\n  dataset: is missing."
    )


@pytest.mark.parametrize("name", ["cifar10", "mnist:3.0.1", "glue/sst2", "huggingface:foo/bar"])
def test_names_of_tensorflow_datasets_are_known(name):
    recipe = as_recipe({**MINIMAL, "dataset": {"name": name}}, "mine")
    assert recipe.dataset.name == name


def test_no_toml(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("model = [", encoding="utf-8")
    with pytest.raises(UsageError, match=r"'broken' is not valid TOML: Invalid value"):
        as_recipe(path, "broken")
    with pytest.raises(
        UsageError, match=r"The recipe '.*none.toml' cannot be read: .*No such file"
    ):
        as_recipe(Path(tmp_path / "none.toml"), "none")


def test_values_of_another_type():
    with pytest.raises(TypeError, match="recipe 'mine' is a int: it must be the path of a TOML"):
        as_recipe(3, "mine")


def test_overrides():
    recipe = with_overrides(
        as_recipe(MINIMAL, "mine"),
        [
            "fit.epochs=3",
            "compile.optimizer=sgd",
            "compile.optimizer.learning_rate=1e-3",
            "model.hidden_dims=[8, 16]",
            "model.task=features",
            "dataset.train=train[:50%]",
            'summary="with = in it"',
        ],
    )
    assert recipe.fit.epochs == 3
    assert recipe.compile.optimizer.name == "sgd"
    assert recipe.compile.optimizer.arguments == {"learning_rate": 1e-3}
    assert recipe.model.overrides == {"hidden_dims": [8, 16]}
    assert recipe.model.task == "features"
    assert recipe.dataset.train == "train[:50%]"
    assert recipe.summary == "with = in it"


def test_a_part_is_taken_out_and_an_item_of_a_list_changed():
    recipe = resolve_recipe("ag-news-transformer")
    assert recipe.compile.schedule is not None
    recipe = with_overrides(recipe, ["fit.keep_best=none", "fit.early_stopping.patience=3"])
    names = [
        "compile.schedule=none",
        "fit.early_stopping=null",
        "fit.early_stopping.patience=None",
        "fit.keep_best=none",
        "compile.optimizer.no_such_argument=none",
        "model.no_such_size=none",
        "preprocessing.0.length=32",
    ]
    changed = with_overrides(recipe, names)
    assert (changed.compile.schedule, changed.fit.early_stopping) == (None, None)
    assert changed.preprocessing[0]["length"] == 32
    back = {"length": recipe.preprocessing[0]["length"]}
    assert {**changed.preprocessing[0], **back} == recipe.preprocessing[0]
    with pytest.raises(UsageError, match=r"'1' is none of 1 item, from 0 on\.$"):
        with_overrides(recipe, ["preprocessing.1.length=32"])
    assert with_overrides(recipe, ['model.pooling="none"']).model.overrides["pooling"] == "none"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "fit.early_stoping=none",
            "Override of 'fit.early_stoping': there is no such key. Did you mean 'early_stopping'?",
        ),
        ("model.name=none", "Recipe 'mine' has 1 mistake:\n  model.name: is missing."),
        ("fit.epochs", "Override 'fit.epochs' is not key=value, such as fit.epochs=3."),
        ("=3", "Override '=3' is not key=value, such as fit.epochs=3."),
        ("seed.x=3", "Override of 'seed.x': 'seed' holds no keys."),
        (
            "fit.epohcs=3",
            "Recipe 'mine' has 1 mistake:\n  fit.epohcs = 3: there is no such key. "
            "Did you mean 'epochs'?",
        ),
        (
            "fit.epochs=three",
            "Recipe 'mine' has 1 mistake:\n  fit.epochs = \"three\": it should be a valid integer.",
        ),
    ],
)
def test_wrong_overrides(override, message):
    with pytest.raises(UsageError) as caught:
        with_overrides(as_recipe(MINIMAL, "mine"), [override])
    assert str(caught.value) == message


def test_recipes_load_no_heavy_library():
    code = (
        "import sys, zoo_registry, zoo_recipes.recipe, zoo_recipes.run, zoo_recipes.overrides, "
        "zoo_recipes.training.training, zoo_recipes.evaluation.measuring, zoo_recipes.catalog, "
        "zoo_recipes.datasets.catalog, zoo_recipes.reporting.report\n"
        "for name in zoo_registry.recipes.names(): zoo_registry.recipes.get(name)\n"
        "print(*sorted({'tensorflow', 'keras', 'tensorflow_datasets', 'sklearn', 'matplotlib', "
        "'tokenizers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a\\b", "..", ".hidden", "", "x\ny"])
def test_a_name_that_is_a_path_is_refused(name):
    data = {"name": name, "model": {"name": "mlp"}, "dataset": {"name": "digits"}}
    with pytest.raises(UsageError, match=r"name = \"(.|\n)*\": it is the name of folders, such as"):
        as_recipe(data, "recipe")
