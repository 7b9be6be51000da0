"""What a report says of custom data, as Python and on the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from zoo.cli.data import data
from zoo_recipes.custom_data.arrays import WHITE_1
from zoo_recipes.custom_data.report import inspect_data
from zoo_registry import UsageError


def test_duplicates_and_leaks_are_counted(tmp_path):
    rows = ["good,1,train", "good,1,train", "good,1,test", "bad,0,train", "so,1,val", ",1,test"]
    path = tmp_path / "t.csv"
    path.write_text("text,label,split\n" + "\n".join(rows), encoding="utf-8")
    report = inspect_data(path)
    assert report.splits == {"train": 3, "validation": 1, "test": 1}
    assert report.split_rule == "the data's own"
    assert report.classes == {
        "0": {"train": 1, "validation": 0, "test": 0},
        "1": {"train": 2, "validation": 1, "test": 1},
    }
    assert report.sizes == {"length": (2, 4, 4, 4)}
    assert (report.duplicates, report.leaks) == (2, 1)
    assert report.problems == ["t.csv:7: column 'text' is empty"]


def test_the_report_on_the_command_line(tmp_path, cli):
    path = tmp_path / "my reviews.csv"
    rows = [f"film {n} is {['bad', 'good'][n % 2]},{n % 2}" for n in range(60)]
    path.write_text("body,mark\n" + "\n".join([*rows, "one,two,three"]), encoding="utf-8")
    shown = cli("data", path, "--column", "label=mark")
    assert shown.returncode == 0, shown.stderr
    lines = [line.rstrip() for line in shown.stdout.splitlines()]
    assert "holds                60 texts in classes" in lines
    assert "sizes in characters  length 13 to 15, median 14, 95 % up to 15" in lines
    assert "1 problem:" in lines
    assert "  my reviews.csv:62: has 3 columns, not 2" in lines
    assert lines[-1] == (
        f"Next: zoo train movie-reviews-minilm --data '{path}' --column label=mark "
        "--on-bad-record report --download"
    )
    told = json.loads(cli("data", path, "--column", "label=mark", "--json").stdout)
    assert told["kind"] == "texts in classes"
    assert sum(told["splits"].values()) == 60
    refused = cli("data", path, "--column", "mark")
    assert refused.returncode == 2
    assert refused.stderr == "error: --column mark is not ROLE=NAME, such as text=review.\n"


def test_classes_that_are_likely_wrong(pictures, reviews, tmp_path):
    (pictures / "light" / "00.png").rename(pictures / "dark" / "wrong.png")
    (found,) = inspect_data(pictures, label_errors=True).suspects
    assert (found.location, found.given, found.looks_like) == ("dark/wrong.png", "dark", "light")
    assert found.confidence < 0.2
    text = reviews.read_text(encoding="utf-8")
    reviews.write_text(text.replace("film number 8 was bad,0", "film number 8 was bad,1"), "utf-8")
    (found,) = inspect_data(reviews, label_errors=True).suspects
    assert (found.location, found.given, found.looks_like) == ("reviews.csv:10", "1", "0")
    assert found.text == "film number 8 was bad"
    classes = np.arange(60) % 2
    x = np.random.default_rng(0).normal(size=(60, 4)) + 4 * classes[:, np.newaxis]
    np.savez(tmp_path / "a.npz", x=x, y=np.where(np.arange(60) == 7, 0, classes))
    suspects = inspect_data(tmp_path / "a.npz", label_errors=True).suspects
    assert suspects[0].location == "a.npz:x[7]"
    assert inspect_data(reviews).suspects is None
    several = np.stack([classes, np.arange(60) % 3 == 0], axis=1)
    x[:, 0] += 8 * several[:, 1]
    several[[4, 9]] = [[0, 1], [1, 0]]  # the second class is given and missing where it is not
    np.savez(tmp_path / "b.npz", x=x, y=several)
    first, second = inspect_data(tmp_path / "b.npz", label_errors=True).suspects[:2]
    assert {(s.location, s.given, s.looks_like) for s in (first, second)} == {
        ("b.npz:x[4]", "1", "not 1"),
        ("b.npz:x[9]", "not 1", "1"),
    }


def test_no_classes_to_judge(tmp_path):
    (tmp_path / "few.csv").write_text("text,label\na,0\nb,1\nc,1\nd,0\n", encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        inspect_data(tmp_path / "few.csv", label_errors=True)
    assert str(raised.value) == (
        "Likely label errors are looked for in two classes or more of 5 examples or more each: "
        "these texts in classes have 0."
    )


TWO, THREE = np.arange(120) % 2, np.arange(120) % 3


@pytest.mark.parametrize(
    ("shape", "scale", "y", "first"),
    [
        ((8, 8), 1, TWO, "digits-cnn"),
        ((8, 8, 3), 1, THREE, "cifar10-cnn"),
        ((61,), 1, TWO, "resume-bias"),
        ((61,), 1, THREE, None),
        ((10,), 1, TWO, None),
        ((8, 8), -1, TWO, None),
        ((8, 8), 1 / 255, TWO, None),
        ((8, 8, 2), 1, TWO, None),
        ((8, 8), 1, TWO / 3, "image-regression-cnn"),
        ((61,), 1, TWO / 3, None),
    ],
)
def test_recipes_that_take_the_arrays_as_they_are(shape, scale, y, first, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (len(y), *shape))
    np.savez(tmp_path / "a.npz", x=scale * x, y=y)
    report = inspect_data(tmp_path / "a.npz")
    assert (report.recipes[0] if report.recipes else None) == first
    assert report.refusal is None
    assert list(report.notes) == ([WHITE_1] if scale == 1 / 255 else [])
    # Of pictures and rows of numbers it is one or the other.
    assert ("resume-bias" in report.recipes) == (first == "resume-bias")


def test_arrays_that_no_recipe_takes_have_no_next_step(tmp_path, cli):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(60, 10)), y=TWO[:60])
    shown = cli("data", tmp_path / "a.npz")
    assert shown.returncode == 0, shown.stderr
    assert "Next: " not in shown.stdout
    assert (
        "recipes           none takes these as they are: write one of your own, with their shape "
        "(`zoo recipe resume-bias` prints one for rows of numbers)"
    ) in shown.stdout


@pytest.mark.parametrize(
    ("rows", "refusal"),
    [
        ([], "The data at '{path}' have no good example."),
        ([f"film {n},same" for n in range(80)], "All examples at '{path}' are in class 'same'."),
        (
            ["one,a", "two,b"],
            "Of 2 examples at '{path}' none falls to validation: give more, or splits of your own.",
        ),
        (
            [f"film {n % 2},{'ab'[n % 2]}" for n in range(80)],
            "Of 80 examples at '{path}', of which 2 are different, none falls to validation: give "
            "more, or splits of your own.",
        ),
    ],
)
def test_what_a_training_would_refuse_is_not_recommended(rows, refusal, tmp_path, cli):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    assert inspect_data(path).refusal == refusal.format(path=path)
    shown = cli("data", path)
    assert shown.returncode == 0, shown.stderr
    last = shown.stdout.splitlines()[-1]
    assert last == f"A training would refuse them: {refusal.format(path=path)}"
    assert json.loads(cli("data", path, "--json").stdout)["refusal"] == refusal.format(path=path)


def test_classes_that_are_tested_and_not_trained(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (200, 8, 8)), np.arange(200) % 3
    y[150:] += 2
    path = tmp_path / "t.npz"
    np.savez(path, x_train=x[:150], y_train=y[:150], x_test=x[150:], y_test=y[150:])
    assert inspect_data(path).refusal == (
        f"No example of class '3' at '{path}' falls to train: give more, or splits of your own."
    )


def test_data_without_a_good_record_are_reported(tmp_path):
    Image.new("RGB", (30, 40)).save(tmp_path / "a.jpg")
    found = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
        "categories": [{"id": 1, "name": "cow"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(found), encoding="utf-8")
    done = CliRunner().invoke(data, [str(tmp_path)])
    assert done.exit_code == 0
    assert "instances.json, image 1: the image has 30x40 pixels" in done.output
    assert "A training would refuse them: The data at" in done.output
    assert ["0.0%", "0", "0", "0", "cow"] in [line.split() for line in done.output.splitlines()]
