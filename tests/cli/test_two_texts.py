"""Bundles that take two texts, on the command line: questions, and pairs."""

import json

import pytest
from click.testing import CliRunner

from zoo.cli.main import cli
from zoo_export import export
from zoo_models.build import get_model
from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig

pytestmark = pytest.mark.slow

QUESTION, TEXT = "who was ada", "ada lovelace was born in london"
VOCABULARY, LENGTH = 300, 16


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    config = TokenizerConfig(kind="wordpiece", vocab_size=VOCABULARY)
    tokenizer = make_tokenizer(config, [QUESTION, TEXT])
    folder = tmp_path_factory.mktemp("assets")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def bundle_of(task, assets, out, **options):
    sizes = {"vocab_size": VOCABULARY, "num_layers": 1, "hidden_dim": 32, "num_heads": 2}
    sizes |= {"ff_dim": 64, "max_length": LENGTH, "use_segments": True}
    model = get_model("bert", task=task, **sizes, **options)
    step = {"step": "tokenize", "length": LENGTH, "segment_ids": True}
    return export(
        model,
        to="onnx",
        out=out,
        preprocessing=[step],
        assets=assets,
        labels=["same", "other"] if options else None,
        sequence_length=LENGTH,
    ).path


def printed(*words):
    done = CliRunner().invoke(cli, [*map(str, words), "--json"], catch_exceptions=False)
    return json.loads(done.output)


def test_a_question_is_answered_and_the_answer_explained(assets, tmp_path):
    path = bundle_of("question-answering", assets, tmp_path / "b")
    answer = printed("predict", path, TEXT, "--question", QUESTION)["spans"][0]["text"]
    assert answer in TEXT
    why = printed("explain", path, TEXT, "--question", QUESTION, "--out", tmp_path / "why")
    assert why["class"] == answer
    words = {row["name"].partition(" (at")[0] for row in why["features"]}
    assert words == {*QUESTION.split(), *TEXT.split()}


def test_a_pair_is_classified_and_explained(assets, tmp_path):
    path = bundle_of("text-classification", assets, tmp_path / "b", num_classes=2)
    found = printed("predict", path, QUESTION, "--second", TEXT)
    why = printed("explain", path, QUESTION, "--second", TEXT, "--out", tmp_path / "why")
    assert why["class"] == why["predicted"] == found["top"][0]["label"]
    both = f"{QUESTION}\n{TEXT}"
    for row in why["features"]:
        assert both[slice(*row["span"])] == row["name"].partition(" (at")[0]
    swapped = printed("predict", path, TEXT, "--second", QUESTION)
    assert swapped["top"][0]["probability"] != found["top"][0]["probability"]
