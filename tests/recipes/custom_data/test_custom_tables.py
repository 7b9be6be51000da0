"""Tables of every format give the same examples; columns are found by name or named."""

import csv
import json

import pyarrow
import pytest
from pyarrow import parquet

from zoo_recipes.custom_data.layouts import layout_of
from zoo_registry import UsageError

ROWS = [{"text": 'a "quoted", text', "label": 10}, {"text": "zwei\nZeilen", "label": 9}]


def read(path, **columns):
    return layout_of(path).read(path, columns)


def pairs_of(content):
    return [(example.values["text"], example.values["label"]) for example in content.examples]


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_format_gives_the_same(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    csv = 'label,text\n10,"a ""quoted"", text"\n\n9,"zwei\nZeilen"\n'
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "t.parquet")
    paths = [
        write(tmp_path / "t.csv", "\ufeff" + csv),
        write(
            tmp_path / "semicolons.csv",
            csv.replace("label,", "label;").replace("0,", "0;").replace("9,", "9;"),
        ),
        write(tmp_path / "t.jsonl", lines),
        tmp_path / "t.parquet",
    ]
    for path in paths:
        content = read(path)
        assert sorted(pairs_of(content)) == [('a "quoted", text', "10"), ("zwei\nZeilen", "9")], (
            path
        )
        assert content.features["label"].names == ["9", "10"]
        assert not content.problems
    assert [e.location for e in read(paths[0]).examples] == ["t.csv:2", "t.csv:4"]


def test_tsv_has_no_quotation_marks_and_columns_go_by_number(tmp_path):
    path = write(tmp_path / "t.tsv", 'good\t"a\nbad\tb"\n')
    assert pairs_of(read(path, text="2", label="1")) == [('"a', "good"), ('b"', "bad")]
    assert read(path, source="1", target="2").kind.tasks == ("seq2seq", "contrastive pairs")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {},
            "'{path}' has the columns my words, stars: say which are text and label, source and "
            "target, or user, item and rating, such as --column text='my words' "
            "--column label=stars; or of rows of numbers and categories which is the class, "
            "--column label=stars, or the number to be predicted, --column target=stars. In a file "
            "without a header they are 1, 2...",
        ),
        (
            {"text": "my word"},
            "'{path}' has no column 'my word' (--column text=my word). Did you mean 'my words'? "
            "It has: my words, stars.",
        ),
        (
            {"txt": "stars"},
            "--column txt=stars: there is no role 'txt'. Did you mean 'text'? There are: text, "
            "label, labels, source, target, user, item, rating, premise, hypothesis, question, "
            "context, answers, token, tag, image, split, group.",
        ),
    ],
)
def test_columns_that_are_not_clear(columns, message, tmp_path):
    path = write(tmp_path / "t.csv", "my words,stars\na,1\n")
    with pytest.raises(UsageError) as caught:
        read(path, **columns)
    assert str(caught.value) == message.format(path=path)
    assert pairs_of(read(path, text="my words")) == [("a", "1")]


def test_bad_rows_are_found_with_their_lines(tmp_path):
    head = b"text,label,split\n"
    rows = b'"\xc3\xa4\nb",1,train\nc\xff,0,train\n,1,test\nd,,test\ne,1\nf,1,none\n'
    content = read(write(tmp_path / "t.csv", head + rows))
    assert [str(problem) for problem in content.problems] == [
        "t.csv:4: is not UTF-8: b'c\\xff'",
        "t.csv:5: column 'text' is empty",
        "t.csv:6: column 'label' is empty",
        "t.csv:7: has 2 columns, not 3",
        "t.csv:8: split 'none' is none of train, training, test, testing, validation, valid, val, "
        "dev",
    ]
    assert [(e.location, e.split) for e in content.examples] == [("t.csv:2", "train")]
    lines = b'{"text": "a", "label": true}\n[]\n{"text":\n{"text": "b"}\n{"text": "\xff"}\n'
    content = read(write(tmp_path / "t.jsonl", lines))
    assert pairs_of(content) == [("a", "true")]
    assert [problem.location for problem in content.problems] == [
        f"t.jsonl:{n}" for n in (2, 3, 4, 5)
    ]
    assert content.problems[2].text == "column 'label' is empty"


