"""Runs whose custom data are no longer where they were."""

import pytest

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import read_run
from zoo_recipes.training.batches import Batches
from zoo_recipes.training.repeating import reproduce
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError, ZooError

pytestmark = pytest.mark.slow

SHORT = ["fit.epochs=2", "tokenizer.vocab_size=280", "model.hidden_dim=8", "fit.batch_size=16"]


class PowerCutError(Exception):
    pass


def texts(path, count=80):
    rows = [f"film number {n} was {('bad', 'good')[n % 2]},{n % 2}" for n in range(count)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return path


@pytest.fixture
def options(data_dir):
    return {"data_dir": data_dir, "verbose": False}


@pytest.fixture
def whole(options, tmp_path):
    """A run of which the data were moved and renamed, and their new place."""
    recipe = with_overrides(resolve_recipe("language-id-lstm"), SHORT)
    run = train(recipe, data=texts(tmp_path / "old.csv"), out=tmp_path / "whole", **options)
    (tmp_path / "elsewhere").mkdir()
    return run, (tmp_path / "old.csv").rename(tmp_path / "elsewhere" / "new.csv")


def broken_off(monkeypatch, whole, options):
    """Return the folder of the same training, broken off in its second epoch."""
    run, moved = whole
    make = Batches._batch

    def cut(self, *place):
        if (place[0], place[-1]) == (1, 2):
            raise PowerCutError
        return make(self, *place)

    monkeypatch.setattr(Batches, "_batch", cut)
    back = moved.rename(run.recipe.dataset.name)
    with pytest.raises(PowerCutError):
        train(run.recipe, out=run.path.parent / "run", checkpoint_seconds=0, **options)
    monkeypatch.undo()
    back.rename(moved)
    return run.path.parent / "run"


def told(run):
    return (
        f"There are no data at '{run.recipe.dataset.name}': if they are elsewhere now, say where "
        "with --data (data=)."
    )


def test_it_comes_out_the_same_again(whole, options, data_dir, cli):
    run, moved = whole
    with pytest.raises(UsageError) as caught:
        reproduce(run, **options)
    assert str(caught.value) == told(run)
    found = reproduce(run, data=moved, **options)
    assert (found.equal, found.again) == (True, run.metrics)
    assert found.changed["dataset.name"] == [run.recipe.dataset.name, str(moved)]
    assert "data.fingerprint" not in found.changed
    done = cli("reproduce", run.path, "--data", moved, "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("The weights are the same, bit for bit.")


def test_it_goes_on_bit_for_bit(whole, options, data_dir, monkeypatch, cli):
    run, moved = whole
    folder = broken_off(monkeypatch, whole, options)
    texts(moved.parent / "other.csv", 90)
    with pytest.raises(UsageError) as caught:
        resume(folder, **options)
    assert str(caught.value) == told(run)
    with pytest.raises(ZooError, match=r"^Dataset 'own_data/other-.* is not the one that run "):
        resume(folder, data=moved.parent / "other.csv", **options)
    # What was no good is not kept.
    assert read_run(folder).recipe == run.recipe
    done = cli("train", "--resume", folder, "--data", moved, "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    again = read_run(folder)
    assert again.recipe.dataset.name == str(moved)
    assert (again.recipe.name, again.metrics) == (run.recipe.name, run.metrics)
    assert again.info["dataset"]["fingerprint"] == run.info["dataset"]["fingerprint"]


def test_workers_are_told_too(whole, options, monkeypatch, tmp_path):
    run, moved = whole
    folder = broken_off(monkeypatch, whole, options)
    monkeypatch.chdir(tmp_path)
    again = resume(folder, data=moved.relative_to(tmp_path), workers=2, **options)
    assert (again.status, again.info["workers"]) == ("complete", 2)
    assert again.recipe.dataset.name == str(moved)
    # Each worker has a dropout of its own.
    assert again.metrics == pytest.approx(run.metrics, rel=1e-2)


def test_what_has_no_place(options, tmp_path):
    recipe = with_overrides(resolve_recipe("digits-mlp"), ["fit.epochs=1"])
    run = train(recipe, out=tmp_path / "run", **options)
    with pytest.raises(UsageError) as caught:
        reproduce(run, data=tmp_path, **options)
    assert str(caught.value) == (
        "--data (data=) says where your own data were moved to, and dataset 'digits' is none: "
        "leave it out."
    )


def test_resume_takes_nothing_that_was_decided_before(cli):
    refused = cli("train", "digits-cnn", "--resume", "runs/none")
    assert refused.returncode == 2
    assert (
        "--resume goes on as the run began: give the run alone, or with --data where its own data "
        "are now. A finished run is trained further with --set, such as fit.epochs=5."
    ) in " ".join(refused.stderr.split())
