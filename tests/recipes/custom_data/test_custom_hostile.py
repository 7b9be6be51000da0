"""Data as programs and people leave them, with something wrong in the middle of them."""

import gzip
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from zoo_recipes.custom_data.layouts import layout_of
from zoo_registry import UsageError, ZooError

TEXTS = [(f"number {n} is {('bad', 'good')[n % 2]}", ("neg", "pos")[n % 2]) for n in range(8)]
AS_TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in TEXTS)
COLUMNS = {"text": [text for text, _ in TEXTS], "label": [label for _, label in TEXTS]}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def read(path, **columns):
    return layout_of(path).read(path, columns)


def numbers_of(content, name):
    return [float(example.values[name]) for example in content.examples]


@pytest.mark.parametrize(
    "value",
    [
        COLUMNS,
        {name: {str(at): cell for at, cell in enumerate(row)} for name, row in COLUMNS.items()},
        {"columns": list(COLUMNS), "index": [], "data": [list(row) for row in TEXTS]},
        {"data": [{"text": text, "label": label} for text, label in TEXTS]},
    ],
)
def test_json_as_pandas_writes_it(value, tmp_path):
    content = read(write(tmp_path / "t.json", json.dumps(value)))
    found = [(example.values["text"], example.values["label"]) for example in content.examples]
    assert found == TEXTS


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        # Three digits behind every comma, and one number that cannot be thousands.
        (["x;y", *(f"0,{n:03d};{n},5" for n in range(9))], []),
        # A mistake in the middle changes no other cell.
        (["x;y", *(f"{n},25;{'none' if n == 4 else f'{n},5'}" for n in range(9))], []),
        (
            ["x;y", *(f"1,{n:03d};{n},5" for n in range(9))],
            ["column 'x' is read with a comma as the mark of decimals: 1,234 is 1.234"],
        ),
        (
            ["x,y", *(f'"1,{n:03d}",{n}.5' for n in range(9))],
            ["column 'x' is read with a comma as the mark of thousands: 1,234 is 1234"],
        ),
    ],
)
def test_numbers_are_those_that_people_mean(lines, notes, tmp_path):
    content = read(write(tmp_path / "t.csv", "\n".join(lines)), target="y")
    good = [n for n in range(9) if "none" not in lines[n + 1]]
    thousands = lines[0] == "x,y"
    wanted = {
        "0": lambda n: n / 1000,
        "1": lambda n: 1000 + n if thousands else 1 + n / 1000,
    }
    second = lines[2].replace('"', "")[0]
    first = lines[1].replace('"', "")[0]
    meant = (lambda n: n + 0.25) if first != second else wanted[first]
    assert numbers_of(content, "x") == pytest.approx([meant(n) for n in good])
    assert numbers_of(content, "y") == [n + 0.5 for n in good]
    assert [text for text in content.notes if "comma" in text] == notes
    assert [p.location for p in content.problems] == ([] if len(good) == 9 else ["t.csv:6"])


@pytest.mark.parametrize(
    ("header", "row", "columns", "kind", "told"),
    [
        ("text;target", "film {n};{n},5", {}, "texts with a number each", "target"),
        ("user;item;rating", "u{n};i{n};{n},5", {}, "ratings", "rating"),
        ("text;stars", "film {n};{n},5", {}, "texts with a number each", "target"),
        (
            "sentence1;sentence2;score",
            "a{n};b{n};{n},5",
            {},
            "pairs of texts with a number each",
            "target",
        ),
    ],
)
def test_decimal_commas_of_what_is_told(header, row, columns, kind, told, tmp_path):
    lines = [header, *(row.format(n=n) for n in range(5))]
    content = read(write(tmp_path / "t.csv", "\n".join(lines)), **columns)
    assert content.kind.name == kind
    assert numbers_of(content, told) == [n + 0.5 for n in range(5)]


def test_a_delimiter_is_what_parts_all_rows(tmp_path):
    lines = ["what, in words;label", *(f"{text};{label}" for text, label in TEXTS)]
    content = read(write(tmp_path / "t.csv", "\n".join(lines)), text="what, in words")
    assert [example.values["text"] for example in content.examples] == COLUMNS["text"]


def test_a_folder_of_a_contest_is_read_without_what_has_no_class(tmp_path):
    write(tmp_path / "train.csv", AS_TABLE)
    write(tmp_path / "test.csv", "text\nof which class\n")
    write(tmp_path / "sample_submission.csv", "id,label\n1,pos\n")
    write(tmp_path / "README.md", "# what this is")
    content = read(tmp_path)
    assert len(content.examples) == len(TEXTS)
    assert content.notes == ["test.csv is left out: it has no column 'label'"]
    write(tmp_path / "more.csv", AS_TABLE)
    with pytest.raises(UsageError, match=r"is named after a split and 'more\.csv' is not"):
        read(tmp_path)


def test_half_characters_are_told_by_their_line(tmp_path):
    rows = [json.dumps({"text": f"a{n}", "label": "x"}) for n in range(3)]
    rows.insert(1, '{"text": "half \\ud83d", "label": "x"}')
    content = read(write(tmp_path / "t.jsonl", "\n".join(rows)))
    assert [str(problem) for problem in content.problems] == [
        "t.jsonl:2: holds half a character, a lone surrogate such as \\ud83d"
    ]
    assert len(content.examples) == 3


