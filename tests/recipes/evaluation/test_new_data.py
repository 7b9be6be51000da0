"""Models measured on data that they were not trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo_recipes.arrays.sources import keras_predictor
from zoo_recipes.custom_data.preparing import OwnData
from zoo_recipes.custom_data.splitting import OWN_SPLITS
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.evaluation.examples import read_for
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import Run
from zoo_recipes.training.execution import check_same_data
from zoo_recipes.training.training import train
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RunInfo


def write(path, count, classes, seed, **more):
    """Write pictures of some classes, each of which is bright in a corner of its own."""
    rng = np.random.default_rng(seed)
    y = np.asarray([classes[at % len(classes)] for at in range(count)])
    x = rng.integers(0, 120, (count, 8, 8), dtype=np.uint8)
    for at, name in enumerate(y):
        row, column = divmod("abcd".index(name), 2)
        x[at, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 60
    np.savez(path, x=x, y=y, **more)
    return x, y


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("new")


@pytest.fixture(scope="module")
def run(room, data_dir):
    write(room / "own.npz", 200, "abcd", seed=0)
    recipe = with_overrides(resolve_recipe("digits-mlp"), ["fit.epochs=2"])
    return train(recipe, data=room / "own.npz", out=room / "run", data_dir=data_dir, verbose=False)


@pytest.mark.parametrize("classes", ["abcd", "db", "c"])
def test_every_row_is_measured_by_the_classes_of_the_run(classes, run, data_dir, tmp_path):
    x, y = write(tmp_path / "new.npz", 10, classes, seed=1)
    found = zoo.evaluate(run, data=tmp_path / "new.npz", data_dir=data_dir)
    logits = keras_predictor(run.model(), False)({"image": np.float32(x[..., np.newaxis])})[
        "logits"
    ]
    right = logits.argmax(axis=1) == ["abcd".index(name) for name in y]
    assert found.metrics["accuracy"] == pytest.approx(right.mean())
    assert found.labels == ("a", "b", "c", "d")
    assert np.sum(found.confusion, axis=1).tolist() == [list(y).count(name) for name in "abcd"]
    assert found.title.startswith(f"{run.path} in keras on own_data/new-")
    assert found.title.endswith("/2.2.0, all (10 examples)")


def test_a_part_on_request(run, data_dir, tmp_path):
    write(tmp_path / "new.npz", 100, "ab", seed=2)
    counts = {
        split: zoo.evaluate(
            run, data=tmp_path / "new.npz", split=split, data_dir=data_dir
        ).num_examples
        for split in ("train+validation+test", "train", "test")
    }
    assert counts["train+validation+test"] == 100
    assert 0 < counts["test"] < 30 < counts["train"] < 100


def test_splits_of_the_data_themselves_are_followed(run, data_dir, tmp_path):
    x, y = write(tmp_path / "new.npz", 12, "ab", seed=3)
    np.savez(tmp_path / "split.npz", x_train=x[:7], y_train=y[:7], x_test=x[7:], y_test=y[7:])
    found = zoo.evaluate(run, data=tmp_path / "split.npz", data_dir=data_dir)
    assert (found.split, found.num_examples) == ("test", 5)
    np.savez(tmp_path / "alone.npz", x_test=x, y_test=y)
    found = zoo.evaluate(run, data=tmp_path / "alone.npz", data_dir=data_dir)
    assert (found.split, found.num_examples) == ("test", 12)


def test_classes_that_the_run_does_not_know(run, data_dir, tmp_path):
    x, _ = write(tmp_path / "new.npz", 4, "ab", seed=4)
    for y, names in (("abez", "a, b, e, z"), ([0.5, 1.5, 2.5, 3.5], "none")):
        np.savez(tmp_path / "other.npz", x=x, y=np.asarray(list(y)))
        with pytest.raises(UsageError) as caught:
            zoo.evaluate(run, data=tmp_path / "other.npz", data_dir=data_dir)
        said = f"' are {names}; those of run '{run.path}' are a, b, c, d."
        assert str(caught.value).endswith(said)


def test_an_evaluation_prepares_nothing_for_a_training(run, data_dir, tmp_path):
    write(tmp_path / "new.npz", 10, "c", seed=5)
    path = str(tmp_path / "new.npz")
    measured = zoo.evaluate(run, data=path, data_dir=data_dir).dataset
    with pytest.raises(UsageError, match=r"^(All|Of 10) examples at"):
        open_dataset(path, data_dir=data_dir)
    write(tmp_path / "new.npz", 200, "ab", seed=6)
    trained = open_dataset(path, data_dir=data_dir).info.full_name
    found = zoo.evaluate(run, data=path, data_dir=data_dir)
    assert len({measured, trained, found.dataset}) == 3
    assert found.num_examples == 200


def test_its_own_data_are_its_own_wherever_they_are(run, room, measured_again, data_dir, tmp_path):
    moved = tmp_path / "under another name.npz"
    moved.write_bytes((room / "own.npz").read_bytes())
    assert measured_again(run, data=moved, data_dir=data_dir) == run.metrics
    tested = run.info["dataset"]["splits"]["test"]["examples"]
    found = zoo.evaluate(run, data=moved, data_dir=data_dir)
    assert (found.split, found.num_examples) == ("test", tested)


def test_its_own_data_changed_in_their_place(run, room, data_dir):
    before = (room / "own.npz").read_bytes()
    write(room / "own.npz", 240, "abcd", seed=0)
    try:
        with pytest.raises(ZooError) as caught:
            zoo.evaluate(run, data_dir=data_dir)
        assert str(caught.value).endswith(
            f". What is at '{room / 'own.npz'}' was changed since: bring it back, or give new data "
            "a place of their own and measure all of them with --data (data=). --other-data "
            "(other_data=True) measures this split all the same."
        )
        same = zoo.evaluate(run, other_data=True, data_dir=data_dir)
        named = zoo.evaluate(run, data=room / "own.npz", data_dir=data_dir)
        assert (named.split, named.num_examples) == (same.split, same.num_examples)
        assert same.num_examples < 50
    finally:
        (room / "own.npz").write_bytes(before)


@pytest.mark.slow
def test_a_bundle_and_the_command_line(run, cli, data_dir, tmp_path):
    write(tmp_path / "new.npz", 10, "ca", seed=7)
    bundle = zoo.export(run.path, to="onnx", out=tmp_path / "bundle")
    keras = zoo.evaluate(run, data=tmp_path / "new.npz", data_dir=data_dir)
    onnx = zoo.evaluate(bundle, data=tmp_path / "new.npz", data_dir=data_dir)
    assert onnx.num_examples == 10
    assert onnx.confusion == keras.confusion
    shown = cli("evaluate", run.path, "--data", tmp_path / "new.npz", "--data-dir", data_dir)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"{keras.title}\n")
    assert f"Written: {run.path}/evaluations/keras-new-" in shown.stdout


def run_of(name, labels, **dataset):
    """Return a model that is asked for nothing but how its data are read."""
    recipe = with_overrides(
        resolve_recipe(name), [f"dataset.{key}={value}" for key, value in dataset.items()]
    )
    task = zoo.describe(recipe.model.name).tasks[0]
    info = RunInfo(status="complete", recipe=recipe.to_dict(), task=task, labels=labels)
    return Run(Path("run"), info)


def read(run, path, tmp_path):
    return read_for(
        run,
        split=None,
        data=path,
        columns=None,
        group=None,
        other_data=False,
        data_dir=tmp_path,
    )


def test_tagged_words_and_boxes_have_the_numbers_of_the_run(tmp_path):
    path = tmp_path / "new.conll"
    path.write_text("Ada B-PER\nspoke O\n\nit O\nrained O\nhere O\n", encoding="utf-8")
    found = read(run_of("brown-tagger", ("B-LOC", "B-PER", "O")), path, tmp_path)
    numbers = {raw: label.tolist() for raw, label in zip(*raws_and_labels(found), strict=True)}
    assert (found.split, numbers) == ("all", {"Ada spoke": [1, 2], "it rained here": [2, 2, 2]})

    folder = tmp_path / "farm"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations").mkdir()
    for name, what in (("one", "sheep"), ("two", "cow")):
        Image.new("RGB", (64, 64), "green").save(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>64</width><height>64</height>"
            f"<depth>3</depth></size><object><name>{what}</name><bndbox><xmin>3</xmin>"
            "<ymin>3</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>",
            encoding="utf-8",
        )
    found = read(run_of("voc-centernet", ("cow", "horse", "sheep")), folder, tmp_path)
    _, labels = raws_and_labels(found)
    assert (found.split, len(found.examples.classes)) == ("all", 3)
    assert sorted(label["label"].tolist() for label in labels) == [[0], [2]]


def raws_and_labels(found):
    return found.examples.raws, found.examples.labels


@pytest.fixture
def photographs(tmp_path):
    """Return a folder with 40 images of two classes."""
    rng = np.random.default_rng(0)
    for number in range(40):
        file = tmp_path / "photographs" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)).save(file)
    return tmp_path / "photographs"


@pytest.mark.slow
def test_a_run_whose_images_were_prepared_otherwise(photographs, data_dir, tmp_path, monkeypatch):
    """The hash of their files tells whether they are the same, the record of splits cannot."""
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    recipe = with_overrides(resolve_recipe("digits-cnn"), ["fit.epochs=1"])
    new = train(recipe, data=photographs, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    own = OwnData(path=photographs)
    known = new.info.dataset
    dataset = replace(
        known,
        name=f"own_data/photographs-{own.fingerprint('2.2.0')}",
        version="2.2.0",
        splits={part: replace(split, sha256="0" * 64) for part, split in known.splits.items()},
        fingerprint="1" * 64,
    )
    old = replace(new, info=replace(new.info, dataset=dataset))
    assert (
        zoo.evaluate(old, data_dir=data_dir).metrics == zoo.evaluate(new, data_dir=data_dir).metrics
    )
    with pytest.raises(ZooError) as caught:
        check_same_data(old.path, dataset, known)
    assert str(caught.value) == (
        f"Run '{old.path}' was begun by a Kerazoo that prepared your own data by another rule "
        "(2.2.0, now 2.3.0), which may split or order them otherwise: train from the start with "
        "--force."
    )
    Image.new("L", (9, 9), 7).save(photographs / "a" / "0.png")
    with pytest.raises(ZooError, match=r"What is at '.*photographs' was changed since: bring it"):
        zoo.evaluate(old, data_dir=data_dir)


def test_a_run_whose_data_were_split_by_another_rule(run, room, data_dir):
    dataset = replace(run.info.dataset, version="1.0.0")
    old = replace(run, info=replace(run.info, dataset=dataset))
    for data in (None, room / "own.npz"):
        with pytest.raises(UsageError) as caught:
            zoo.evaluate(old, data=data, data_dir=data_dir, slice_by="y")
        assert str(caught.value) == (
            f"Run '{run.path}' was trained by a Kerazoo that split your own data by another rule "
            "(1.0.0, now 2.2.0), and which records it was tested on is not known: train it again, "
            "or measure it on records that it has not seen with --data (data=)."
        )
    # Splits of the data's own are those that they were.
    dataset = replace(dataset, own={**dataset.own, "splits": OWN_SPLITS})
    old = replace(run, info=replace(run.info, dataset=dataset))
    assert zoo.evaluate(old, data_dir=data_dir).num_examples > 0
