"""The search for better settings."""

import math
import signal
import subprocess
import sys
import time
from functools import partial

import optuna
import pytest

from zoo_recipes.configs import Component, Range
from zoo_recipes.overrides import value_at
from zoo_recipes.recipe import as_recipe, plain, resolve_recipe
from zoo_recipes.run import held, read_run
from zoo_recipes.training.training import resume, train
from zoo_recipes.tuning import searching
from zoo_recipes.tuning.searching import is_abandoned, trial_held
from zoo_recipes.tuning.space import (
    draw_trials,
    extremes,
    for_tuning,
    goal,
    kept_value,
    own_values,
    parse_ranges,
)
from zoo_recipes.tuning.study import tune
from zoo_registry import UsageError, ZooError

RATE = "compile.optimizer.learning_rate"
SMALL = {
    "model": {"name": "mlp", "overrides": {"hidden_dims": [16], "input_shape": [8, 8, 1]}},
    "dataset": {"name": "digits", "test": "test"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "fit": {"epochs": 2, "batch_size": 128},
    "tune": {"space": {RATE: {"low": 1e-5, "high": 1e-1, "log": True}}},
}


def small(**changes):
    return as_recipe({**SMALL, **changes}, "small")


def test_ranges_of_the_command_line():
    found = parse_ranges([f"{RATE}=1e-4..1e-2:log", "model.n=1..4", "fit.batch_size=32, 64"])
    assert found == {
        RATE: Range(low=1e-4, high=1e-2, log=True),
        "model.n": Range(low=1, high=4),
        "fit.batch_size": Range(choices=(32, 64)),
    }


@pytest.mark.parametrize("word", ["lr", "lr=3", "lr=a..b", "lr=1..2:lin"])
def test_a_range_that_is_none(word):
    with pytest.raises(UsageError, match=f"^--search {word} is not KEY=LOW..HIGH, such as"):
        parse_ranges([word])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs low and high, or choices."),
        ({"low": 1, "choices": [1]}, "needs low and high, or choices."),
        ({"low": 1}, "needs a low that is less than its high."),
        ({"low": 2, "high": 1}, "needs a low that is less than its high."),
        ({"low": 0, "high": 1, "log": True}, "log needs a low above 0, not 0."),
    ],
)
def test_a_range_in_the_recipe_that_is_none(values, message):
    with pytest.raises(UsageError) as raised:
        small(tune={"space": {"fit.epochs": values}})
    assert str(raised.value) == f"Recipe 'small' has 1 mistake:\n  tune.space.fit.epochs: {message}"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"fit.epoch": Range(low=1, high=2)}, "fit.epoch = 1: there is no such key. Did you mean"),
        (
            {"compile.optimizer.learning_rte": Range(low=1e-4, high=1e-2, log=True)},
            "compile.optimizer.learning_rte: Adam takes no 'learning_rte'. "
            "Did you mean 'learning_rate'?",
        ),
        (
            {"model.drpout": Range(low=0.1, high=0.2)},
            "Model 'mlp': no override 'drpout'. Did you mean 'dropout'?",
        ),
        ({"fit.batch_size": Range(choices=(32, "abc"))}, 'fit.batch_size = "abc": it should be'),
        ({"compile.optimizer.name": Range(choices=("adam", "sgdd"))}, "Did you mean 'SGD'?"),
        (
            {RATE: Range(choices=(1e-3, "fast"))},
            "compile.optimizer.learning_rate='fast' must be float",
        ),
        ({"fit.epochs": Range(low=0, high=3)}, "fit.epochs = 0: it should be greater than 0."),
        ({"dataset.target_length": Range(low=-3, high=3)}, "dataset.target_length = -3: it should"),
        ({"model.dropout": Range(choices=(0.1, "half"))}, "dropout='half' must be float"),
    ],
)
def test_what_the_recipe_cannot_have_is_found_before_any_trial(tmp_path, space, message):
    with pytest.raises(UsageError) as raised:
        tune(small(), trials=2, space=space, out=tmp_path / "search")
    assert message in str(raised.value)
    assert not (tmp_path / "search").exists()


