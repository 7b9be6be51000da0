"""Learning from a trained run."""

import keras
import numpy as np
import pytest

import zoo
from zoo_recipes.compiling.losses import CountedAccuracy, Distilled
from zoo_recipes.configs import DistillationConfig
from zoo_recipes.recipe import as_recipe
from zoo_recipes.run import load_run
from zoo_recipes.training.distilling import make_teaching
from zoo_recipes.training.training import train
from zoo_registry import UsageError

TEACHER = {
    "model": {"name": "mlp", "overrides": {"hidden_dims": [64], "input_shape": [8, 8, 1]}},
    "dataset": {"name": "digits"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "compile": {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    "fit": {"epochs": 5},
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, data_dir):
    out = tmp_path_factory.mktemp("teacher") / "run"
    return train(as_recipe(TEACHER, "teacher"), out=out, data_dir=data_dir, verbose=False)


def student(teacher, **changes):
    model = {"name": "mlp", "overrides": {"hidden_dims": [8], "input_shape": [8, 8, 1]}}
    data = {**TEACHER, "model": model, "distillation": {"teacher": str(teacher.path)}}
    return as_recipe({**data, **changes}, "student")


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
        config = DistillationConfig(teacher=str(where), runtime=runtime)
        return make_teaching(config, model, teacher.assets)(inputs, classes)

    expected = taught(teacher.path)
    assert expected.shape == (3, 11)
    for where, runtime in ((bundle.path, None), (bundle.path, "onnx"), (packed, "onnx")):
        np.testing.assert_allclose(taught(where, runtime), expected, atol=1e-4)
    with pytest.raises(UsageError, match=r"Bundle .* has no format 'saved_model'"):
        taught(bundle.path, "saved_model")
    with pytest.raises(UsageError, match="runs in Keras; only a bundle has others"):
        taught(teacher.path, "onnx")


def test_a_teacher_that_reads_other_tokens(teacher, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"its tokenizer\.json is not that of the model to be tr"):
        make_teaching(DistillationConfig(teacher=str(teacher.path)), teacher.model(), tmp_path)


def test_a_model_that_gives_every_token_a_class(teacher):
    inputs = keras.Input((5, 3), name="x")
    tagger = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs))
    with pytest.raises(UsageError, match=r"has one class; this one gives logits \(5, 2\)") as e:
        make_teaching(DistillationConfig(teacher=str(teacher.path)), tagger, teacher.assets)
    assert str(teacher.path) in str(e.value)


def test_mixed_images_have_no_one_class(teacher):
    with pytest.raises(UsageError, match="mixed images have no one class; leave mix_up and cut_mi"):
        student(teacher, augmentation=["mix_up"], compile={"loss": "smoothed_crossentropy"})