def test_files_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "t.csv", 'text,label\na,1\n"b,2\n')
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value) == (
        f"'{path}', line 3, cannot be read: unexpected end of data. Is a quotation mark not closed?"
    )
    path = write(tmp_path / "twice.csv", "text,text\na,1\n")
    with pytest.raises(UsageError, match=r"twice.csv' has two columns 'text': give each a name"):
        read(path)
    path = write(tmp_path / "t.parquet", "no parquet")
    with pytest.raises(UsageError, match=r"t.parquet' is not a Parquet file: "):
        read(path)


CELLS = ["plain", 'says "no"', "over\ntwo lines", "a\ttab", "", 'ends with "', "x" * 140_000]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_as_pandas_writes_them(suffix, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": [f"{n} {cell}" for n, cell in enumerate(CELLS)]})
    frame["label"] = [f"c{n % 2}" for n in range(len(frame))]
    path = tmp_path / f"t.{suffix}"
    frame.to_csv(path, sep={"csv": ",", "tsv": "\t"}[suffix], index=False)
    before = csv.field_size_limit()
    content = read(path)
    assert [e.values["text"] for e in content.examples] == [t.strip() for t in frame["text"]]
    assert content.problems == []
    # The third text is over two lines, so what comes after it is one line further down.
    assert [e.location for e in content.examples][2:4] == [f"t.{suffix}:4", f"t.{suffix}:6"]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "lines",
    [
        # Some raw cell has a mark that is not doubled, or the rows are rows without quotes.
        ['he said "no"\t1', '"fine"\t0'],
        ['"begins here\t1', 'and "" ends"\t0'],
        ['"\t1', '"\t0'],
    ],
)
def test_a_tsv_with_marks_that_quote_nothing(lines, tmp_path):
    path = write(tmp_path / "t.tsv", "".join(f"{line}\n" for line in ["text\tlabel", *lines]))
    assert [e.values["text"] for e in read(path).examples] == [
        line.split("\t")[0] for line in lines
    ]


def test_splits_are_said_by_the_names_of_files(tmp_path):
    for name in ("train", "val", "test"):
        write(tmp_path / f"{name}.csv", f"text,label\n{name},1\n")
    assert {e.values["text"]: e.split for e in read(tmp_path).examples} == {
        "train": "train",
        "val": "validation",
        "test": "test",
    }
    (tmp_path / "val.csv").rename(tmp_path / "more.csv")
    with pytest.raises(
        UsageError, match=r"'test.csv' is named after a split and 'more.csv' is not"
    ):
        read(tmp_path)


def test_ratings(tmp_path):
    path = write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,2,3.5\n1,3,good\n1,4,nan\n")
    content = read(path)
    assert content.examples[0].values == {"user": "1", "item": "2", "rating": 3.5}
    assert [str(problem) for problem in content.problems] == [
        "ratings.csv:3: rating 'good' is not a number",
        "ratings.csv:4: rating 'nan' is not a finite number",
    ]


@pytest.mark.parametrize("header", ["text,label", "source,target", "user,item,rating"])
def test_a_column_of_groups_says_what_stays_together(header, tmp_path):
    cells = ["a", "1", "2"][: header.count(",") + 1]
    lines = [f"{header},shop", *(",".join([*cells, shop]) for shop in ("north", ""))]
    content = read(write(tmp_path / "t.csv", "\n".join(lines)), group="shop")
    assert [example.together for example in content.examples] == ["north", None]
    assert "group" not in content.features
    assert read(tmp_path / "t.csv").examples[0].together is None


def test_cells_that_hold_several_values(tmp_path):
    rows = [
        {"text": "good", "label": ["gut", "neu"]},
        {"text": {"de": "gut"}, "label": "gut"},
        {"text": "bad", "label": "schlecht"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows[:1]), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").kind.name == "texts with several classes each"
    said = "column 'label' holds a list, not one text or number"
    content = read(write(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [str(problem) for problem in content.problems] == [
        f"t.jsonl:1: {said}",
        "t.jsonl:2: column 'text' holds an object, not one text or number",
    ]
    assert content.features["label"].names == ["schlecht"]
