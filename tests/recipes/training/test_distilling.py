"""Learning from a trained run."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

import zoo
from zoo_recipes.compiling.losses import CountedAccuracy, Distilled
from zoo_recipes.configs import DistillationConfig
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import as_recipe, resolve_recipe
from zoo_recipes.run import load_run, open_trained
from zoo_recipes.training.batches import Batches, make_teaching
from zoo_recipes.training.repeating import reproduce
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError, ZooError

TEACHER = {
    "model": {"name": "mlp", "overrides": {"hidden_dims": [64], "input_shape": [8, 8, 1]}},
    "dataset": {"name": "digits"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "compile": {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    "fit": {"epochs": 5},
}


class PowerCutError(Exception):
    pass


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, data_dir):
    out = tmp_path_factory.mktemp("teacher") / "run"
    return train(as_recipe(TEACHER, "teacher"), out=out, data_dir=data_dir, verbose=False)


def student(teacher, **changes):
    model = {"name": "mlp", "overrides": {"hidden_dims": [8], "input_shape": [8, 8, 1]}}
    data = {**TEACHER, "model": model, "distillation": {"teacher": str(teacher.path)}}
    return as_recipe({**data, **changes}, "student")


def named(teacher):
    return DistillationConfig(teacher=str(teacher.path))


def test_the_loss_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    theirs, ours, classes = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    targets = np.concatenate([classes[:, None], theirs], axis=1).astype("float32")
    loss = Distilled(hard, temperature=2.0, weight=0.3)
    soft = [np.exp(x / 2) / np.exp(x / 2).sum(axis=1, keepdims=True) for x in (theirs, ours)]
    distance = (soft[0] * np.log(soft[0] / soft[1])).sum(axis=1).mean() * 4
    expected = 0.7 * float(hard(classes, ours)) + 0.3 * distance
    assert float(loss(targets, ours.astype("float32"))) == pytest.approx(expected, rel=1e-5)
    # Validation has no teacher.
    assert float(loss(classes, ours)) == pytest.approx(float(hard(classes, ours)), rel=1e-5)
    again = Distilled.from_config(loss.get_config())
    assert float(again(targets, ours.astype("float32"))) == pytest.approx(expected, rel=1e-5)
    metric = CountedAccuracy()
    metric.update_state(targets, ours)
    assert float(metric.result()) == (ours.argmax(axis=1) == classes).mean()


@pytest.mark.slow
def test_a_student_answers_like_its_teacher(teacher, tmp_path, data_dir):
    options = {"data_dir": data_dir, "verbose": False}
    taught = student(teacher, distillation={"teacher": str(teacher.path), "weight": 1.0})
    pupil = train(taught, out=tmp_path / "taught", **options)
    alone = train(student(teacher, distillation=None), out=tmp_path / "alone", **options)
    with np.load(pupil.path / "examples.npz") as examples:
        images = examples["x/image"]
    answers = [run.model().predict(images, verbose=0) for run in (teacher, pupil, alone)]
    known, learned, own = (np.exp(a) / np.exp(a).sum(axis=1, keepdims=True) for a in answers)
    assert np.abs(known - learned).mean() < np.abs(known - own).mean()
    assert pupil.metrics["accuracy"] > 0.8
    # The run needs nobody once it is trained.
    assert load_run(pupil.path).recipe.distillation.teacher == str(teacher.path)


@pytest.mark.slow
def test_a_teacher_of_other_inputs(teacher, tmp_path, data_dir):
    wide = student(
        teacher,
        model={"name": "mlp", "overrides": {"hidden_dims": [8], "input_shape": [6, 6, 1]}},
        preprocessing=[{"step": "image", "size": [6, 6], "channels": 1}],
    )
    with pytest.raises(UsageError) as raised:
        train(wide, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert str(raised.value) == (
        f'distillation.teacher = "{teacher.path}": its inputs are image (8, 8, 1), and those of '
        "the model to be trained image (6, 6, 1): they must be the same."
    )


def test_a_bundle_teaches_what_its_run_does(teacher, tmp_path):
    bundle = zoo.export(teacher.path, to=["tflite", "onnx"], out=tmp_path / "bundle")
    packed = bundle.to_zip(tmp_path / "bundle.zip")
    inputs, classes = {"image": np.full((3, 8, 8, 1), 90, np.float32)}, np.array([1, 0, 2])
    model = teacher.model()

    def taught(where, runtime=None):
        found = open_trained(where)
        assert found.labels == teacher.labels
        config = DistillationConfig(teacher=str(where), runtime=runtime)
        return make_teaching(found, config, model, found.labels, teacher.assets)(inputs, classes)

    expected = taught(teacher.path)
    assert expected.shape == (3, 11)
    for where, runtime in ((bundle.path, None), (bundle.path, "onnx"), (packed, "onnx")):
        np.testing.assert_allclose(taught(where, runtime), expected, atol=1e-4)
    with pytest.raises(UsageError, match=r"Bundle .* has no format 'saved_model'"):
        taught(bundle.path, "saved_model")
    with pytest.raises(UsageError, match=r'^distillation\.runtime = "onnx": Run .* runs in Keras'):
        taught(teacher.path, "onnx")


def test_a_teacher_that_reads_other_tokens(teacher, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"its tokenizer\.json is not that of the model to be tr"):
        make_teaching(teacher, named(teacher), teacher.model(), None, tmp_path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("abcdefghij", "'0', '1', '2', '3', '4', ..., and those of the model to be trained 'a', "),
        ("0123456798", "..., '8', '9', and those of the model to be trained ..., '9', '8': they "),
        (
            "012",
            "..., '2', '3', '4', '5', '6', ..., and those of the model to be trained ..., '2': ",
        ),
    ],
)
def test_a_teacher_of_other_classes(teacher, labels, said):
    with pytest.raises(UsageError) as raised:
        make_teaching(teacher, named(teacher), teacher.model(), list(labels), teacher.assets)
    assert str(raised.value).startswith(
        f'distillation.teacher = "{teacher.path}": its classes are {said}'
    )
    assert str(raised.value).endswith(": they must be the same, in the same order.")


@pytest.mark.parametrize(("theirs", "ours"), [(None, ["a"]), (["a"], None), (None, None)])
def test_classes_without_names_are_not_compared(teacher, theirs, ours):
    nameless = replace(teacher, info=replace(teacher.info, labels=theirs))
    model = teacher.model()
    assert callable(make_teaching(nameless, named(teacher), model, ours, teacher.assets))


@pytest.mark.slow
def test_own_data_with_other_classes(tmp_path, data_dir):
    def trained(name, classes, **distillation):
        rows = [f"film number {n},{classes[n % 3]}" for n in range(60)]
        data = tmp_path / f"{name}.csv"
        data.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
        short = ["fit.epochs=1", "tokenizer.vocab_size=280", "model.hidden_dim=8"]
        short += [f"distillation.{key}={value}" for key, value in distillation.items()]
        recipe = with_overrides(resolve_recipe("language-id-lstm"), short)
        return train(recipe, data=data, out=tmp_path / name, data_dir=data_dir, verbose=False)

    known = trained("teacher", ["aa", "b b", "ç"])
    with pytest.raises(UsageError) as raised:
        trained("student", ["xx", "yy", "zz"], teacher=known.path)
    assert str(raised.value) == (
        f"distillation.teacher = \"{known.path}\": its classes are 'aa', 'b b', 'ç', and those "
        "of the model to be trained 'xx', 'yy', 'zz': they must be the same, in the same order."
    )


@pytest.fixture
def moving_teacher(teacher, tmp_path):
    """A teacher that may be trained again without harm to the others."""
    return load_run(shutil.copytree(teacher.path, tmp_path / "teacher"))


def trained_anew(teacher, data_dir):
    return train(
        teacher.recipe, out=teacher.path, seed=9, force=True, data_dir=data_dir, verbose=False
    )


@pytest.mark.slow
def test_a_teacher_that_changed_since_its_student_was_broken_off(
    moving_teacher, tmp_path, data_dir, monkeypatch
):
    make, options = Batches._batch, {"data_dir": data_dir, "verbose": False}

    def cut(self, *place):
        if place[0] == 1:
            raise PowerCutError
        return make(self, *place)

    monkeypatch.setattr(Batches, "_batch", cut)
    with pytest.raises(PowerCutError):
        train(student(moving_teacher), out=tmp_path / "run", checkpoint_seconds=0, **options)
    monkeypatch.undo()
    kept = shutil.copytree(moving_teacher.path, tmp_path / "kept")
    other = trained_anew(moving_teacher, data_dir)
    before, now = (run.info["model"]["sha256"][:12] for run in (moving_teacher, other))
    with pytest.raises(ZooError) as raised:
        resume(tmp_path / "run", **options)
    assert str(raised.value) == (
        f"Teacher '{other.path}' is not the one that run '{tmp_path / 'run'}' began with: sha256 "
        f"{now}, not {before}. Bring the teacher back, or train from the start with --force."
    )
    shutil.rmtree(other.path)
    kept.rename(other.path)
    assert resume(tmp_path / "run", **options).status == "complete"


@pytest.mark.slow
def test_a_student_is_trained_again_from_another_folder(
    moving_teacher, tmp_path, data_dir, monkeypatch
):
    options = {"data_dir": data_dir, "verbose": False}
    recipe = student(moving_teacher, distillation={"teacher": "teacher"}, fit={"epochs": 1})
    monkeypatch.chdir(tmp_path)
    run = train(recipe, out=tmp_path / "run", **options)
    assert run.recipe.distillation.teacher == str(moving_teacher.path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    same = reproduce(run, **options)
    assert (same.equal, same.changed) == (True, {})
    other = trained_anew(moving_teacher, data_dir)
    again = reproduce(run, **options)
    hashes = [each.info["model"]["sha256"] for each in (moving_teacher, other)]
    assert (again.equal, again.changed) == (False, {"teacher.sha256": hashes})


def test_a_model_that_gives_every_token_a_class(teacher):
    inputs = keras.Input((5, 3), name="x")
    tagger = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs))
    with pytest.raises(UsageError, match=r"has one class; this one gives logits \(5, 2\)") as e:
        make_teaching(teacher, named(teacher), tagger, None, teacher.assets)
    assert str(teacher.path) in str(e.value)


def test_mixed_images_have_no_one_class(teacher):
    with pytest.raises(UsageError, match="mixed images have no one class; leave mix_up and cut_mi"):
        student(teacher, augmentation=["mix_up"], compile={"loss": "smoothed_crossentropy"})
