"""Explanations of a real model of texts, as run and as exported file."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explained-texts")]
TEXT = "Wie geht es dir heute? Я люблю эту книгу."


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    short = ["fit.epochs=2", "dataset.train=train[:35%]"]
    recipe = with_overrides(resolve_recipe("language-id-lstm"), short)
    out = tmp_path_factory.mktemp("runs") / "language-id"
    return train(recipe, out=out, data_dir=data_dir, verbose=False)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "shap", "lime"])
def test_russian_is_known_by_its_own_words(run, method):
    found = zoo.explain(run, TEXT, method, label="russian", words=True, samples=300)
    own = np.array([start > TEXT.index("?") for start, _ in found.features.spans])
    assert found.values[own].sum() > 2 * found.values[~own].sum()
    assert found.is_faithful
    if method == "integrated-gradients":
        assert abs(found.facts["completeness gap"]) < 1e-3


def test_the_exported_file_is_explained_alike(run, tmp_path):
    bundle = zoo.export(run.path, to="onnx", out=tmp_path / "bundle")
    for method in ("occlusion", "shap", "lime"):
        in_keras, in_onnx = (zoo.explain(it, TEXT, method, samples=60) for it in (run, bundle))
        scale = np.abs(in_keras.values).max()
        np.testing.assert_allclose(in_onnx.values, in_keras.values, atol=1e-3 * scale)


def test_the_command_colours_the_text(run, tmp_path):
    path = tmp_path / "page.txt"
    path.write_text(f"<b>{TEXT}</b>", encoding="utf-8")
    words = ["explain", str(run.path), str(path), "--class", "russian"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False, color=True)
    assert f"<b>{TEXT}</b>" in done.output
    folder = run.path / "explanations" / "page-occlusion-russian"
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "<b>Wie" not in html
    assert re.search(r'style="background: rgba\(\d+, \d+, \d+, 0.600\)" title="', html)
    told = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    whole = path.read_text(encoding="utf-8")
    for row in told["features"]:
        word = row["name"].partition(" (at")[0]
        assert whole[slice(*row["span"])].strip() == word


def test_a_text_that_is_cut_is_told(run):
    with pytest.warns(UserWarning, match="the text is longer than the 48 tokens of the model"):
        found = zoo.explain(run, TEXT * 5)
    assert found.features.text == TEXT * 5