def test_both_ends_and_all_choices_are_looked_at():
    space = {"fit.epochs": Range(low=1, high=9), "fit.batch_size": Range(choices=(16, 32, 64))}
    tried = extremes(small(tune={"space": plain(space, flat=Component)}))
    assert [(recipe.fit.epochs, recipe.fit.batch_size) for recipe in tried] == [
        (1, 16),
        (9, 16),
        (1, 32),
        (1, 64),
    ]


def test_nothing_to_search():
    with pytest.raises(UsageError, match=r"^Recipe 'small' has no \[tune\.space\]: say what to"):
        for_tuning(small(tune={}), {})


def test_validation_is_taken_from_the_training_split_where_there_is_none():
    searched = for_tuning(small(), {})
    assert (searched.dataset.train, searched.dataset.validation) == ("train[:80%]", "train[80%:]")
    assert searched.dataset.test == "test"
    given = {**SMALL["dataset"], "train": "train[:90%]"}
    with pytest.raises(UsageError, match=r'train "train.:90%." is a slice already: set dataset'):
        for_tuning(small(dataset=given), {})


@pytest.mark.parametrize(
    ("tuned", "expected"),
    [
        ({}, ("val_accuracy", "max")),
        ({"metric": "val_loss"}, ("val_loss", "min")),
        ({"metric": "val_mae"}, ("val_mae", "min")),
        ({"metric": "val_RootMeanSquaredError"}, ("val_RootMeanSquaredError", "min")),
        ({"metric": "val_wer", "direction": "min"}, ("val_wer", "min")),
    ],
)
def test_what_is_searched_for(tuned, expected):
    assert goal(small(tune=tuned)) == expected


def test_a_metric_of_which_nobody_knows_whether_more_is_better():
    with pytest.raises(UsageError, match=r'"val_wer": set tune\.direction to "max" or "min"'):
        goal(small(tune={"metric": "val_wer"}))


def test_own_settings_are_tried_where_they_are_in_the_space():
    recipe = small(compile={"optimizer": {"name": "adam", "learning_rate": 0.01}})
    assert own_values(recipe) == {RATE: 0.01}
    assert own_values(small()) is None  # Keras' default is not in the recipe


def test_the_value_is_that_of_the_weights_that_are_kept():
    history = {"val_loss": [2.0, 1.0, 1.5], "val_accuracy": [0.5, 0.6, 0.9]}
    assert kept_value(small(), history, "val_accuracy") == 0.9
    recipe = small(
        dataset={**SMALL["dataset"], "validation": "test"}, fit={"keep_best": "val_loss"}
    )
    assert kept_value(recipe, history, "val_accuracy") == 0.6


@pytest.mark.parametrize("metric", ["mae", "mse", "poisson", "hinge", "RootMeanSquaredError"])
def test_the_weights_that_are_kept_are_those_of_the_least_error(metric):
    watched = f"val_{metric}"
    data = {**SMALL["dataset"], "validation": "test"}
    for fit in ({"keep_best": watched}, {"early_stopping": {"monitor": watched}}):
        recipe = small(dataset=data, fit=fit)
        assert kept_value(recipe, {watched: [3.0, 1.0, 2.0]}, watched) == 1.0


def test_recipes_of_ours_may_be_searched():
    assert "fit.batch_size" in resolve_recipe("digits-cnn").tune.space


@pytest.mark.slow
def test_a_search_goes_on_and_ends_in_a_recipe(tmp_path, data_dir):
    told = []
    out = tmp_path / "search"
    options = {"out": out, "data_dir": data_dir, "on_trial": told.append}
    own = small(compile={"optimizer": {"name": "adam", "learning_rate": 0.03}})
    first = tune(own, trials=2, energy="DEU", mlflow=str(tmp_path / "log"), **options)
    assert [trial.own for trial in first.trials] == [True, False]
    infos = [first.run(trial).info for trial in first.trials]
    assert {info["cost"]["energy"]["country"] for info in infos} == {"DEU"}
    assert len({info["mlflow"]["run_id"] for info in infos}) == 2
    assert first.trials[0].values == {RATE: 0.03}
    found = tune(own, trials=9, **options)
    assert len(found.trials) == 9
    assert [trial.number for trial in told] == list(range(9))
    assert tune(own, trials=9, **options) == found  # nothing is left to do
    best = found.ranked[0]
    assert best.value == max(t.value for t in found.trials if t.state == "complete")
    assert best.value == found.run(best).history["val_accuracy"][-1] > 0.6
    # Drawn evenly by order of magnitude, and never the same again after a break.
    rates = [trial.values[RATE] for trial in found.trials]
    assert min(rates) < 1e-3 < max(rates)
    assert len(set(rates)) == 9
    tuned = resolve_recipe(out / "best.toml")
    assert (tuned.name, value_at(tuned, RATE)) == ("small-tuned", best.values[RATE])
    assert (tuned.dataset.train, tuned.dataset.validation, tuned.tune) == ("train", None, None)
    draw_trials(found, tmp_path / "trials.png")
    assert (tmp_path / "trials.png").stat().st_size > 10_000
    with pytest.raises(UsageError, match="holds the search of another recipe or space"):
        tune(small(seed=3), trials=1, **options)
    with pytest.raises(UsageError, match="already exists and holds no search"):
        tune(own, trials=1, out=tmp_path, data_dir=data_dir)


