"""Plain text, pairs of texts and tagged words."""

import pytest

from zoo_recipes.custom_data.layouts import layout_of
from zoo_registry import UsageError


def read(path, **columns):
    return layout_of(path).read(path, columns)


def test_text_is_cut_at_blank_lines_and_nothing_is_lost(tmp_path):
    paragraphs = [f"Paragraph {n}. " + "word " * 150 for n in range(12)]
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(paragraphs) + "\n\n\n", encoding="utf-8")
    examples = read(path).examples
    assert [e.location for e in examples] == [f"book.txt:{n}" for n in (1, 7, 13, 19)]
    assert "\n\n".join(e.values["text"] for e in examples) == "\n\n".join(paragraphs)
    with path.open("a", encoding="utf-8") as file:
        file.write("An end.")
    assert [e.digest for e in read(path).examples][:4] == [e.digest for e in examples]


def test_lines_without_a_blank_one_are_cut_too(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.txt").write_text("0123456789\n" * 450, encoding="utf-8")
    (tmp_path / "log" / "b.txt").write_bytes(b"\xc3\xa4\nna\xefve\n")
    (tmp_path / "log" / "c.txt").write_text(" \n", encoding="utf-8")
    content = read(tmp_path / "log")
    assert [e.location for e in content.examples] == [
        "a.txt:1",
        "a.txt:201",
        "a.txt:401",
        "b.txt:1",
    ]
    assert [str(problem) for problem in content.problems] == [
        "b.txt:2: is not UTF-8: byte 0xef at column 3",
        "c.txt: the file is empty",
    ]


def test_pairs(tmp_path):
    (tmp_path / "train.src").write_text("one\n\nthree\r\n", encoding="utf-8")
    (tmp_path / "train.tgt").write_text("eins\nzwei\ndrei\n", encoding="utf-8")
    content = read(tmp_path)
    assert [dict(e.values) for e in content.examples] == [
        {"source": "one", "target": "eins"},
        {"source": "three", "target": "drei"},
    ]
    assert {e.split for e in content.examples} == {"train"}
    assert [str(problem) for problem in content.problems] == ["train.src:2: the line is empty"]
    (tmp_path / "train.tgt").write_text("eins\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}': 'train.src' has 3 lines and 'train.tgt' 1: line by line they must belong "
        "together."
    )


def test_sides_of_pairs_are_named(tmp_path):
    (tmp_path / "all.de").write_text("eins\n", encoding="utf-8")
    (tmp_path / "all.en").write_text("one\n", encoding="utf-8")
    (example,) = read(tmp_path, source="en", target="de").examples
    assert example.values == {"source": "one", "target": "eins"}
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}' holds files in .de and .en: say which is the source and which the target, "
        "such as --column source=de --column target=en."
    )


def test_tagged_words(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text(
        "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nBad\nline O O\n\nLast NN O",
        encoding="utf-8",
    )
    content = read(path)
    assert [dict(e.values) for e in content.examples] == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
        {"tokens": ["Last"], "tags": ["O"]},
    ]
    assert [str(problem) for problem in content.problems] == [
        "train.conll:7: line 2 of the sentence has 3 columns, the first 1"
    ]
    assert content.features["tags"].feature.names == ["B-ORG", "O"]
    middle = read(path, token="1", tag="2").examples[0]
    assert middle.values["tags"] == ["NNP", "VBZ"]
    with pytest.raises(UsageError, match=r"^--column tag=ner: columns of tagged words are numbers"):
        read(path, tag="ner")
