"""A run trained once more: the same bits, or what differs."""

import json
import shutil

import pytest

from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import INFO, load_run, write_json
from zoo_recipes.training.repeating import reproduce
from zoo_recipes.training.training import train
from zoo_registry import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("runs")]


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    recipe = with_overrides(resolve_recipe("digits-mlp"), ["fit.epochs=1"])
    out = tmp_path_factory.mktemp("runs") / "short"
    return train(recipe, out=out, seed=3, data_dir=data_dir, verbose=False)


def test_a_run_gives_the_same_bits_again_also_in_another_process(run, data_dir, tmp_path, cli):
    done = cli("reproduce", run.path, "--data-dir", data_dir, "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert "Same recipe, data, seed and versions." in done.stdout
    assert done.stdout.rstrip().endswith("The weights are the same, bit for bit.")
    assert load_run(tmp_path / "again").metrics == run.metrics


def test_a_run_that_was_another_one_is_told_apart(run, data_dir, tmp_path, cli):
    changed = tmp_path / "changed"
    shutil.copytree(run.path, changed)
    versions = {**run.info["versions"], "keras": "3.0.0"}
    write_json(changed / INFO, {**run.info, "seed": 4, "versions": versions})
    done = cli("reproduce", changed, "--data-dir", data_dir, "--json")
    assert done.returncode == 1
    said = f"error: Run '{changed}' did not come out the same again: its weights differ by up to "
    assert said in done.stderr
    found = json.loads(done.stdout)
    assert (found["equal"], found["largest"] > 1e-3) == (False, True)
    assert found["changed"] == {"versions.keras": ["3.0.0", run.info["versions"]["keras"]]}


def test_a_run_is_not_trained_over_itself(run):
    with pytest.raises(UsageError) as error:
        reproduce(run, out=run.path)
    assert str(error.value) == f"'{run.path}' is the run itself: choose another --out."
    assert load_run(run.path).metrics == run.metrics
