"""Which recipes are suggested for which data, and that the first of them can learn from these."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

import zoo_registry
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train

# Both have the luma 81 of 255: without colours they are the same.
RED, GREEN = (200, 30, 30), (30, 117, 30)


def noise(folder, size, channels, count=20):
    rng = np.random.default_rng(0)
    shape = (*size, channels) if channels > 1 else size
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def recipe_sizes(names):
    steps = {name: zoo_registry.recipes.peek(name).preprocessing[0] for name in names}
    return {name: (min(step["size"]), step["channels"]) for name, step in steps.items()}


@pytest.mark.parametrize(
    ("size", "channels", "count", "first"),
    [
        ((240, 320), 3, 20, "flowers-transfer"),
        ((240, 320), 3, 110, "photos-mobilenet"),
        ((28, 28), 1, 20, "mnist5k-cnn"),
        ((8, 8), 1, 20, "digits-cnn"),
        ((40, 40), 3, 20, "flowers-transfer"),
    ],
)
def test_pictures_go_to_recipes_of_about_their_size(size, channels, count, first, tmp_path):
    report = inspect_data(noise(tmp_path / "data", size, channels, count))
    assert report.recipes[0] == first
    for name, (side, seen) in recipe_sizes(report.recipes).items():
        assert seen >= channels, name
        assert side >= min(*size, 48) / 2, name
    if size == (240, 320):
        assert not {"digits-cnn", "digits-mlp", "mnist5k-cnn"} & set(report.recipes)


def test_more_small_pictures_go_to_a_small_network(tmp_path):
    report = inspect_data(noise(tmp_path / "data", (32, 32), 3, count=400))
    assert report.recipes[0] == "cifar10-cnn"


ENGLISH = "it was a fine day in the old town and nobody said a word of it to the others. "


@pytest.mark.parametrize(
    ("text", "first", "never"),
    [
        (ENGLISH, "movie-reviews-minilm", None),
        (ENGLISH * 5, "sst2-bert", "language-id-bert"),
        (ENGLISH * 20, "imdb-bert", "language-id-bert"),
        ("今天天气很好我们一起去看了一部电影" * 6, "imdb-lstm", "imdb-bert"),
        ("сегодня хорошая погода и мы идём в кино. " * 6, "ag-news-transformer", "sst2-bert"),
        ("heute ist es schön und wir gehen ins Kino. " * 6, "ag-news-transformer", None),
    ],
    ids=["short", "middling", "long", "Chinese", "Russian", "German"],
)
def test_texts_go_to_recipes_of_their_length_and_language(text, first, never, tmp_path):
    rows = [json.dumps({"text": f"{text}{n}", "label": str(n % 2)}) for n in range(60)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows), encoding="utf-8")
    report = inspect_data(tmp_path / "t.jsonl")
    assert report.recipes[0] == first
    assert never not in report.recipes


def test_each_kind_has_a_recipe(tmp_path):
    path = tmp_path / "t.csv"
    for header, row, recipe in (
        ("text,target", "good {n},{n}.5", "text-regression-words"),
        ("premise,hypothesis,label", "it was {n},it is {n},yes", "sst2-bert"),
        ("size,weight,class", "{n},3,a", "table-mlp"),
        ("size,weight,y", "{n},3,{n}.5", "table-regression"),
    ):
        rows = [row.format(n=n) for n in range(40)]
        path.write_text("\n".join([header, *rows]), encoding="utf-8")
        assert recipe in inspect_data(path).recipes, header
    # Two texts need a mark between them, which this tokenizer has not.
    path.write_text("premise,hypothesis,label\na,b,1\n", encoding="utf-8")
    assert "language-id-lstm" not in inspect_data(path).recipes


def ball(folder, name, colour, rng):
    image = Image.new("RGB", (48, 36), (128, 128, 128))
    x, y, radius = rng.integers((8, 8, 4), (40, 28, 8))
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, fill=colour)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)


def test_balls_that_differ_in_colour_alone_are_learned(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(100):
        for label, colour in (("red", RED), ("green", GREEN)):
            ball(tmp_path / "balls", f"{label}/{number}.png", colour, rng)
    fitting = map(resolve_recipe, inspect_data(tmp_path / "balls").recipes)
    # Pretrained weights come first; of the recipes that need none, the small one.
    drawn = [recipe.name for recipe in fitting if recipe.model.weights is None]
    assert drawn[0] == "cifar10-cnn"
    run = train(
        with_overrides(resolve_recipe("cifar10-cnn"), ["fit.epochs=20", "fit.batch_size=32"]),
        data=tmp_path / "balls",
        out=tmp_path / "run",
        data_dir=tmp_path,
        verbose=False,
    )
    assert run.metrics["accuracy"] == 1.0