def test_a_country_that_is_none_is_no_failed_trial(tmp_path):
    with pytest.raises(UsageError, match="XYZ"):
        tune(small(), trials=1, out=tmp_path / "search", energy="XYZ")
    assert not (tmp_path / "search").exists()


@pytest.mark.slow
def test_trials_that_all_fail_are_told(tmp_path, data_dir):
    wild = small(tune={"space": {RATE: {"choices": [1e38]}}})
    options = {"trials": 1, "out": tmp_path / "search", "data_dir": data_dir}
    with pytest.raises(ZooError) as raised:
        tune(wild, **options)
    assert str(raised.value).startswith(
        f"No trial of '{tmp_path / 'search'}' came to its end. Trial 0: ZooError: The loss became "
    )
    assert str(raised.value).endswith("\nOnce that is fixed, --force searches anew.")
    with pytest.raises(
        UsageError, match=r"go on with that one, choose another folder \(--out\), or"
    ):
        tune(small(), **options)
    with held(tmp_path / "search/trials/0000"), pytest.raises(UsageError, match="is being trained"):
        tune(small(), force=True, **options)
    (trial,) = tune(small(), force=True, **options).trials
    assert (trial.state, trial.values.keys()) == ("complete", {RATE})


def test_an_error_before_a_run_has_begun_is_told(tmp_path, data_dir):
    gone = small(dataset={"name": "./gone", "test": "test"})
    with pytest.raises(UsageError, match="gone"):
        tune(gone, trials=1, out=tmp_path / "search", data_dir=data_dir)
    started = small(model={**SMALL["model"], "weights": str(tmp_path / "gone.keras")})
    with pytest.raises(ZooError) as raised:
        tune(started, trials=2, out=tmp_path / "search", data_dir=data_dir)
    assert "Trial 0: UsageError: " in str(raised.value)
    assert "gone.keras" in str(raised.value)


