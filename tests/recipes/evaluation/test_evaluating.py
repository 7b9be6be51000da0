"""Runs measured by group, what is refused, and what is written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo_recipes.evaluation.evaluating import _warn_of_small, as_groups
from zoo_recipes.evaluation.results import Group, draw_confusion
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    """Return a table of reviews; those of one shop are labelled at random."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(3000):
        is_good, shop = generator.random() < 0.5, generator.choice(["a", "b"])
        label = "good" if (is_good if shop == "a" else generator.random() < 0.5) else "bad"
        word = "lovely" if is_good else "awful"
        age = generator.integers(18, 80)
        rows.append(f"thing {number} was {word},{label},{'' if number % 60 == 0 else shop},{age}")
    path = tmp_path_factory.mktemp("shops") / "reviews.csv"
    path.write_text("\n".join(["text,label,shop,age", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(shops, data_dir, tmp_path_factory):
    recipe = with_overrides(
        resolve_recipe("language-id-lstm"),
        ["fit.epochs=2", "tokenizer.vocab_size=280", "model.hidden_dim=16"],
    )
    out = tmp_path_factory.mktemp("runs") / "reviews"
    return train(recipe, data=shops, out=out, data_dir=data_dir, verbose=False)


@pytest.fixture(scope="module")
def by_shop(run, data_dir):
    with pytest.warns(UserWarning, match=r"^groups of 'shop' with .*: \(none\); gaps are without"):
        return zoo.evaluate(run, slice_by="shop", data_dir=data_dir)


def test_every_metric_by_group(by_shop, run, shops, data_dir):
    groups = by_shop.groups
    by_name = {group.name: group for group in groups.groups}
    assert set(by_name) == {"a", "b", "(none)"}
    assert sum(group.num_examples for group in groups.groups) == by_shop.num_examples
    assert [group.small for group in groups.groups] == [False, False, True]
    assert by_name["a"].metrics["accuracy"] > 0.9 > 0.7 > by_name["b"].metrics["accuracy"]
    low, high = by_name["b"].intervals["accuracy"]
    assert low < by_name["b"].metrics["accuracy"] < high
    assert set(groups.gaps) == set(by_name["a"].metrics)
    assert set(groups.compared) == {"a", "b"}
    for name, (best, worst) in {"accuracy": ("a", "b"), "log_loss": ("a", "b")}.items():
        gap = groups.gaps[name]
        assert (gap.best, gap.worst) == (best, worst)
        values = [by_name[group].metrics[name] for group in ("a", "b")]
        assert gap.difference == pytest.approx(abs(np.diff(values)[0]))
    # The shop does not show in the text: it is given both classes alike, and half of them wrong.
    assert groups.parity["good"]["demographic_parity_difference"] < 0.2
    assert groups.parity["good"]["equalized_odds_difference"] > 0.3
    # Whatever the column: the same examples in the same order.
    plain = zoo.evaluate(run, data_dir=data_dir)
    assert plain.groups is None
    assert plain.metrics == by_shop.metrics
    assert plain.intervals == by_shop.intervals


def test_label_errors_are_those_of_the_careless_shop(by_shop):
    assert len(by_shop.label_errors) == 20
    for row in by_shop.label_errors:
        word = "lovely" if row.given == "bad" else "awful"
        assert row.text.endswith(f"was {word}")
        assert (row.given, row.predicted) in {("good", "bad"), ("bad", "good")}
        assert row.self_confidence < row.usual


def test_numbers_become_four_groups(run, data_dir):
    with pytest.warns(UserWarning, match="gaps are of all groups, and may be chance$"):
        groups = zoo.evaluate(run, slice_by="age", data_dir=data_dir).groups
    assert len(groups.groups) == 4
    sizes = [group.num_examples for group in groups.groups]
    assert max(sizes) < 1.5 * min(sizes)


def test_the_label_itself_as_the_group(run, shops, data_dir, tmp_path):
    labels = [line.split(",")[1] for line in shops.read_text(encoding="utf-8").splitlines()[1:]]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(["side", *labels]), encoding="utf-8")
    slices = ["label", f"{shops}:label", f"{table}:side", labels]
    found = [zoo.evaluate(run, slice_by=word, data_dir=data_dir).groups for word in slices]
    for groups in found:
        assert groups.groups == found[0].groups
        for label, by_group in groups.rates.items():
            assert {name: rates.wanted for name, rates in by_group.items()} == {
                "good": label == "good",
                "bad": label == "bad",
            }
    assert [groups.column for groups in found] == ["label", "label", "side", "group"]


def test_label_errors_are_named_by_file_and_line(by_shop, shops):
    lines = shops.read_text(encoding="utf-8").splitlines()
    for row in by_shop.label_errors:
        file, line = row.location.split(":")
        assert file == shops.name
        assert lines[int(line) - 1].split(",")[:2] == [row.text, row.given]


def test_what_was_answered_on_each_example(run, shops, data_dir, tmp_path):
    path = tmp_path / "examples.csv"
    found = zoo.evaluate(run, slice_by="shop", data_dir=data_dir, examples=path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["location", "label", "predicted", "probability", "group", "loss"]
    assert len({row["location"] for row in rows}) == found.num_examples
    own = ["", *shops.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        text, label, shop, _ = own[int(row["location"].removeprefix(f"{shops.name}:"))].split(",")
        assert (row["label"], row["group"]) == (label, shop or "(none)")
        if shop == "a":
            assert (row["predicted"] == "good") == text.endswith("lovely")
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(
        found.metrics["accuracy"]
    )
    losses = [float(row["loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert np.mean(losses) == pytest.approx(found.metrics["loss"], rel=1e-5)
    with pytest.raises(UsageError) as caught:
        zoo.evaluate(run, data_dir=data_dir, examples=tmp_path / "examples.xlsx")
    assert str(caught.value) == (
        f"'{tmp_path / 'examples.xlsx'}': examples are written as a table, such as examples.csv."
    )


def test_an_evaluation_is_written_and_read_again(by_shop, tmp_path):
    assert zoo.Evaluation.from_json(by_shop.to_json()) == by_shop
    folder = by_shop.save(tmp_path / "a" / "b")
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "confusion.png"}
    text = (folder / "evaluation.json").read_text(encoding="utf-8")
    assert zoo.Evaluation.from_json(text) == by_shop
    assert np.sum(json.loads(text)["confusion"]) == by_shop.num_examples
    assert by_shop.name.startswith("keras-reviews-")
    assert by_shop.name.endswith("-test-by-shop")
    assert f"({by_shop.num_examples} examples)" in str(by_shop)
    with pytest.raises(UsageError, match=r"^The text is not an evaluation: "):
        zoo.Evaluation.from_json('{"metrics": {}}')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"slice_by": "shp"},
            "'{shops}' has no column 'shp' (--slice shp). Did you mean 'shop'? It has: text, "
            "label, shop, age.",
        ),
        (
            {"slice_by": "text"},
            "'text' has {count} different values: up to 50 make groups, or numbers, which are put "
            "into four.",
        ),
        (
            {"slice_by": ["a", "b"]},
            "'slice_by' has 2 values for {count} examples of '{shops}', and which belongs to which "
            "is not known: it needs one for each record in the order of the files, 3,000 (all of "
            "the data); a table may name the file of each example in another column instead.",
        ),
        ({"slice_by": "no.csv:a"}, "There is no file 'no.csv' (--slice no.csv:a)."),
        (
            {"runtime": "tflite"},
            "Run '{run}' runs in Keras: export it (zoo export {run} --to tflite) and use the "
            "bundle.",
        ),
        ({"resamples": 0}, "resamples=0: use 1 or more."),
    ],
)
def test_what_cannot_be_measured(options, message, run, by_shop, shops, data_dir):
    with pytest.raises(UsageError) as caught:
        zoo.evaluate(run, data_dir=data_dir, **options)
    wanted = message.format(shops=shops, run=run.path, count=by_shop.num_examples)
    assert str(caught.value) == wanted


def test_a_warning_of_small_groups_is_one_line():
    group = Group(name="a\nb", num_examples=3, small=True, metrics={}, intervals={})
    with pytest.warns(UserWarning, match="known to 10 points at best: a b; gaps are of all groups"):
        _warn_of_small("shop", [group], [group])


def test_neither_a_run_nor_a_bundle(tmp_path):
    with pytest.raises(UsageError) as caught:
        zoo.evaluate(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}' is neither a run folder nor a bundle: it has no run.json and no "
        "manifest.json. `zoo train` makes runs, `zoo export` bundles."
    )


def test_numbers_with_gaps():
    found = as_groups(["", *map(str, range(80)), None], "age", 82)
    assert found[:2] == ["(none)", "0 to 19"]
    assert found[-2:] == ["60 to 79", "(none)"]
    assert as_groups(["nan", *map(str, range(80)), float("nan")], "age", 82) == found


def test_a_feature_without_a_single_value():
    with pytest.raises(UsageError, match=r"^'image' has no single value an example"):
        as_groups([np.zeros(3)], "image", 1)


@pytest.mark.parametrize("count", [2, 26, 100])
def test_the_picture_of_a_confusion_matrix(count, tmp_path):
    path = Path(tmp_path, "confusion.png")
    draw_confusion(np.eye(count, dtype=int) * 9, [f"class {n}" for n in range(count)], "t", path)
    with Image.open(path) as picture:
        assert 400 < picture.height < picture.width < 1500
