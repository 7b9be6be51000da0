"""Whole folders and tables as inputs of a model that there is."""

import json

import pytest

from zoo.cli.predicting import read_input
from zoo_recipes.custom_data.raw_inputs import is_many, raw_inputs
from zoo_registry import UsageError
from zoo_runtime.answers.prediction import as_texts
from zoo_runtime.manifest import Manifest

TEXTS, PICTURES, ROWS = ({"step": step} for step in ("tokenize", "image", "table"))
BARE = {"name": "m", "inputs": (), "outputs": (), "files": {}, "artifacts": ()}
RATINGS = [{"step": "lookup", "part": part} for part in (0, 1)]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder(pictures, tmp_path):
    found = raw_inputs(pictures, [PICTURES], {})
    assert len(found) == 40
    assert found[0] == ("dark/00.png", pictures / "dark" / "00.png")
    write(tmp_path / "texts" / "a" / "1.txt", "one")
    write(tmp_path / "texts" / "2.txt", "two")
    assert raw_inputs(tmp_path / "texts", [TEXTS], {}) == [("2.txt", "two"), ("a/1.txt", "one")]
    with pytest.raises(UsageError, match=r"There is nothing at '.*' that this model takes"):
        raw_inputs(pictures, [TEXTS], {})
    with pytest.raises(UsageError, match="is a folder, and this model takes rows"):
        raw_inputs(pictures, [ROWS], {})


def test_a_table(tmp_path):
    path = write(tmp_path / "t.csv", "id,Review,shop\n1,good,a\n2,,b\n")
    assert raw_inputs(path, [TEXTS], {}) == [("t.csv:2", "good"), ("t.csv:3", "")]
    assert raw_inputs(path, [TEXTS], {"text": "shop"}) == [("t.csv:2", "a"), ("t.csv:3", "b")]
    path = write(tmp_path / "rows.csv", "size;kind\n3,5;a\n1.000,25;b\n")
    assert raw_inputs(path, [ROWS], {}) == [
        ("rows.csv:2", {"size": "3.5", "kind": "a"}),
        ("rows.csv:3", {"size": "1000.25", "kind": "b"}),
    ]
    path = write(tmp_path / "r.csv", "item,user\n7,ann\n")
    assert raw_inputs(path, RATINGS, {}) == [("r.csv:2", ("ann", "7"))]
    path = write(tmp_path / "p.csv", "sentence1,sentence2\na,b\n")
    assert raw_inputs(path, [TEXTS], {}) == [("p.csv:2", ("a", "b"))]
    path = write(tmp_path / "w.jsonl", json.dumps({"tokens": ["EU", "rejects"]}))
    assert raw_inputs(path, [TEXTS], {}) == [("w.jsonl:1", ["EU", "rejects"])]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "wort,n\na,1\n",
            {},
            "'{path}' has the columns wort, n: say which are question and context or premise and "
            "hypothesis or text or token, such as --column token=wort.",
        ),
        (
            "body,n\na,1\n",
            {"text": "bodi"},
            "'{path}' has no column 'bodi' (--column text=bodi). Did you mean 'body'? It has: "
            "body, n.",
        ),
        ("text,n\na\n", {}, "'{path}', line 2, has 1 columns, not 2."),
    ],
)
def test_tables_that_cannot_be_taken(text, columns, message, tmp_path):
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(UsageError) as caught:
        raw_inputs(path, [TEXTS], columns)
    assert str(caught.value) == message.format(path=path)


def test_what_is_many(pictures, tmp_path):
    assert is_many(pictures)
    assert is_many(write(tmp_path / "t.csv", "a\n1\n"))
    assert not is_many(write(tmp_path / "t.txt", "a"))
    assert not is_many(tmp_path / "nothing.csv")


def test_words_are_joined_as_in_training():
    manifest = Manifest(**BARE, task="token-classification")
    raws = [["EU", "re jects", " "], "EU rejects", ("a", "b")]
    assert as_texts(manifest, raws) == ["EU rejects ?", "EU rejects", "a b"]
    # Elsewhere two texts are a pair.
    manifest = Manifest(**BARE, task="text-classification")
    assert as_texts(manifest, raws) == raws


@pytest.mark.parametrize(
    ("word", "step", "raw"),
    [
        ('["EU", "rejects"]', TEXTS, ["EU", "rejects"]),
        ("[sic] a text", TEXTS, "[sic] a text"),
        ("[1, 2]", TEXTS, "[1, 2]"),
        ('{"age": 31}', ROWS, {"age": 31}),
        ('[31, "red"]', ROWS, [31, "red"]),
    ],
)
def test_what_a_word_on_the_command_line_means(word, step, raw):
    assert read_input(word, [step]) == raw


def test_a_row_that_is_no_json():
    with pytest.raises(UsageError) as caught:
        read_input("age=31", [ROWS])
    assert str(caught.value).startswith("'age=31' is neither a table nor JSON: this model takes a ")
