"""Labels, tokenizer and preprocessing of weights go into the bundle; transformers says the same."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo
import zoo_export
from benchmarks.support.operators import _convert_here
from zoo.cli.main import cli
from zoo_export.making import assembly
from zoo_export.making.cache import key_of
from zoo_export.reading.request import from_model
from zoo_runtime.preprocess import Preprocessor

REFERENCES = Path(__file__).parents[2] / "weights" / "references"
TEXT = REFERENCES / "pipeline-bert"
TASK = {"task": "text-classification"}


def picture():
    rows = np.mgrid[0:61, 0:83].sum(0)[..., None] * np.array([1, 2, 3]) % 256
    return Image.fromarray(rows.astype("uint8"))


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_picture_is_prepared_as_transformers_does(name):
    folder = REFERENCES / f"pipeline-{name}"
    model = zoo.get_model(name, weights=folder)
    request = from_model(model)
    wanted = json.loads((folder / "answers.json").read_text())
    assert request.labels == tuple(wanted)
    pixels = Preprocessor(request.preprocessing, request.assets).batch([picture()])["image"]
    scores = np.exp(np.asarray(model(pixels))[0])
    np.testing.assert_allclose(scores / scores.sum(), list(wanted.values()), atol=1e-5)
    assert request.provenance["weights"]["source"] == str(folder)


def test_a_text_is_answered_with_the_labels_of_the_snapshot(tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "convert_all", _convert_here)
    folder = str(tmp_path / "bundle")
    words = ["--weights", str(TEXT), "--task", TASK["task"], "--to", "onnx", "--no-cache"]
    command = ["export", "bert", *words, "--sequence-length", "24", "--out", folder]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert f"Next: zoo verify {folder}" in done.output
    bundle = zoo_export.load_bundle(folder, trusted=True)
    manifest = bundle.manifest
    assert manifest.labels == ("bad", "so so", "good")
    assert [step["length"] for step in manifest.preprocessing] == [24]
    monkeypatch.chdir(tmp_path)
    for given, exit_code, said in (
        (["so good " * 60], 0, "PROBABILITY"),  # longer than the name of any file
        ([""], 2, "error: Input 0 is an empty text: there is nothing to read in it."),
        (["empty"], 2, "takes. It is a text? Then: --text."),
        (["empty", "--text"], 0, "PROBABILITY"),
    ):
        Path("empty").mkdir(exist_ok=True)
        done = CliRunner().invoke(cli, ["predict", folder, *given])
        shown = done.output + f"error: {done.exception}"
        assert bool(done.exit_code) == bool(exit_code)
        assert said in shown
    answers = json.loads((TEXT / "answers.json").read_text())
    for text, wanted in answers.items():
        (found,) = bundle.predict([text])
        assert dict(found.top) == pytest.approx(wanted, abs=1e-5), text
    assert (tmp_path / "bundle" / "assets" / "tokenizer.json").is_file()
    assert not list((tmp_path / "bundle" / "assets").glob("*.safetensors"))


def test_another_head_has_other_labels_or_none(tmp_path):
    with pytest.warns(UserWarning, match="start fresh"):
        model = zoo.get_model("bert", weights=TEXT, labels=["good", "evil"], **TASK)
    assert from_model(model).labels == ("good", "evil")
    with pytest.warns(UserWarning, match="starts fresh"):
        model = zoo.get_model("bert", weights=TEXT, num_classes=2, **TASK)
    assert from_model(model).labels is None


def test_a_head_that_is_left_out_is_named_and_a_licence_that_nobody_said_is_none():
    with pytest.warns(UserWarning, match="leaves out") as caught:
        model = zoo.get_model("bert", weights=TEXT)
    assert [str(each.message) for each in caught] == [
        f"weights='{TEXT}' have a head, which task 'features' leaves out, and its labels: "
        "task='text-classification' (--task text-classification) takes it along."
    ]
    assert from_model(model).license == ""
    assert from_model(zoo.get_model("bert-tiny")).license == "Apache-2.0"


@pytest.mark.parametrize(
    ("front_matter", "wanted"),
    [
        ("license: mit", "mit"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: other\nlicense_name: llama3", "llama3"),
        ("tags: [text]", ""),
        ("license: {", ""),
    ],
)
def test_the_licence_is_that_of_the_model_card_beside_the_weights(front_matter, wanted, tmp_path):
    folder = tmp_path / "snapshot"
    shutil.copytree(TEXT, folder)
    (folder / "README.md").write_text(f"---\n{front_matter}\n---\nlicense: ours\n")
    assert from_model(zoo.get_model("bert", weights=folder, **TASK)).license == wanted


def test_what_belongs_to_weights_is_part_of_what_is_cached(tmp_path):
    folder = tmp_path / "snapshot"
    shutil.copytree(TEXT, folder)

    def key():
        keras.utils.clear_session()  # as in a process of its own
        return key_of(zoo.get_model("bert", weights=folder, **TASK), {})

    keys = [key(), key()]
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "awful"
    (folder / "config.json").write_text(json.dumps(config))
    keys.append(key())
    (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text() + "more\n")
    keys.append(key())
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
