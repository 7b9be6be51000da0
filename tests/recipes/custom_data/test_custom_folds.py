"""Cross-validation on custom data: who is in which fold, and the runs of all folds together."""

import random
import shutil
import statistics
from collections import Counter

import pytest
from click.testing import CliRunner

from zoo import cross_validate
from zoo.cli.training import train as train_command
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.splitting import folded
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.repeating import go_on
from zoo_registry import UsageError

SHORT = with_overrides(resolve_recipe("table-mlp"), ["fit.epochs=1", "model.hidden_dims=[4]"])


def write(path, rows, header="x,shop,label"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def folds_of(path, count, **columns):
    content = layout_of(path).read(path, {"label": "label", **columns})
    return content, [view for _, view in folded(path, content, count).views()]


def rows_of_shops(seed=0):
    """Return rows of 40 shops of unequal size, whose classes are unequal too."""
    rng = random.Random(seed)
    sizes = {f"s{shop}": rng.choice([1, 2, 3, 12]) for shop in range(40)}
    return [
        f"{rng.random():.6f},{shop},{'rare' if rng.random() < 0.2 else 'usual'}"
        for shop, size in sizes.items()
        for _ in range(size)
    ]


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_every_class_is_alike_in_all_folds(tmp_path, count):
    """As scikit-learn's StratifiedKFold has it: by one example at most."""
    content, views = folds_of(write(tmp_path / "t.csv", rows_of_shops()), count)
    tested = [example.location for view in views for example in view["test"]]
    assert sorted(tested) == sorted(example.location for example in content.examples)
    for name, total in Counter(content.labels()).items():
        counts = [sum(e.values["label"] == name for e in view["test"]) for view in views]
        assert max(counts) - min(counts) <= 1
        assert sum(counts) == total
    sizes = [len(view["test"]) for view in views]
    assert max(sizes) - min(sizes) <= 2
    for view in views:
        places = [e.location for part in view.values() for e in part]
        assert sorted(places) == sorted(tested)


def test_a_group_is_on_one_side_alone(tmp_path):
    content, views = folds_of(write(tmp_path / "t.csv", rows_of_shops()), 4, group="shop")
    share = Counter(content.labels())["rare"] / len(content.examples)
    for view in views:
        shops = [{e.together for e in view[part]} for part in ("train", "validation", "test")]
        assert len(set.union(*shops)) == sum(map(len, shops))
        assert len(view["test"]) == pytest.approx(len(content.examples) / 4, rel=0.15)
        rare = sum(e.values["label"] == "rare" for e in view["test"])
        assert rare / len(view["test"]) == pytest.approx(share, abs=0.05)


def test_folds_follow_from_what_the_rows_hold(tmp_path):
    rows = rows_of_shops()
    rows += rows[:20]  # copies stay together
    _, views = folds_of(write(tmp_path / "t.csv", rows), 5)
    for view in views:
        held = [{e.digest for e in part} for part in view.values()]
        assert len(set.union(*held)) == sum(map(len, held))
    random.Random(1).shuffle(rows)
    _, others = folds_of(write(tmp_path / "t.csv", rows), 5)
    for view, other in zip(views, others, strict=True):
        assert Counter(e.digest for e in view["test"]) == Counter(e.digest for e in other["test"])


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["1,a,x", "2,b,y"] * 9, "x,shop,label", "have 2 examples or groups that differ: too few"),
        (
            ["1,train,x", "2,train,y", "3,test,x", "4,test,y"],
            "x,split,label",
            "have splits of their own (t.csv:2 is in train), and folds are splits too: give one "
            "file or folder without splits.",
        ),
        (
            [f"{n},a,{'odd' if n == 7 else n % 2}" for n in range(60)],
            "x,shop,label",
            "No example of class 'odd'",
        ),
    ],
)
def test_data_without_folds_are_refused_and_leave_nothing(tmp_path, rows, header, said):
    path = write(tmp_path / "t.csv", rows, header)
    with pytest.raises(UsageError) as caught:
        cross_validate(
            SHORT,
            folds=3,
            data=path,
            columns={"label": "label"},
            out=tmp_path / "out",
            data_dir=tmp_path / "prepared",
        )
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_refused_training_leaves_no_folder_of_folds(tmp_path):
    path = write(tmp_path / "t.csv", [f"{n},a,{n % 2}" for n in range(60)])
    recipe = with_overrides(SHORT, ["fit.keep_best=no_such"])
    with pytest.raises(UsageError, match="the training has no such metric"):
        cross_validate(
            recipe,
            folds=2,
            data=path,
            columns={"label": "label"},
            out=tmp_path / "out",
            data_dir=tmp_path / "prepared",
            verbose=False,
        )
    assert not (tmp_path / "out").exists()


def test_only_own_data_have_folds(tmp_path):
    with pytest.raises(UsageError) as caught:
        cross_validate(SHORT, out=tmp_path / "out")
    assert str(caught.value) == (
        "Folds are parts of your own data, and dataset 'breast_cancer' is none: name your file or "
        "folder with --data (data=)."
    )


def test_the_folds_of_a_training(tmp_path, monkeypatch):
    """Their figures are the mean and deviation of the runs', and what was lost is made again."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "t.csv", [f"{n},s{n % 9},{n % 2}" for n in range(90)])
    where = ["--data", str(path), "--column", "label=label", "--column", "group=shop"]
    short = ["--set", "fit.epochs=1", "--set", "model.hidden_dims=[4]", "--folds", "2"]
    kept = ["--data-dir", str(tmp_path / "prepared")]
    done = CliRunner().invoke(train_command, ["table-mlp", *where, *short, *kept])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / "table-mlp-t-folds"
    assert {path.name for path in folder.iterdir()} == {"fold1", "fold2", "folds.json"}
    shutil.rmtree(folder / "fold2")
    (folder / "folds.json").unlink()
    again = go_on(folder, data_dir=tmp_path / "prepared", verbose=False)
    rows = [run.metrics["accuracy"] for run in again.runs]
    mean, deviation = statistics.fmean(rows), statistics.stdev(rows)
    assert again.metrics["accuracy"] == (mean, deviation)
    assert f"test accuracy  {mean:.4f} ± {deviation:.4f}" in done.output
    tested = [run.info["dataset"]["splits"]["test"] for run in again.runs]
    assert sum(split["examples"] for split in tested) == 90
    refused = CliRunner().invoke(train_command, ["table-mlp", *where, *short, *kept])
    assert str(refused.exception) == (
        "'runs/table-mlp-t-folds' exists: choose another one (--out), or replace it (--force, "
        "force=True)."
    )
