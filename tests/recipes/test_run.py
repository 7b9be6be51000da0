"""The folder of a run, and who may write to it."""

import contextlib

import pytest

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import new_folder
from zoo_recipes.training import training
from zoo_registry import UsageError

SHORT = with_overrides(resolve_recipe("digits-mlp"), ["fit.epochs=1"])


@pytest.fixture
def overtaken(tmp_path, data_dir, monkeypatch):
    """Train into a folder in which another run is begun while the data are opened."""
    folder = tmp_path / "run"

    def train(other, **options):
        def slow(*arguments, **reading):
            other.enter_context(new_folder(folder, force=False))
            (folder / "run.json").write_text("another's", encoding="utf-8")
            return open_dataset(*arguments, **reading)

        open_dataset = training.open_dataset
        monkeypatch.setattr(training, "open_dataset", slow)
        return training.train(SHORT, out=folder, data_dir=data_dir, verbose=False, **options)

    return train


class Ended(contextlib.ExitStack):
    """Lets go at once of what it should hold."""

    def enter_context(self, manager):
        with manager:
            pass


@pytest.mark.parametrize(
    ("other", "force", "message"),
    [
        (contextlib.ExitStack(), False, "is being trained by another process: wait for it, or"),
        (contextlib.ExitStack(), True, "is being trained by another process: wait for it, or"),
        (
            Ended(),
            False,
            "exists: choose another one (--out), or replace it (--force, force=True).",
        ),
    ],
)
def test_a_run_that_was_begun_meanwhile_is_kept(overtaken, tmp_path, other, force, message):
    with other, pytest.raises(UsageError) as raised:
        overtaken(other, force=force)
    assert str(raised.value).startswith(f"'{tmp_path / 'run'}' {message}")
    assert (tmp_path / "run/run.json").read_text(encoding="utf-8") == "another's"


@pytest.mark.slow
def test_a_run_that_was_begun_and_has_ended_meanwhile_is_replaced_by_force(overtaken):
    assert overtaken(Ended(), force=True).status == "complete"


def test_what_a_replaced_run_links_to_is_left_alone(tmp_path):
    kept, folder = tmp_path / "kept", tmp_path / "run"
    (kept / "inside").mkdir(parents=True)
    (folder / "old").mkdir(parents=True)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "link").symlink_to(kept)
    with new_folder(folder, force=True):
        assert {path.name for path in folder.iterdir()} == {".lock", "assets", ".replaced"}
    assert (kept / "inside").is_dir()
    assert [path.name for path in folder.iterdir()] == ["assets"]


def test_a_refused_training_leaves_no_trace(tmp_path, data_dir):
    folder = tmp_path / "run"
    refused = with_overrides(SHORT, ["fit.keep_best=no_such_metric"])
    corrected = {"out": folder, "data_dir": data_dir, "verbose": False}
    with pytest.raises(UsageError, match="the training has no such metric"):
        training.train(refused, **corrected)
    assert not folder.exists()
    run = training.train(SHORT, **corrected)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(UsageError, match="the training has no such metric"):
        training.train(refused, force=True, **corrected)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert training.train(SHORT, force=True, **corrected).metrics == run.metrics
    assert {path.name for path in folder.iterdir()} == set(before)