def test_lists_of_words_as_pandas_writes_them(tmp_path):
    rows = ["tokens,ner_tags", "\"['Anna', 'sings']\",\"['B-PER', 'O']\"", "alone,O"]
    content = read(write(tmp_path / "t.csv", "\n".join(rows)))
    assert content.examples[0].values == {"tokens": ["Anna", "sings"], "tags": ["B-PER", "O"]}
    assert [problem.location for problem in content.problems] == ["t.csv:3"]


@pytest.mark.parametrize("name", ["t.txt", "t.conll", "t.txt.gz"])
def test_a_sentence_of_other_columns_is_told_and_no_plain_text(name, tmp_path):
    lines = [f"Anna B-PER\nsings{n} O\n" for n in range(10)]
    lines.insert(3, "x y z\n")
    text = "\n".join(lines).encode()
    content = read(write(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text))
    assert content.kind.name == "tagged words"
    assert len(content.examples) == 10
    assert [str(problem) for problem in content.problems] == [
        f"{name}:10: the sentence has 3 columns, the others 2"
    ]


def test_every_wrong_question_of_squad_has_its_place(tmp_path):
    def about(n, **changes):
        asked = {"question": f"Where {n}?", "answers": [{"text": "Rome", "answer_start": 0}]}
        return {"context": f"Rome {n}", "qas": [{**asked, **changes}]}

    paragraphs = [about(1), about(2, question=None), "none", {"context": "c", "qas": 3}, about(5)]
    data = json.dumps({"data": [{"paragraphs": paragraphs}]}).encode()
    for file in (
        write(tmp_path / "a" / "s.json", b"\xef\xbb\xbf" + data),
        write(tmp_path / "b" / "s.json.gz", gzip.compress(data)),
    ):
        content = read(file)
        assert content.kind.name == "questions about texts"
        assert [example.location[-1] for example in content.examples] == ["1", "5"]
        assert [str(problem) for problem in content.problems] == [
            f"{file.name}:{n}: the question is empty or not a text" for n in (2, 3, 4)
        ]


# -- pictures -------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)

    def save(*names):
        for name in names:
            file = tmp_path / "own" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).save(file)
        return tmp_path / "own"

    return save


def test_a_table_of_numbers_among_class_folders_names_no_pictures(pictures):
    names = [f"{split}/{c}/{n}.png" for split in ("train", "test") for c in "ab" for n in range(4)]
    folder = pictures(*names)
    write(folder / "log.csv", "step,loss\n1,2\n2,3\n")
    content = read(folder)
    assert len(content.examples) == 16
    assert [str(problem) for problem in content.problems] == [
        "log.csv: lies outside the class folders"
    ]


@pytest.mark.parametrize("root", ["C:\\Users\\me\\", "/home/me/pictures/", ""])
def test_a_table_of_pictures_from_another_machine_without_a_header(pictures, root):
    folder = pictures(*(f"all/{n}.png" for n in range(4)))
    write(folder / "labels.csv", "\n".join(f"{root}{n}.png,{'xy'[n % 2]}" for n in range(4)))
    content = read(folder)
    assert [example.values["label"] for example in content.examples] == ["x", "y", "x", "y"]
    assert not content.problems


def test_a_link_back_to_the_data_adds_nothing(pictures):
    folder = pictures(*(f"{c}/{n}.png" for c in "ab" for n in range(3)))
    (folder / "a" / "back").symlink_to(folder)
    shutil.copytree(folder / "b", folder.parent / "elsewhere")
    (folder / "c").symlink_to(folder.parent / "elsewhere")
    assert [example.location for example in read(folder).examples] == [
        f"{c}/{n}.png" for c in "abc" for n in range(3)
    ]


def test_the_first_sheet_of_an_excel_file(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [("mass", "island", "label"), (1.5, "a", "x"), (None, None, None), (2, None, "y")]:
        sheet.append(row)
    sheet["F9"].number_format = "0.00"
    book.create_sheet("notes").append(["nothing"])
    book.save(tmp_path / "t.xlsx")
    content = read(tmp_path / "t.xlsx")
    assert [(e.location, e.values) for e in content.examples] == [
        ("t.xlsx:2", {"mass": "1.5", "island": "a", "label": "x"}),
        ("t.xlsx:4", {"mass": "2", "island": "", "label": "y"}),
    ]
    assert "sheet 'Sheet' of t.xlsx is read, the first of 2" in content.notes
    with pytest.raises(UsageError, match=r"broken\.xlsx' is not an Excel file: BadZipFile"):
        read(write(tmp_path / "broken.xlsx", "no zip"))


def test_excel_files_name_what_reads_them(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ZooError) as caught:
        read(write(tmp_path / "t.xlsx", "x"))
    assert str(caught.value) == (
        f"'{tmp_path / 't.xlsx'}' is read by openpyxl, which is not installed: "
        "pip install 'kerazoo[excel]'."
    )
