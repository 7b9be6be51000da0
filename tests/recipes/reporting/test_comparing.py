"""Runs beside each other: real ones, and what became of those that did not end well."""

from pathlib import Path

import pytest
from PIL import Image

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.reporting.comparing import differences, list_runs
from zoo_recipes.reporting.report import draw_side_by_side
from zoo_recipes.run import HISTORY, INFO, Run, load_run, write_json
from zoo_recipes.training.training import train
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RunInfo

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("runs")]


@pytest.fixture(scope="module")
def root(tmp_path_factory, data_dir):
    """Two real runs, and one each that failed, was interrupted and is damaged."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        recipe = with_overrides(resolve_recipe("digits-mlp"), [f"fit.epochs={seed + 1}"])
        train(recipe, out=root / f"seed-{seed}", seed=seed, data_dir=data_dir, verbose=False)
    info = dict(load_run(root / "seed-0").info)
    for status, error in (("failed", "no disk"), ("interrupted", None)):
        (root / "old" / status).mkdir(parents=True)
        unfinished = {**info, "status": status, "error": error, "metrics": {}, "finished": None}
        write_json(root / "old" / status / INFO, unfinished)
    (root / "damaged").mkdir()
    (root / "damaged" / INFO).write_text("{")
    return root


def names(rows, root):
    return [row.path.relative_to(root).as_posix() for row in rows]


def test_runs_are_listed_whatever_became_of_them(root):
    rows = list_runs(root, sort="name")
    assert names(rows, root) == ["damaged", "old/failed", "old/interrupted", "seed-0", "seed-1"]
    damaged, failed, interrupted, first, _ = rows
    assert (damaged.status, damaged.recipe) == ("unreadable", "")
    assert "run.json' is damaged: Expecting property name" in damaged.error
    assert (failed.status, failed.error, failed.value) == ("failed", "no disk", None)
    assert (interrupted.status, interrupted.seconds) == ("interrupted", first.seconds)
    run = load_run(first.path)
    assert (first.metric, first.value) == ("accuracy", run.metrics["accuracy"])
    assert first.num_params == run.model().count_params() == 50_826
    assert first.seconds == run.info["cost"]["seconds"] > 0


def test_runs_are_filtered_and_sorted(root):
    assert names(list_runs(root, status="failed"), root) == ["old/failed"]
    assert list_runs(root, recipe="bert-*") == []
    assert names(list_runs(root, recipe="digits-*", status="complete"), root) == [
        "seed-1",  # newest first
        "seed-0",
    ]
    best = [row.value for row in list_runs(root, sort="metric")]
    done = sorted((value for value in best if value is not None), reverse=True)
    assert best == [*done, None, None, None]
    assert list_runs(root, sort="seconds")[-1].seconds is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"expected": "no"}, "expected cannot be 'no'."),
        ({"expected": {"metric": ["a"]}}, "expected.metric cannot be ['a']."),
        ({"metrics": [1, 2]}, "metrics cannot be [1, 2]."),
        ({"metrics": {"accuracy": "good"}}, "metrics.accuracy cannot be 'good'."),
        ({"cost": {"seconds": "x"}}, "cost.seconds cannot be 'x'."),
        ({"cost": 3}, "cost cannot be 3."),
        ({"model": {"num_params": "many"}}, "model.num_params cannot be 'many'."),
        ({"seed": [1]}, "seed cannot be [1]."),
        ({"started": "yesterday"}, "started cannot be 'yesterday'."),
        ({"error": {}}, "error cannot be {}."),
        ({"labels": [["a"]]}, "labels.0 cannot be ['a']."),
        ({"devices": [True]}, "devices.0 cannot be True."),
        ({"dataset": {"splits": {"train": ""}}}, "dataset.splits.train cannot be ''."),
        ({"model": {"weights": 3}}, "model.weights cannot be 3."),
        ({"truncated": "x"}, "truncated cannot be 'x'."),
        ({"metrics": {"loss": 10**400}}, "a number of 401 digits"),
    ],
)
def test_a_value_of_another_type_is_a_row_and_not_the_end_of_the_list(tmp_path, changed, said):
    info = {"format_version": 1, "status": "complete", "recipe": {"name": "mine"}}
    for name, more in (("good", {}), ("odd", changed)):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / INFO, {**info, **more})
    good, odd = list_runs(tmp_path, sort="name")
    assert (good.status, good.error) == ("complete", "")
    assert (odd.status, odd.recipe) == ("unreadable", "")
    assert odd.error == f"'{tmp_path / 'odd' / INFO}' is damaged: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ('{"loss": "low"}', "1 validation error for dict[str,list[float]]"),
        ('{"loss": [1], "accuracy": [1, 2]}', "it has more epochs of one metric than of another"),
    ],
)
def test_a_damaged_history_is_said(tmp_path, text, said):
    (tmp_path / HISTORY).write_text(text)
    with pytest.raises(ZooError) as error:
        Run(tmp_path, RunInfo(status="complete", recipe={})).history  # noqa: B018
    assert str(error.value).startswith(f"'{tmp_path / HISTORY}' cannot be read: {said}")


@pytest.mark.parametrize("metric", ["mae", "rmse", "mse", "poisson", "log_cosh", "hinge"])
def test_the_least_error_is_listed_first(tmp_path, metric):
    for name, value in (("a", 2.0), ("b", 1.0), ("c", 3.0)):
        (tmp_path / name).mkdir()
        info = {"format_version": 1, "status": "complete", "recipe": {"name": "mine"}}
        write_json(tmp_path / name / INFO, {**info, "metrics": {metric: value}})
    assert names(list_runs(tmp_path, sort="metric"), tmp_path) == ["b", "a", "c"]


def test_what_cannot_be_listed(tmp_path):
    with pytest.raises(UsageError) as error:
        list_runs(tmp_path / "nothing")
    said = f"There is no folder '{tmp_path / 'nothing'}': `zoo train` makes runs."
    assert str(error.value) == said
    with pytest.raises(UsageError) as error:
        list_runs(tmp_path, sort="metrics")
    assert str(error.value) == "Runs cannot be sorted by 'metrics'. Did you mean 'metric'?"


def test_only_what_differs_is_told(root, tmp_path):
    runs = [load_run(root / f"seed-{seed}") for seed in (0, 1)]
    assert differences(runs) == {"fit.epochs": ["1", "2"], "seed": ["0", "1"]}
    assert differences([runs[0], runs[0]]) == {}
    path = Path(tmp_path / "curves.png")
    draw_side_by_side({run.path.name: run.history for run in runs}, path)
    assert Image.open(path).width > 1000  # two panels: accuracy and loss
