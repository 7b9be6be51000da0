"""`zoo explain`: the same of a run and of its exported files, and what is written."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo
from zoo.cli.main import cli
from zoo.explaining import save
from zoo_registry import UsageError


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


@pytest.fixture(scope="module")
def picture(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "four.png"
    Image.fromarray(digits[0][4, ..., 0].round().astype("uint8")).save(path)
    return path


def refused(*words):
    done = CliRunner().invoke(cli, ["explain", *map(str, words)])
    assert isinstance(done.exception, UsageError), done.output
    return str(done.exception)


@pytest.mark.parametrize("method", ["occlusion", "shap", "lime"])
def test_a_run_and_its_files_are_explained_alike(run, exported, picture, method):
    in_keras = zoo.explain(run, picture, method, samples=300)
    assert in_keras.computes == "Keras"
    for runtime in ("tflite", "onnx", "saved_model"):
        found = zoo.explain(exported, picture, method, runtime=runtime, samples=300)
        assert found.computes == runtime
        assert found.target == in_keras.target
        scale = np.abs(in_keras.values).max()
        np.testing.assert_allclose(found.values, in_keras.values, atol=1e-4 * scale)
        assert found.faithfulness.deletion_area == pytest.approx(
            in_keras.faithfulness.deletion_area, abs=1e-4
        )


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "lime", "shap"])
def test_what_is_named_of_real_digits_is_what_the_model_goes_by(run, digits, method):
    opened = zoo.load_run(run)
    found = [zoo.explain(opened, digits[0][at], method, samples=300) for at in range(4)]
    assert all(explanation.is_faithful for explanation in found)
    for explanation in found:
        measured = explanation.faithfulness
        assert measured.deletion_area < 0.6 * measured.random_area
        assert measured.insertion_area > measured.random_area
        if method == "integrated-gradients":
            total = explanation.facts["sum of attributions"]
            assert abs(explanation.facts["completeness gap"]) < 0.02 * abs(total)


def test_the_next_step_explains_with_the_same_features(run, picture, tmp_path):
    words = ["explain", str(run), str(picture), "--out", str(tmp_path / "e")]
    words += ["--patches", "16", "--baseline", "mean"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.output.splitlines()[-1] == (
        f"Next: zoo explain {run} {picture} --patches 16 --baseline mean --method shap"
    )


def test_the_command_writes_a_page_that_needs_nothing_else(run, picture):
    words = ["explain", str(run), str(picture), "--class", "digit 4"]
    words += ["--method", "integrated-gradients"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    folder = run / "explanations" / "four-integrated-gradients-digit-4"
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "explanation.json", "attributions.npz"),
        *("input.png", "heat-map.png", "faithfulness.png"),
    }
    lines = done.output.splitlines()
    assert lines[0].split()[:3] == ["class", "digit", "4"]
    assert re.search(r"completeness gap -?\d", lines[2])
    assert "deletion area" in done.output
    assert "Without its strongest features the score falls sooner" in done.output
    assert lines[-1] == f"Next: zoo explain {run} {picture} --class 'digit 4' --method shap"
    assert f"{folder}/index.html shows it." in done.output

    html = (folder / "index.html").read_text(encoding="utf-8")
    # Nothing is loaded from elsewhere: the only address is a link to the paper.
    assert re.findall(r'(?:src|href)="((?!data:)[^"]+)"', html) == [
        "https://arxiv.org/abs/1703.01365"
    ]
    assert html.count("data:image/png;base64,") == 3
    told = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    with np.load(folder / "attributions.npz") as arrays:
        assert arrays["elements"].shape == (8, 8, 1)
        assert [row["value"] for row in told["features"]] == arrays["values"].tolist()
    with Image.open(folder / "input.png") as shown, Image.open(picture) as given:
        assert np.array_equal(np.asarray(shown.convert("L"))[::42, ::42], np.asarray(given))

    again = refused(*words[1:])
    assert (
        again
        == f"'{folder}' exists: choose another one (--out), or replace it (--force, force=True)."
    )
    assert CliRunner().invoke(cli, [*words, "--force", "--json"]).exit_code == 0
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_a_bundle_is_left_as_it_is(exported, picture, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["explain", str(exported.path), str(picture), "--runtime", "onnx", "--class", "digit 9"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "predicted    digit 4" in done.output
    folder = tmp_path / "explanations" / "digits-net-onnx-four-occlusion-digit-9"
    assert json.loads((folder / "explanation.json").read_text())["class"] == "digit 9"
    zoo.load_bundle(exported.path)


def test_wrong_uses(run, exported, picture, tmp_path):
    bundle = exported.path
    assert refused(bundle, picture, "--method", "grad-cam", "--out", tmp_path / "a") == (
        "Method 'grad-cam' looks inside the Keras model, which a bundle does not have: explain "
        "the run, or use one of: occlusion, shap, lime."
    )
    assert refused(run, picture, "--runtime", "onnx", "--out", tmp_path / "a") == (
        f"Run '{run}' runs in Keras: export it (zoo export {run} --to onnx) and use the bundle."
    )
    assert refused(tmp_path, picture) == (
        f"'{tmp_path}' is neither a run folder nor a bundle: it has no run.json and no "
        "manifest.json. `zoo train` makes runs, `zoo export` bundles."
    )
    assert refused(run, "five.png") == (
        "There is no file 'five.png': this model takes an image or a .npy file."
    )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    assert refused(run, picture, "--out", tmp_path / "notes", "--force") == (
        f"'{tmp_path}/notes' is not an explanation (explanation.json is missing): it "
        "will not be replaced."
    )
    assert refused(run, picture, "--class", "digit 44", "--out", tmp_path / "a").startswith(
        "There is no class 'digit 44'. Did you mean 'digit 4'? The classes are: digit 0, "
    )


def test_what_appears_during_an_explanation_is_kept(tmp_path):
    class Slow:
        def write(self, folder):
            (folder / "index.html").write_text("page")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "thesis.txt").write_text("mine")

    with pytest.raises(
        UsageError, match=r"out' is not an explanation \(explanation\.json is missing\): it will"
    ):
        save(Slow(), tmp_path / "out", force=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "thesis.txt"]