def test_force_deletes_searches_only(tmp_path):
    (tmp_path / "recipe.toml").write_text("a recipe of a run", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists and holds no search: choose another"):
        tune(small(), trials=1, out=tmp_path, force=True)
    assert (tmp_path / "recipe.toml").exists()


@pytest.mark.slow
def test_a_trial_that_was_killed_is_gone_on_with(tmp_path, data_dir):
    out = tmp_path / "search"
    long = small(fit={"epochs": 100, "batch_size": 128})
    code = (
        "import sys; from pathlib import Path\n"
        "from zoo_system.fast_keras import fast_keras; fast_keras()\n"
        "from zoo_recipes.tuning.study import tune\n"
        "tune(Path(sys.argv[1]), trials=1, out=sys.argv[2], data_dir=sys.argv[3])"
    )
    recipe = tmp_path / "small.toml"
    recipe.write_text(long.to_toml())
    arguments = [sys.executable, "-c", code, str(recipe), str(out), str(data_dir)]
    history = out / "trials" / "0000" / "history.json"
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        while not history.exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    assert read_run(history.parent).status == "running"
    found = tune(recipe, trials=1, out=out, data_dir=data_dir)
    (trial,) = found.trials
    assert (trial.number, trial.state, trial.epochs) == (1, "complete", 100)
    assert found.run(trial).info["resumed"] == ["epoch 1, step 0"]
    assert not history.parent.exists()


OWN = {"compile": {"optimizer": {"name": "adam", "learning_rate": 0.03}}}


@pytest.fixture
def search(tmp_path, data_dir):
    """Search around settings of one's own in short trainings."""
    recipe = small(fit={"epochs": 2, "batch_size": 512}, **OWN)
    return partial(tune, recipe, out=tmp_path / "search", data_dir=data_dir)


def told(found):
    return [(trial.number, trial.state, trial.own) for trial in found.trials]


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_ctrl_c_before_a_run_has_begun_loses_no_trial(search, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(searching, "train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(trials=1)
    found = search(trials=1)
    assert told(found) == [(1, "complete", True)]
    assert found.trials[0].values == {RATE: 0.03}


@pytest.mark.slow
def test_a_trial_that_was_completed_by_hand_is_taken_in(search, monkeypatch, tmp_path, data_dir):
    def stop(*recipe, on_epoch, **options):
        return train(*recipe, on_epoch=interrupt, **options)

    with monkeypatch.context() as patched:
        patched.setattr(searching, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            search(trials=1)
    run = resume(tmp_path / "search/trials/0000", data_dir=data_dir, verbose=False)
    values = run.history["val_accuracy"]
    for name in ("train", "resume"):
        monkeypatch.setattr(searching, name, interrupt)
    found = search(trials=1)
    assert told(found) == [(1, "complete", True)]
    (trial,) = found.trials
    assert (trial.value, trial.epochs) == (values[-1], 2)
    assert found.run(trial).metrics == run.metrics
    assert not run.path.exists()


@pytest.mark.slow
def test_a_trial_that_was_killed_before_its_run_is_tried_again(search, tmp_path):
    recipe, out = tmp_path / "small.toml", tmp_path / "search"
    recipe.write_text(search.args[0].to_toml(), encoding="utf-8")
    code = (
        "import os, sys; from pathlib import Path\n"
        "from zoo_recipes.tuning import searching, study\n"
        "searching.train = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "study.tune(Path(sys.argv[1]), trials=1, out=sys.argv[2])"
    )
    killed = subprocess.run([sys.executable, "-c", code, recipe, out], check=False)
    assert killed.returncode == -9
    assert [path.name for path in (out / "trials").iterdir()] == ["0000.lock"]
    with trial_held(out / "trials/0000"):  # as if its process were alive
        with pytest.raises(ZooError, match=r"come to its end yet: other processes work on 1\."):
            search(trials=1)
        assert told(search(trials=2)) == [(0, "running", True), (1, "complete", False)]
    found = search(trials=2)
    assert told(found) == [(1, "complete", False), (2, "complete", True)]
    assert found.trials[1].values == {RATE: 0.03}
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["0001", "0002"]


@pytest.mark.slow
def test_a_trial_that_ends_while_it_is_looked_at_is_not_tried_again(search, monkeypatch, tmp_path):
    def end(run):
        """End the trial as its own process would just before it lets go."""
        study = optuna.load_study(
            study_name="small", storage=f"sqlite:///{tmp_path}/search/study.db"
        )
        study.tell(int(run.name), 0.5)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "tell", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(trials=1)
    monkeypatch.setattr(searching, "is_abandoned", end)
    found = search(trials=1)
    assert [(trial.number, trial.state, trial.value) for trial in found.trials] == [
        (0, "complete", 0.5)
    ]


@pytest.mark.parametrize("hold", [held, trial_held])
def test_a_trial_that_somebody_works_on_is_not_abandoned(tmp_path, hold):
    run = tmp_path / "0003"
    assert is_abandoned(run)
    run.mkdir()
    with hold(run):
        assert not is_abandoned(run)
    assert is_abandoned(run)


@pytest.mark.slow
def test_a_value_that_is_no_number_fails_the_trial_once(search, monkeypatch):
    monkeypatch.setattr(searching, "kept_value", lambda *_: math.nan)
    for _ in range(2):
        with pytest.raises(ZooError, match=r"Trial 0: ZooError: val_accuracy is not a number\."):
            search(trials=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_says_how_to_go_on(number, monkeypatch):
    from zoo.cli.tuning import _kept_when_interrupted

    monkeypatch.setattr(sys, "argv", ["zoo", "tune", "digits-mlp", "--force"])
    before = signal.getsignal(number)
    said = "the search is kept. Go on with `zoo tune digits-mlp`"
    with pytest.raises(KeyboardInterrupt, match=said), _kept_when_interrupted():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before
