"""Custom data are prepared once for each content, split by content, and refused as a whole."""

import shutil
from collections import Counter
from dataclasses import replace

import pytest
import tensorflow_datasets as tfds

from zoo_recipes.custom_data.columns import TEXTS
from zoo_recipes.custom_data.content import Content, Example, class_names, digest_of
from zoo_recipes.custom_data.layouts import LAYOUTS
from zoo_recipes.custom_data.preparing import note_of
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.custom_data.splitting import PARTS, split
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_registry import UsageError, ZooError


def texts_by_part(builder):
    return {
        part: set(read_split(builder, part, input="text", label="label").raws) for part in PARTS
    }


def test_content_decides_the_folder(reviews, tmp_path):
    first = open_dataset(str(reviews), data_dir=tmp_path)
    written = [(p, p.stat().st_mtime_ns) for p in sorted((tmp_path / "own_data").rglob("*"))]
    again = open_dataset(str(reviews), data_dir=tmp_path)
    assert again.info.full_name == first.info.full_name
    assert written == [
        (p, p.stat().st_mtime_ns) for p in sorted((tmp_path / "own_data").rglob("*"))
    ]
    moved = reviews.rename(tmp_path / "moved").rename(tmp_path / "reviews.csv")
    assert open_dataset(str(moved), data_dir=tmp_path).info.full_name == first.info.full_name
    with reviews.open("a", encoding="utf-8") as file:
        file.write("one more,1\n")
    changed = open_dataset(str(reviews), data_dir=tmp_path)
    assert changed.info.full_name != first.info.full_name
    assert first.info.full_name.startswith("own_data/reviews-")


def test_new_examples_move_nobody_and_copies_stay_together(tmp_path):
    path = tmp_path / "films.csv"
    lines = [f"film number {n},{n % 2}" for n in range(2400)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    before = texts_by_part(open_dataset(str(path), data_dir=tmp_path))
    lines = [f"another film, {n}" for n in range(60)]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f'"{line}",{n % 2}\n' for n, line in enumerate(lines * 3)))
    after = texts_by_part(open_dataset(str(path), data_dir=tmp_path))
    assert sum(map(len, before.values())) == 2400
    assert all(before[part] < after[part] for part in PARTS)
    assert sum(map(len, after.values())) == 2460
    assert not after["train"] & after["test"]


