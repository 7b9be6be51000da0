"""Own data are prepared once for each content, split by content, and refused as a whole."""

import shutil

import pytest

from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.own_data.checking import PARTS
from zoo_recipes.own_data.layouts import LAYOUTS
from zoo_recipes.own_data.preparing import note_of
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


def test_new_examples_move_nobody_and_copies_stay_together(reviews, tmp_path):
    before = texts_by_part(open_dataset(str(reviews), data_dir=tmp_path))
    lines = [f"another film, {n}" for n in range(60)]
    with reviews.open("a", encoding="utf-8") as file:
        file.write("".join(f'"{line}",{n % 2}\n' for n, line in enumerate(lines * 3)))
    after = texts_by_part(open_dataset(str(reviews), data_dir=tmp_path))
    assert sum(map(len, before.values())) == 80
    assert all(before[part] < after[part] for part in PARTS)
    assert sum(map(len, after.values())) == 140
    assert not after["train"] & after["test"]


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
    (pictures / "readme.md").write_text("stray", encoding="utf-8")
    (pictures / ".DS_Store").write_bytes(b"of no interest")
    shutil.copy(pictures / "dark" / "03.png", pictures / "light" / "copy.png")
    cut = (pictures / "light" / "05.png").read_bytes()[:60]
    (pictures / "light" / "05.png").write_bytes(cut)
    with pytest.raises(UsageError) as caught:
        open_dataset(str(pictures), data_dir=tmp_path)
    listed = (
        "\n  readme.md: lies outside the class folders"
        "\n  dark/notes.txt: is no picture: cannot identify image file"
        "\n  empty/: the class is empty"
        "\n  light/05.png: is no picture: image file is truncated"
        "\n  dark/03.png: is in class 'dark', and light/copy.png in another with the same content"
        "\n  light/copy.png: is in class 'light', and dark/03.png in another with the same content"
    )
    assert str(caught.value) == (
        f"The data at '{pictures}' have 6 problems:{listed}\nMend them, or leave these records out "
        'with --on-bad-record report (on_bad_record="report").'
    )
    assert not (tmp_path / "own_data").exists()
    builder = open_dataset(str(pictures), on_bad_record="report", data_dir=tmp_path)
    assert note_of(builder)["left_out"] == listed.removeprefix("\n  ").split("\n  ")
    assert builder.info.features["label"].names == ["dark", "light"]
    assert sum(split.num_examples for split in builder.info.splits.values()) == 38


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
            "The labels at '{path}' are no classes: 80 different ones in 80 examples, such as "
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
