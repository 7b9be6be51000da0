"""Ratings from a table to a bundle that predicts from the names of users and items."""

import json

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

import zoo
from zoo.cli.main import main
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.metrics.resampling import measured
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.tasks.ratings import RatingOutcomes, rating_rows
from zoo_recipes.training.training import train
from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor, as_step

STEPS = (
    {"step": "lookup", "vocabulary": "users.json", "input": "user_id", "part": 0},
    {"step": "lookup", "vocabulary": "items.json", "input": "item_id", "part": 1},
)
USERS, ITEMS = 100, 40


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ratings that follow from a user's and an item's mood, and from one taste of both."""
    rng = np.random.default_rng(0)
    mood, good = rng.normal(0, 0.7, USERS), rng.normal(0, 0.7, ITEMS)
    taste, kind = rng.normal(0, 1, USERS), rng.normal(0, 1, ITEMS)
    rows = ["user,item,rating,shop"]
    for user in range(USERS):
        for item in rng.permutation(ITEMS)[:25]:
            rating = 10 + mood[user] + good[item] + taste[user] * kind[item] + rng.normal(0, 0.1)
            rows.append(f"ü {user},item {item},{rating:.3f},{'ab'[user % 2]}")
    # Too rare for a number of its own.
    rows += ["once,item 0,10,a", "ü 0,rare,10,a"]
    path = tmp_path_factory.mktemp("ratings") / "my ratings.csv"
    path.write_text("\n".join(rows).replace("item 7,", '"item, 7",'), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(table, data_dir, tmp_path_factory):
    changes = ["fit.epochs=40", "compile.optimizer.learning_rate=1e-2", "fit.batch_size=64"]
    recipe = with_overrides(resolve_recipe("movielens-factorization"), changes)
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(recipe, data=table, out=out, data_dir=data_dir, verbose=False)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return zoo.export(
        run.path, to=("tflite", "onnx"), out=tmp_path_factory.mktemp("bundles") / "ratings"
    )


def test_taste_is_learned(run, measured_again, data_dir, table):
    users, items = (json.loads((run.assets / f"{n}.json").read_text()) for n in ("users", "items"))
    assert sorted(users) == users
    assert set(users) == {f"ü {user}" for user in range(USERS)}
    assert "item, 7" in items
    assert "rare" not in items
    assert run.model().get_layer("user_bias").input_dim == len(users) + 1
    # Without the product of both vectors nothing could come nearer than 0.7 or so.
    assert run.metrics["rmse"] < 0.5
    assert run.metrics["ndcg_10"] > 0.97
    assert measured_again(run, data_dir=data_dir) == run.metrics


def test_intervals_are_those_of_users(run, data_dir):
    found = zoo.evaluate(run, data_dir=data_dir, slice_by="shop")
    for name in ("rmse", "mae", "ndcg", "ndcg_10"):
        low, high = found.intervals[name]
        assert low < found.metrics[name] < high
    assert {group.name for group in found.groups.groups} == {"a", "b"}
    assert all(group.metrics["ndcg_10"] <= 1 for group in found.groups.groups)


def test_a_bundle_predicts_from_names_and_measures_as_the_run(bundle, run, data_dir):
    assert [artifact.format for artifact in bundle.artifacts] == ["tflite", "onnx"]
    pairs = [("ü 3", "item 5"), ("ü 3", "nobody knows it"), ("nobody", "item 5"), ("no", "no")]
    expected = _by_hand(run.model(), Preprocessor(STEPS, run.assets).batch(pairs))
    for artifact in bundle.artifacts:
        found = [row.value for row in bundle.predict(pairs, artifact.format)]
        assert found == pytest.approx(expected.tolist(), abs=1e-4)
        assert bundle.predict(pairs[0], artifact.format)[0].value == pytest.approx(found[0])
        again = zoo.evaluate(bundle, runtime=artifact.format, data_dir=data_dir).metrics
        assert again == pytest.approx(zoo.evaluate(run, data_dir=data_dir).metrics, rel=1e-4)
    # An unknown user or item is judged as the mean of them.
    table = run.model().get_layer("user_embedding").embeddings.numpy()
    assert np.abs(table[0]).max() < 0.01 < np.abs(table[1:]).mean()


def _by_hand(model, arrays):
    def row(name, numbers):
        return model.get_layer(name).embeddings.numpy()[numbers[:, 0]]

    user, item = arrays["user_id"], arrays["item_id"]
    biases = row("user_bias", user) + row("item_bias", item)
    product = (row("user_embedding", user) * row("item_embedding", item)).sum(axis=1)
    return model.get_layer("rating").offset + biases[:, 0] + product


def test_the_command_line_takes_names(bundle, capsys):
    main(["predict", str(bundle.path), '["ü 3", "item 5"]'])
    told = capsys.readouterr().out.splitlines()[0]
    assert float(told) == pytest.approx(bundle.predict(("ü 3", "item 5"))[0].value, abs=1e-4)
    with pytest.raises(SystemExit):
        main(["predict", str(bundle.path), "ü 3"])
    assert capsys.readouterr().err.startswith(
        "error: 'ü 3' is not JSON: this model takes a list of user and item, such as "
        '\'["7", "31"]\''
    )


def test_a_bundle_needs_no_keras(bundle, fresh_python):
    code = (
        "import sys; from zoo_export import load_bundle\n"
        f"bundle = load_bundle({str(bundle.path)!r})\n"
        "print(bundle.predict(('ü 3', 'item 5'), 'onnx')[0].value)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = fresh_python(code)
    assert done.returncode == 0, done.stderr
    first = bundle.predict(("ü 3", "item 5"), "onnx")[0].value
    assert float(done.stdout) == pytest.approx(first, abs=1e-6)


def test_other_models_and_sizes(table, data_dir, tmp_path):
    recipe = resolve_recipe("movielens-factorization")
    changes = ["model.name=neumf", "fit.epochs=2", "fit.batch_size=256"]
    overrides = {"mlp_embedding_dim": 4, "hidden_dims": [8]}
    changed = with_overrides(recipe, changes)
    changed = replace_overrides(changed, overrides)
    found = train(changed, data=table, out=tmp_path / "n", data_dir=data_dir, verbose=False)
    assert found.metrics["rmse"] < 3
    with pytest.raises(UsageError) as caught:
        train(
            replace_overrides(recipe, {"num_users": 9}),
            data=table,
            out=tmp_path / "s",
            data_dir=data_dir,
            verbose=False,
        )
    assert str(caught.value) == (
        "model.overrides.num_users=9: the training split has 100 of them, and the unknown one: set "
        "it to 101, or leave it out."
    )


def replace_overrides(recipe, overrides):
    from dataclasses import replace

    return replace(recipe, model=replace(recipe.model, overrides=overrides))


def test_rankings_are_scikit_learns_of_each_user():
    rng = np.random.default_rng(0)
    users = rng.integers(0, 20, 200)
    users[users == 19] = 18
    users[0] = 19  # has one rating: nothing to rank
    wanted, given = rng.integers(1, 6, 200) / 1.0, rng.normal(size=200)
    figures = RatingOutcomes(wanted, given[:, np.newaxis], users).metrics(np.ones((1, 200)))
    each = [ndcg_score([wanted[users == user]], [given[users == user]], k=10) for user in range(19)]
    assert figures["ndcg_10"][0] == pytest.approx(np.mean(each))
    assert figures["rmse"][0] == pytest.approx(np.sqrt(np.mean((wanted - given) ** 2)))
    below = RatingOutcomes(wanted - 3, given, users).metrics(np.ones((1, 200)))
    assert set(below) == {"rmse", "mae", "r2"}


def test_rows_that_belong_together_are_drawn_together():
    # All rows of a group are equal: a hundred of each are no more than one.
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 1, 50)
    groups = np.repeat(np.arange(50), 100)
    rows = RatingOutcomes(np.zeros(5000), errors[groups], groups)
    alone = measured(rows, resamples=300).intervals["mae"]
    jointly = measured(rows, resamples=300, together=groups).intervals["mae"]
    one_each = RatingOutcomes(np.zeros(50), errors, np.arange(50))
    assert jointly == pytest.approx(measured(one_each, resamples=300).intervals["mae"])
    assert jointly[1] - jointly[0] > 5 * (alone[1] - alone[0])


@pytest.mark.slow
def test_the_last_tenth_of_each_user_is_held_out(data_dir):
    builder = open_dataset("movielens_small", data_dir=data_dir, download=True)
    options = {"input": ["user", "item"], "label": "rating"}
    parts = {name: read_split(builder, name, **options) for name in ("train", "test")}
    total = sum(split.num_examples for split in builder.info.splits.values())
    assert total == 100_004
    assert len(parts["test"].raws) == pytest.approx(0.1 * total, rel=0.05)
    counts = {
        n: dict(zip(*np.unique([raw[0] for raw in p.raws], return_counts=True), strict=True))
        for n, p in parts.items()
    }
    assert len(counts["test"]) == len(counts["train"]) == 671
    assert min(counts["test"].values()) >= 2
    assert set(np.unique(parts["train"].labels)) == set(np.arange(0.5, 5.5, 0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": -1}, "Step 'lookup': part=-1 must be a number from 0 on."),
        ({"part": "user"}, "Step 'lookup': part='user' must be a number from 0 on."),
        ({"min_count": 0}, "Step 'lookup': min_count=0 must be a positive integer."),
        (
            {"vocabulary": "../a.json"},
            "Step 'lookup': vocabulary='../a.json' must be the name of a file among the assets.",
        ),
    ],
)
def test_steps_that_cannot_be(changes, message):
    with pytest.raises(UsageError) as caught:
        as_step(STEPS[0] | changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Step 'lookup' needs the file 'users.json' among the assets: {folder}."),
        ("{", "'{folder}/users.json' is not a vocabulary: Expecting property name"),
        ('{"a": 1}', "'{folder}/users.json' is not a vocabulary: it must be a JSON list of words."),
        ('["a", "a"]', "'{folder}/users.json' is not a vocabulary: it has a word twice."),
    ],
)
def test_vocabularies_that_are_none(content, message, tmp_path):
    if content is not None:
        (tmp_path / "users.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        Preprocessor(STEPS[:1], tmp_path).batch([("a", "b")])
    assert str(caught.value).startswith(message.format(folder=tmp_path))


def test_raw_inputs_that_are_no_pairs(tmp_path):
    (tmp_path / "users.json").write_text('["7", "a"]')
    preprocessor = Preprocessor(STEPS[:1], tmp_path)
    # Numbers that are names are the words that people write for them.
    raws = [("a", "b"), (7, "b"), ("7", 1), (np.int64(7), 1), ("?", 1)]
    assert preprocessor.batch(raws)["user_id"].tolist() == [[2], [1], [1], [1], [0]]
    with pytest.raises(
        UsageError, match=r"^Input 0 must have the value for 'user_id' at position 1"
    ):
        preprocessor.batch(["a"])
    with pytest.raises(UsageError, match=r"^Input 0: 'user_id' is looked up by a word or a whole"):
        preprocessor.batch([(1.5, "b")])
    with pytest.raises(UsageError, match=r"needs dataset\.input of two features, user and item"):
        rating_rows({}, ["a", "b"], np.ones(2))