def examples_of(counts, copies=1):
    """Return the content of a table with so many texts of each class, each of them so often."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    examples = [
        Example(
            f"t.csv:{n}:{copy}", None, digest_of(f"{n}"), {"text": f"{n}", "label": label}, (1,)
        )
        for n, label in enumerate(labels)
        for copy in range(copies)
    ]
    names = tfds.features.ClassLabel(names=class_names(labels))
    return Content(TEXTS, {"text": tfds.features.Text(), "label": names}, examples)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ({"a": 2, "b": 2}, {"train": {"a": 1, "b": 1}}),
        ({"a": 10, "b": 10}, {part: {"a": 1, "b": 1} for part in ("validation", "test")}),
        ({"a": 30, "b": 60}, {part: {"a": 3, "b": 6} for part in ("validation", "test")}),
        ({"a": 99, "b": 1, "c": 5}, {"train": {"a": 81, "b": 1, "c": 3}}),
        # Of many classes with few examples each some fall to the test, and none is lost.
        ({str(n): 3 for n in range(20)}, {"test": 6, "validation": 6, "train": 48}),
    ],
)
def test_a_small_set_is_split_by_count_in_every_class(counts, wanted, copies):
    content = examples_of(counts, copies)
    parts = split(content).parts
    assert sum(map(len, parts.values())) == len(content.examples)
    labels = {part: Counter(e.values["label"] for e in found) for part, found in parts.items()}
    for part, number in wanted.items():
        if isinstance(number, dict):
            assert labels[part] == {label: copies * n for label, n in number.items()}
        else:
            assert sum(labels[part].values()) == copies * number
    assert set(labels["train"]) == set(counts)
    # Whatever the order of the files.
    again = split(replace(content, examples=content.examples[::-1])).parts
    assert {part: {e.location for e in found} for part, found in parts.items()} == {
        part: {e.location for e in found} for part, found in again.items()
    }


def test_groups_stay_together(tmp_path):
    path = tmp_path / "patients.csv"
    lines = [f"visit {n},{n % 2},patient {n % 30}" for n in range(300)]
    path.write_text("\n".join(["text,label,patient", *lines]) + "\n", encoding="utf-8")
    columns = {"group": "patient"}
    found = texts_by_part(open_dataset(str(path), columns=columns, data_dir=tmp_path))
    patients = {
        part: {int(text.split()[1]) % 30 for text in texts} for part, texts in found.items()
    }
    assert {part: len(known) for part, known in patients.items()} == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }
    assert len(set.union(*patients.values())) == 30
    assert {part: len(texts) for part, texts in found.items()} == {
        "train": 240,
        "validation": 30,
        "test": 30,
    }


def test_contradictions_are_kept_or_dropped_but_from_the_users_own_test(tmp_path):
    path = tmp_path / "news.csv"
    rows = [f"text {n},{n % 2},train" for n in range(40)]
    rows += ["text 0,1,train", "text 1,0,test", "other,0,test", "more,1,validation"]
    path.write_text("\n".join(["text,label,split", *rows]), encoding="utf-8")
    counts = {}
    for what in ("keep", "drop"):
        builder = open_dataset(str(path), on_contradiction=what, data_dir=tmp_path)
        note = note_of(builder)
        counts[what] = {name: part.num_examples for name, part in builder.info.splits.items()}
        listed = note["contradictions"] if what == "keep" else note["left_out"]
        assert listed[0] == (
            "news.csv:2: is in class '0', and news.csv:42 in another with the same content"
        )
        assert len(listed) == (4 if what == "keep" else 3)
    assert counts["keep"] == {"train": 41, "validation": 1, "test": 2}
    assert counts["drop"] == {"train": 38, "validation": 1, "test": 2}
    with pytest.raises(UsageError) as caught:
        open_dataset(str(path), on_contradiction="error", data_dir=tmp_path)
    first, *_, last = str(caught.value).splitlines()
    assert first == f"The data at '{path}' contradict themselves. They have 4 problems:"
    assert last == "Mend them, or leave them out with --set dataset.on_contradiction=drop."


def test_a_table_of_which_every_text_contradicts_another(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["text,label", *(f"text {n // 2},{n % 2}" for n in range(80))]))
    report = inspect_data(path)
    assert (report.refusal, len(report.contradictions), report.duplicates) == (None, 80, 40)
    with pytest.raises(UsageError) as caught:
        open_dataset(str(path), on_contradiction="drop", data_dir=tmp_path)
    path.write_text("\n".join(["text,label", *["same,a", "same,b"] * 40]))
    assert "of which 1 are different, none falls to validation" in inspect_data(path).refusal
    said = f"The data at '{path}' have no good example. They have 80 problems:\n  t.csv:2: is in"
    assert str(caught.value).startswith(said)


def test_the_datas_own_splits_stay(pictures, tmp_path):
    home = tmp_path / "split"
    for part, names in (("Train", range(16)), ("test", range(16, 20))):
        for label in ("dark", "light"):
            (home / part / label).mkdir(parents=True)
            for name in names:
                shutil.copy(pictures / label / f"{name:02d}.png", home / part / label)
    builder = open_dataset(str(home), data_dir=tmp_path)
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts["test"] == 8
    assert counts["train"] + counts["validation"] == 32
    assert counts["validation"] > 0
    assert note_of(builder)["splits"] == "the data's own; validation by hash, 10 % of train each"


def test_all_problems_are_listed_and_nothing_is_written(pictures, tmp_path):
    (pictures / "dark" / "notes.txt").write_text("no picture", encoding="utf-8")
    (pictures / "empty").mkdir()
    (pictures / "notes.pdf").write_text("stray", encoding="utf-8")
    (pictures / ".DS_Store").write_bytes(b"of no interest")
    shutil.copy(pictures / "dark" / "03.png", pictures / "light" / "copy.png")
    cut = (pictures / "light" / "05.png").read_bytes()[:60]
    (pictures / "light" / "05.png").write_bytes(cut)
    with pytest.raises(UsageError) as caught:
        open_dataset(str(pictures), data_dir=tmp_path)
    listed = (
        "\n  notes.pdf: lies outside the class folders"
        "\n  dark/notes.txt: is not an image: cannot identify image file"
        "\n  empty/: the class is empty"
        "\n  light/05.png: is not an image: image file is truncated"
    )
    assert str(caught.value) == (
        f"The data at '{pictures}' have 4 problems:{listed}\nMend them, or leave these records out "
        'with --on-bad-record report (on_bad_record="report").'
    )
    assert not (tmp_path / "own_data").exists()
    builder = open_dataset(str(pictures), on_bad_record="report", data_dir=tmp_path)
    assert note_of(builder)["left_out"] == listed.removeprefix("\n  ").split("\n  ")
    # The same in two classes may be right: it is told, and stays.
    assert note_of(builder)["contradictions"] == [
        "dark/03.png: is in class 'dark', and light/copy.png in another with the same content",
        "light/copy.png: is in class 'light', and dark/03.png in another with the same content",
    ]
    assert builder.info.features["label"].names == ["dark", "light"]
    assert sum(split.num_examples for split in builder.info.splits.values()) == 40


def test_the_first_twenty_problems(reviews, tmp_path):
    with reviews.open("a", encoding="utf-8") as file:
        file.write("one,two,three\n" * 25)
    with pytest.raises(UsageError) as caught:
        open_dataset(str(reviews), data_dir=tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"The data at '{reviews}' have 25 problems:"
    assert lines[1] == "  reviews.csv:82: has 3 columns, not 2"
    assert lines[21] == "  ... and 5 more"
    assert len(lines) == 23


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\n", "The data at '{path}' have no good example."),
        (
            "text,label\none,1\ntwo,2\n",
            "Of 2 examples at '{path}' none falls to validation: give more, or splits of your own.",
        ),
        (
            "text,label\n" + "".join(f"{n},same\n" for n in range(80)),
            "All examples at '{path}' are in class 'same'.",
        ),
        (
            "text,label\n" + "".join(f"{n},w{n / 7}\n" for n in range(80)),
            "The labels at '{path}' are not classes: 80 different ones in 80 examples, such as "
            "'w0.0'.",
        ),
        (
            "text,label,split\na,1,train\nb,2,val\nc,1,test\nd,1,train\n",
            "No example of class '2' at '{path}' falls to train: give more, or splits of your own.",
        ),
    ],
)
def test_what_nothing_can_be_learned_from(text, message, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        open_dataset(str(path), data_dir=tmp_path)
    assert str(caught.value) == message.format(path=path)


def test_what_is_not_understood(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_dataset(str(tmp_path / "nothing"), data_dir=tmp_path)
    assert str(caught.value) == f"There are no data at '{tmp_path / 'nothing'}'."
    with pytest.raises(UsageError) as caught:
        open_dataset(str(tmp_path), data_dir=tmp_path)
    assert str(caught.value) == f"'{tmp_path}' is empty: there are no data in it."
    (tmp_path / "model.bin").write_bytes(b"\0")
    with pytest.raises(UsageError) as caught:
        open_dataset(str(tmp_path / "model.bin"), data_dir=tmp_path)
    first, *known = str(caught.value).splitlines()
    path = tmp_path / "model.bin"
    assert first == f"'{path}' is not laid out as any data that are understood:"
    assert known == [f"  {layout.what}" for layout in LAYOUTS]


def test_a_folder_that_cannot_be_written(pictures, tmp_path):
    (tmp_path / "own_data").write_text("in the way", encoding="utf-8")
    with pytest.raises(ZooError, match=r"^Data '.*pictures' cannot be prepared in '"):
        open_dataset(str(pictures), data_dir=tmp_path)
