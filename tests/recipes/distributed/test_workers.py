"""Two real processes on this machine train one model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

import zoo_registry
from zoo_recipes.distributed.cluster import Workers, free_addresses
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import as_recipe, resolve_recipe
from zoo_recipes.run import load_run, read_run
from zoo_recipes.training.training import resume, train
from zoo_registry import PluginError, Registry, UsageError, ZooError

pytestmark = pytest.mark.slow

# With all that workers could get wrong: batch normalization, clipping, class weights,
# augmentation, a last batch of one example for both, validation.
NORMALIZED = {
    "model": {
        "name": "resnet20",
        "task": "image-classification",
        "overrides": {
            "input_shape": [8, 8, 1],
            "depth": 8,
            "filters": [4, 8, 8],
            "mean": [0.5],
            "std": [0.5],
        },
    },
    "dataset": {"name": "digits", "train": "train[:151]", "validation": "train[151:500]"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "augmentation": [{"name": "random_translation", "height_factor": 0.1, "width_factor": 0.1}],
    "compile": {
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.9,
            "global_clipnorm": 1.0,
        }
    },
    "fit": {"epochs": 2, "batch_size": 50, "class_weight": "balanced"},
}
DROPOUT = ["fit.epochs=5", "dataset.train=train[:400]", "model.dropout=0.3"]


def test_two_processes_of_a_cluster_train_as_one_does(data_dir, tmp_path):
    recipe = as_recipe(NORMALIZED, "digits-resnet")
    one = train(recipe, out=tmp_path / "one", data_dir=data_dir, verbose=False)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    addresses = free_addresses(2)
    command = [sys.executable, "-m", "zoo.cli", "train", tmp_path / "recipe.toml"]
    workers = [
        subprocess.Popen(
            [*command, "--out", tmp_path / "two", "--data-dir", data_dir],
            env={**os.environ, "TF_CONFIG": tf_config(addresses, rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    messages = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], messages
    two = load_run(tmp_path / "two")
    assert two.info["workers"] == 2
    assert one.info["workers"] == 1
    # Sums in another order round otherwise: 3e-7 was seen.
    assert two.metrics == pytest.approx(one.metrics, rel=1e-5)
    for name, values in one.history.items():
        assert two.history[name] == pytest.approx(values, rel=1e-5), name
    for mine, theirs in zip(one.model().get_weights(), two.model().get_weights(), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-5)


def tf_config(addresses, rank):
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


OPTIONS = {"verbose": False, "checkpoint_seconds": 0, "workers": 2}


@pytest.fixture(scope="module")
def whole(data_dir, tmp_path_factory):
    """A training by two workers that nothing happens to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    recipe = with_overrides(resolve_recipe("digits-cnn"), DROPOUT)
    return train(recipe, out=out, data_dir=data_dir, **OPTIONS)


def assert_same(run, whole):
    assert run.history == whole.history
    for mine, theirs in zip(whole.model().get_weights(), run.model().get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, mine)


LAUNCHERS = """
from zoo_recipes.distributed.supervising import run_here

calls = []

def passes_on(job, number):
    "Starts workers as we do."
    calls.append(number)
    return run_here(job, number)

def fails(job, number):
    raise SystemExit(1)

def odd(job, number):
    return True
"""


@pytest.fixture
def launchers(site, monkeypatch):
    """Install launchers of a plugin."""
    names = {"passes-on": "passes_on", "fails": "fails", "odd": "odd", "gone": "none"}
    entries = "".join(f"{name} = launchers:{value}\n" for name, value in names.items())
    site.install("launching-zoo", f"[zoo.launchers]\n{entries}", launchers=LAUNCHERS)
    registry = Registry("launcher", group="zoo.launchers", coerce="zoo_registry.specs:as_function")
    monkeypatch.setattr(zoo_registry, "launchers", registry)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("lokal", UsageError, "There is no launcher 'lokal'. Did you mean 'local'? `zoo launche"),
        (
            "fails",
            PluginError,
            "Launcher 'fails' of 'launching-zoo' 1.0 failed: RuntimeError: SystemExit: 1 would",
        ),
        ("odd", PluginError, "TypeError: it returned a bool, not a Failure or None"),
        ("gone", PluginError, "launcher 'gone' of plugin 'launching-zoo' 1.0 cannot be used: Attr"),
    ],
)
def test_a_launcher_that_is_none_or_broken(launchers, tmp_path, name, error, message):
    with pytest.raises(error) as caught:
        train("digits-cnn", out=tmp_path / "run", workers=Workers(2, launcher=name))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_kill_9_of_a_worker_changes_nothing(whole, launchers, data_dir, tmp_path):
    """Whoever launches the workers, as here a plugin."""
    options = {**OPTIONS, "workers": Workers(2, launcher="passes-on")}
    killer = threading.Thread(target=after_a_checkpoint, args=(tmp_path / "run", kill_worker_1))
    killer.start()
    with pytest.warns(UserWarning, match=r"worker 1 was killed \(SIGKILL\): all 2 start again fro"):
        run = train(whole.recipe, out=tmp_path / "run", data_dir=data_dir, **options)
    killer.join()
    import launchers as installed

    assert installed.calls == [2, 2]
    (restart,) = run.info["restarts"]
    assert restart["cause"] == "worker 1 was killed (SIGKILL)"
    assert run.info["resumed"] == [restart["from"]]
    assert restart["from"].startswith("epoch 1, step ")
    assert_same(run, whole)


def test_all_stop_after_the_same_step_and_go_on(whole, data_dir, tmp_path):
    stop = threading.Thread(
        target=after_a_checkpoint,
        args=(tmp_path / "run", lambda: os.kill(os.getpid(), signal.SIGTERM)),
    )
    stop.start()
    with pytest.raises(KeyboardInterrupt, match=r"saved at epoch 1, step \d+. Go on with `zoo tra"):
        train(whole.recipe, out=tmp_path / "run", data_dir=data_dir, **OPTIONS)
    stop.join()
    assert read_run(tmp_path / "run").status == "interrupted"
    # As many workers as before, without being told.
    options = {**OPTIONS, "workers": None}
    assert_same(resume(tmp_path / "run", data_dir=data_dir, **options), whole)


def after_a_checkpoint(out, do):
    while not list(out.glob("checkpoints/*.npz")):
        time.sleep(0.002)
    do()


def kill_worker_1():
    (worker,) = filter(is_worker_1, psutil.Process().children())
    worker.send_signal(signal.SIGKILL)


def is_worker_1(child):
    try:
        return "outcome-1.json" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:  # another child of this process, an exporting one, ended just now
        return False


def test_what_cannot_work_is_refused_before_anybody_starts(whole, data_dir):
    with pytest.raises(UsageError, match=f"'{whole.path}' exists: choose another one"):
        train(whole.recipe, out=whole.path, data_dir=data_dir, **OPTIONS)
    with pytest.raises(UsageError, match="on_epoch is not called from workers: read the run's hi"):
        train(whole.recipe, out=whole.path, on_epoch=print, **OPTIONS)


def test_ray_trains_the_same(whole, data_dir, tmp_path):
    options = {**OPTIONS, "workers": Workers(2, launcher="ray")}
    assert_same(train(whole.recipe, out=tmp_path / "run", data_dir=data_dir, **options), whole)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    workers = Workers(2, launcher="ray")
    with pytest.raises(ZooError, match=r"needs Ray Train: pip install 'kerazoo\[distributed\]'"):
        train("digits-cnn", out=tmp_path / "run", workers=workers)
