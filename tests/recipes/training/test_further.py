"""A finished run is trained further, with its own words and from its own weights."""

import json

import numpy as np
import pytest

from zoo_recipes.custom_data.choosing import overridden
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.repeating import train_further
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("further")
    lines = [f"a {('fine', 'poor')[n % 2]} day number {n},{n % 2}" for n in range(200)]
    (folder / "days.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    sets = ["fit.epochs=1", "tokenizer.vocab_size=290", "model.hidden_dim=8"]
    recipe = overridden(resolve_recipe("language-id-lstm"), sets, folder / "days.csv", None)
    return train(recipe, out=folder / "run", data_dir=data_dir, verbose=False)


def test_a_finished_run_is_trained_further(run, data_dir):
    with pytest.raises(UsageError) as caught:
        resume(run.path, data_dir=data_dir, verbose=False)
    assert str(caught.value) == (
        f"Run '{run.path}' is complete: there is nothing to go on with. Train it further, from its "
        f"weights and into a run of its own, with `zoo train --resume {run.path} --set "
        "fit.epochs=1`."
    )
    sets = ["fit.epochs=2", "compile.optimizer.learning_rate=0.0", "compile.schedule=none"]
    still = train_further(run.path, sets, data_dir=data_dir, verbose=False)
    assert still.path == run.path.with_name("run-further")
    # A rate of zero: it began with the weights of the run.
    assert len(still.history["loss"]) == 2
    for one, other in zip(run.model().weights, still.model().weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert still.metrics == pytest.approx(run.metrics)


def test_the_words_of_the_weights_stay_theirs_on_other_data(run, data_dir, tmp_path):
    lines = [f"Something else entirely {n},{n % 2}" for n in range(60)]
    other = tmp_path / "other.csv"
    other.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    sets = [f"model.weights={run.path}", "fit.epochs=1", "model.hidden_dim=8"]
    recipe = overridden(resolve_recipe("language-id-lstm"), sets, other, None)
    new = train(recipe, out=tmp_path / "new", data_dir=data_dir, verbose=False)
    words = [json.loads((each.assets / "tokenizer.json").read_text("utf-8")) for each in (run, new)]
    assert words[0]["model"] == words[1]["model"]


def test_what_was_not_finished_goes_on_as_it_began(run, tmp_path):
    info = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(
        json.dumps({**info, "status": "interrupted"}), encoding="utf-8"
    )
    with pytest.raises(UsageError) as caught:
        train_further(tmp_path, ["fit.epochs=2"])
    assert str(caught.value) == (
        f"Run '{tmp_path}' is not complete, and goes on as it began: `zoo train --resume "
        f"{tmp_path}` without --set. Then it can be trained further."
    )
