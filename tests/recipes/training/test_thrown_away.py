"""What is thrown away of the data is told with what keeps it, and that works."""

import re
import shlex
import warnings

import numpy as np
import pytest
from PIL import Image

from zoo_recipes.custom_data.choosing import overridden
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train


def warned(name, data, sets, **options):
    """Train, and return what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recipe = overridden(resolve_recipe(name), ["fit.epochs=1", *sets], data, None)
        run = train(recipe, verbose=False, force=True, **options)
    assert run.status == "complete"
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


def options_in(message):
    return [
        shlex.split(option)[0] for option in re.findall(r"--set ('[^']*'|\S+?)(?=[ ,]|$)", message)
    ]


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
        "is smaller than a pixel of these and all colours. It does with --set "
        "'preprocessing.0.size=[32,32]' --set preprocessing.0.channels=3 --set "
        "'model.input_shape=[32,32,3]', or with a recipe for such images (`zoo data`)"
    )
    assert warned("digits-cnn", tmp_path / "balls", options_in(message), **where) == []


def test_texts_that_are_cut(tmp_path, data_dir):
    lines = [f"{'word ' * 60}{n},{n % 2}" for n in range(80)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    where = {"out": tmp_path / "run", "data_dir": data_dir}
    (message,) = warned("language-id-lstm", path, ["preprocessing.0.length=32"], **where)
    found = re.fullmatch(
        r"texts longer than the 32 tokens of the model were cut: 64 of 64 \(train\), 8 of 8 "
        r"\(validation\), 8 of 8 \(test\)\. That is (\d+)% of what they hold; 95 % of them are "
        r"whole with (--set .*)",
        message,
    )
    length = int(options_in(message)[0].partition("=")[2])
    assert int(found[1]) == pytest.approx(100 * (1 - 32 / length), abs=2)
    # Numbers that the tokenizer has not seen are of more tokens.
    left = warned("language-id-lstm", path, options_in(message), **where)
    assert not any("(train)" in message for message in left)
