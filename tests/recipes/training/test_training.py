"""Training, what it leaves behind, and what it leaves when it does not finish."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zoo_registry
from zoo import evaluate
from zoo_models.quantization import is_quantization_aware
from zoo_recipes.arrays.sources import PreparedArrays
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.evaluation.results import Evaluation
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import Recipe, resolve_recipe
from zoo_recipes.run import load_run
from zoo_recipes.training.execution import held_out_rows
from zoo_recipes.training.training import train
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RunInfo
from zoo_system.durable import sha256

QUICK = ["fit.epochs=2", "dataset.train=train[:25%]"]
SMALL_RECIPES = ("digits-mlp", "digits-cnn", "digits-lstm")


@pytest.fixture(scope="module")
def quick():
    return with_overrides(resolve_recipe("digits-cnn"), QUICK)


@pytest.fixture(scope="module")
def run(quick, data_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits-cnn"
    return train(quick, out=out, data_dir=data_dir, verbose=False)


def test_a_run_holds_everything(run, quick):
    assert {path.name for path in run.path.iterdir()} == {
        *("run.json", "recipe.toml", "history.json", "history.csv", "model.keras"),
        *("curves.png", "examples.npz", "calibration.npz", "assets"),
    }
    info = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "complete"
    assert info["format_version"] == 1
    assert info["task"] == "image-classification"
    assert info["labels"] == [str(digit) for digit in range(10)]
    assert info["preprocessing"] == [{"step": "image", "size": [8, 8], "channels": 1}]
    size = run.model().count_params()
    assert info["model"] == {
        "name": "cnn",
        "num_params": size,
        "num_trained": size,
        "precision": "float32",
        "weights": None,
        "sha256": sha256(run.path / "model.keras"),
    }
    assert info["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(info["versions"]) >= {"kerazoo", "keras", "tensorflow", "numpy"}
    assert info["dataset"]["name"] == "digits"
    assert len(info["dataset"]["fingerprint"]) == 64
    assert info["dataset"]["splits"]["train"]["examples"] == 359
    assert info["started"] <= info["finished"]
    assert info["expected"]["metric"] == "accuracy"
    assert Recipe.from_toml((run.path / "recipe.toml").read_text(encoding="utf-8")) == quick
    assert run.recipe == quick
    assert {name: len(values) for name, values in run.history.items()} == {
        "accuracy": 2,
        "loss": 2,
    }
    with Image.open(run.path / "curves.png") as picture:
        assert picture.width > picture.height


def test_a_run_shows_itself(run):
    first, *rows = repr(run).splitlines()
    assert first == f"Run '{run.path}'"
    assert rows[0] == "  recipe   digits-cnn"
    assert rows[-1].startswith(f"  test     accuracy {run.metrics['accuracy']:.4g}, loss ")
    page = run._repr_html_()
    assert f"accuracy {run.metrics['accuracy']:.4g}, loss " in page
    assert '<img alt="metrics by epoch" src="data:image/png;base64,' in page


def test_values_of_a_recipe_are_arguments_too(data_dir, tmp_path):
    run = train(
        "digits-mlp",
        overrides={"dataset.train": "train[:10%]", "model.hidden_dims": [8], "fit.keep_best": None},
        epochs=1,
        image_size=(4, 6),
        out=tmp_path / "run",
        data_dir=data_dir,
        verbose=False,
    )
    assert run.model().input_shape == (None, 4, 6, 1)
    assert run.model().count_params() == (24 * 8 + 8) + (8 * 10 + 10)
    assert len(run.history["loss"]) == run.recipe.fit.epochs == 1
    with pytest.raises(UsageError, match=r"key 'epochs' of a recipe\. Did you mean 'fit.epochs'"):
        train("digits-mlp", overrides={"epochs": 1}, out=tmp_path / "other", data_dir=data_dir)
    with pytest.raises(UsageError, match="--sequence-length is for recipes of texts"):
        train("digits-mlp", sequence_length=8, out=tmp_path / "other", data_dir=data_dir)


def test_examples_are_real_test_examples(run):
    with np.load(run.path / "examples.npz", allow_pickle=False) as examples:
        assert set(examples) == {"x/image", "y"}
        images, labels = examples["x/image"], examples["y"]
    assert images.shape == (360, 8, 8, 1)
    assert images.dtype == np.float32
    assert images.max() == 255
    logits = run.model().predict(images, verbose=0)
    assert (logits.argmax(axis=-1) == labels).mean() > 0.15


def test_calibration_rows_are_of_the_training_data_and_of_every_class(run, data_dir):
    with np.load(run.path / "calibration.npz", allow_pickle=False) as rows:
        assert set(rows) == {"x/image", "y"}
        images, labels = rows["x/image"], rows["y"]
    assert images.shape == (128, 8, 8, 1)
    assert images.dtype == np.float32
    assert images.max() == 255
    builder = open_dataset("digits", data_dir=data_dir)
    trained_on = read_split(builder, "train[:25%]", input="image", label="label").labels
    shares = np.bincount(trained_on.astype(int), minlength=10) / len(trained_on)
    assert np.abs(np.bincount(labels, minlength=10) - 128 * shares).max() <= 1
    with np.load(run.path / "examples.npz", allow_pickle=False) as examples:
        held_out = {image.tobytes() for image in examples["x/image"]}
    assert not held_out & {image.tobytes() for image in images}


@pytest.mark.parametrize(
    ("shape", "rows", "kept"),
    [
        ((8, 8, 1), 360, 360),  # all there are
        ((8, 8, 1), 5000, 1024),
        ((50, 50, 1), 5000, 800),  # 8 MB
        ((224, 224, 3), 5000, 256),  # large, and yet enough to compare
    ],
)
def test_as_many_held_out_examples_as_stay_small(shape, rows, kept):
    images = np.broadcast_to(np.float32(0), (rows, *shape))
    source = PreparedArrays({"image": images}, np.zeros(rows, np.int32))
    np.testing.assert_array_equal(held_out_rows(source), np.arange(kept))


def test_quantization_aware_training_is_an_option_of_a_recipe(
    quick, measured_again, data_dir, tmp_path
):
    recipe = with_overrides(quick, ["compile.quantization_aware=true"])
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    run = train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False)

    model = run.model()
    assert is_quantization_aware(model)
    limits = {layer.name: layer for layer in model.layers if layer.name.endswith("_range")}
    # The image reaches the first convolution in 0..1.
    assert float(limits["rescale_range"].high) == pytest.approx(1.0, abs=1e-3)
    assert float(limits["rescale_range"].low) == 0.0
    assert measured_again(run, data_dir=data_dir) == run.metrics


def test_quantization_aware_training_of_a_part_is_refused(quick):
    with pytest.raises(UsageError) as caught:
        with_overrides(quick, ["compile.quantization_aware=true", "model.trainable=head"])
    assert str(caught.value).splitlines()[1:] == [
        '  model.trainable = "head": compile.quantization_aware trains all of a model; leave one '
        "of them out."
    ]


def test_evaluate_repeats_the_metrics(run, measured_again, data_dir):
    assert set(run.metrics) == {"loss", "accuracy"}
    assert measured_again(run, data_dir=data_dir) == run.metrics
    assert measured_again(run, split="train[:10%]", data_dir=data_dir) != run.metrics


def test_other_data_are_told_apart(run, measured_again, data_dir, tmp_path):
    known = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    known["dataset"]["splits"]["test"]["sha256"] = "0" * 64
    info = RunInfo.from_dict(known)
    with pytest.raises(ZooError) as caught:
        evaluate(replace(run, info=info), data_dir=data_dir)
    assert str(caught.value).startswith(
        "Split 'test' of dataset 'digits' on this machine differs from the one that run "
        f"'{run.path}' had: sha256 "
    )
    changed = replace(run, info=info)
    assert measured_again(changed, data_dir=data_dir, other_data=True) == run.metrics


def test_an_existing_folder_is_refused(run, quick, data_dir, tmp_path):
    with pytest.raises(UsageError) as caught:
        train(quick, out=run.path, data_dir=data_dir, verbose=False)
    assert str(caught.value) == (
        f"'{run.path}' exists: choose another one (--out), or replace it (--force, force=True)."
    )
    assert load_run(run.path).status == "complete"
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(
        UsageError,
        match=r"is not a run folder \(run\.json is missing\): --force deletes runs only\.",
    ):
        train(quick, out=tmp_path, data_dir=data_dir, force=True, verbose=False)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            'fit.callbacks=["ModelCheckpoint"]',
            'fit.callbacks = "ModelCheckpoint": write fit.keep_best = "val_loss".',
        ),
        (
            "compile.optimizer=adamm",
            "compile.optimizer = \"adamm\": Keras has no such name. Did you mean 'Adam'?",
        ),
        (
            'augmentation=["random_translatoin"]',
            'augmentation = "random_translatoin": Keras has no such name. '
            "Did you mean 'RandomTranslation'?",
        ),
        (
            "compile.optimizer.momentun=0.9",
            "compile.optimizer.momentun: AdamW takes no 'momentun'. Did you mean 'ema_momentum'?",
        ),
    ],
)
def test_what_keras_would_refuse_replaces_no_run(quick, data_dir, tmp_path, override, message):
    run = train(quick, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    recipe = with_overrides(quick, [override])
    with pytest.raises(UsageError) as caught:
        train(recipe, out=run.path, data_dir=data_dir, force=True, verbose=False)
    assert str(caught.value) == message
    assert load_run(run.path).metrics == run.metrics


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_is_none_replaces_no_run(quick, tmp_path, seed):
    with pytest.raises(
        UsageError, match=rf"^Recipe '.*' has 1 mistake:\n  seed = {seed}: it should"
    ):
        train(quick, out=tmp_path / "run", seed=seed, verbose=False)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(quick, data_dir, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ZooError, match=r"file/run' cannot be written: "):
        train(quick, out=tmp_path / "file" / "run", data_dir=data_dir, verbose=False)


def test_a_loss_that_is_no_number_stops_the_training(quick, data_dir, tmp_path):
    wild = with_overrides(quick, ["compile.optimizer.learning_rate=1e30", "fit.epochs=9"])
    with pytest.raises(ZooError, match=r"^The loss became (nan|inf) at epoch \d, step \d+\. L"):
        train(wild, out=tmp_path / "wild", data_dir=data_dir, verbose=False)
    with pytest.raises(UsageError) as caught:
        load_run(tmp_path / "wild")
    assert str(caught.value).startswith(f"Run '{tmp_path}/wild' failed: ZooError: The loss became ")
    assert str(caught.value).endswith(f"Go on with it: zoo train --resume {tmp_path}/wild")
    again = train(quick, out=tmp_path / "wild", data_dir=data_dir, force=True, verbose=False)
    assert again.status == "complete"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ['preprocessing=[{step="array",input="pixels",shape=[8,8,1]}]'],
            "Recipe 'digits-cnn': preprocessing makes pixels, but model 'cnn' takes image.",
        ),
        (
            ['preprocessing=[{step="image",size=[9,8],channels=1}]'],
            "Recipe 'digits-cnn': preprocessing makes image (9, 8, 1), but model 'cnn' takes "
            "image (8, 8, 1).",
        ),
        (
            ["dataset.train=trian"],
            "Dataset 'digits/1.0.0' has no split 'trian'. Did you mean 'train'?",
        ),
    ],
)
def test_what_only_training_can_find(quick, data_dir, tmp_path, overrides, message):
    with pytest.raises(UsageError) as caught:
        train(
            with_overrides(quick, overrides), out=tmp_path / "x", data_dir=data_dir, verbose=False
        )
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.filtres=[8]", "Model 'cnn': no override 'filtres'. Did you mean 'filters'?"),
        ("dataset.name=mnist", "Dataset 'mnist' is not prepared in "),
    ],
)
def test_what_cannot_work_leaves_the_run_that_is_there(
    quick, data_dir, tmp_path, override, message
):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "run.json").write_text("{}")
    with pytest.raises(UsageError) as caught:
        train(with_overrides(quick, [override]), out=tmp_path / "x", data_dir=data_dir, force=True)
    assert str(caught.value).startswith(message)
    assert (tmp_path / "x" / "run.json").read_text() == "{}"


def test_early_stopping_keeps_the_best_weights(quick, data_dir, tmp_path):
    recipe = with_overrides(
        quick,
        [
            "fit.epochs=30",
            "fit.early_stopping.patience=1",
            "dataset.validation=train[90%:]",
            "compile.optimizer.learning_rate=0.05",
            "compile.schedule.name=cosine_decay",
        ],
    )
    stopped = train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    losses = stopped.history["val_loss"]
    assert len(losses) < 30
    assert losses[-1] >= min(losses)
    found = evaluate(stopped, split="train[90%:]", data_dir=data_dir)
    assert found.metrics["loss"] == pytest.approx(min(losses), rel=1e-4)


def test_progress_is_seen_unless_it_is_not_wanted(quick, data_dir, tmp_path, capfd):
    train(quick, out=tmp_path / "loud", data_dir=data_dir)
    shown = capfd.readouterr()
    assert "epoch 1/2  accuracy 0." in shown.err
    assert "s left" in shown.err
    train(quick, out=tmp_path / "quiet", data_dir=data_dir, verbose=False)
    shown = capfd.readouterr()
    assert "epoch" not in shown.err
    assert not shown.out


WEIGHTS = """
import hashlib, sys
from zoo_system.fast_keras import fast_keras; fast_keras()
from zoo_recipes.overrides import with_overrides
from zoo_recipes.arrays.sources import PreparedArrays
from zoo_recipes.training.training import train
from zoo_recipes.recipe import resolve_recipe
name, out, data_dir, seed, *overrides = sys.argv[1:]
recipe = with_overrides(resolve_recipe(name), overrides)
run = train(recipe, out=out, data_dir=data_dir, seed=int(seed), verbose=False)
digest = hashlib.sha256()
for weights in run.model().get_weights():
    digest.update(weights.tobytes())
print(digest.hexdigest(), sorted(run.metrics.items()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("digits-cnn", QUICK),
        ("language-id-bert", ["fit.epochs=1", "dataset.train=train[:5%]", "model.hidden_dim=16"]),
        ("pydoc-gpt", ["fit.epochs=1", "dataset.train=train[:20%]", "dataset.test=test[:20%]"]),
    ],
)
def test_the_same_seed_gives_the_same_weights_in_every_process(name, overrides, data_dir, tmp_path):
    def weights_of(seed, out):
        command = [sys.executable, "-c", WEIGHTS, name, str(tmp_path / out), str(data_dir)]
        return subprocess.check_output([*command, str(seed), *overrides], text=True)

    first = weights_of(3, "a")
    assert first == weights_of(3, "b")
    if name == "digits-cnn":
        assert first.split()[0] != weights_of(4, "c").split()[0]


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_says_so(data_dir, tmp_path):
    out = tmp_path / "run"
    code = (
        "import sys\nfrom zoo_recipes.overrides import with_overrides\n"
        "from zoo_recipes.training.training import resolve_recipe, train\n"
        "recipe = with_overrides(resolve_recipe('digits-cnn'), ['fit.epochs=5000'])\n"
        "train(recipe, out=sys.argv[1], data_dir=sys.argv[2])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(out), str(data_dir)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = ""
    deadline = time.monotonic() + 120
    while "epoch 2/5000" not in seen and time.monotonic() < deadline:
        seen += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in rest
    info = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "interrupted"
    assert info["finished"] is not None
    assert len(json.loads((out / "history.json").read_text())["loss"]) >= 2
    assert not (out / "model.keras").exists()
    assert not list(out.glob(".partial-*"))
    for use in (load_run, evaluate):
        with pytest.raises(UsageError) as caught:
            use(out)
        assert str(caught.value) == (
            f"Run '{out}' was interrupted. Go on with it: zoo train --resume {out}"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "' is not a run folder (run.json is missing). `zoo train` makes one."),
        ("{", "run.json' is damaged: "),
        ('{"format_version": 99}', "' has format 99; this Kerazoo reads 1."),
        (
            '{"format_version": 1, "status": "running", "recipe": {"name": "a"}}',
            "' was not finished. Go on with it: zoo train --resume ",
        ),
    ],
)
def test_folders_that_are_no_finished_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_run(tmp_path)
    assert message in str(caught.value)


def test_a_damaged_model_is_refused(run, tmp_path):
    import shutil

    folder = shutil.copytree(run.path, tmp_path / "copy")
    model = folder / "model.keras"
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ZooError, match=r"model.keras' was changed: its sha256 is not the"):
        load_run(folder).model()
    info = json.loads((folder / "run.json").read_text())
    del info["model"]["sha256"]  # as earlier versions wrote it
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(ZooError, match=r"model.keras' cannot be loaded: "):
        load_run(folder).model()


@pytest.mark.slow
def test_a_text_run_is_evaluated_in_a_fresh_process(data_dir, tmp_path):
    recipe = with_overrides(
        resolve_recipe("pydoc-gpt"),
        ["fit.epochs=1", "dataset.train=train[:20%]", "dataset.test=test[:20%]"],
    )
    run = train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert set(run.metrics) == {"loss", "accuracy", "bits_per_character"}
    assert (run.path / "assets" / "tokenizer.json").is_file()
    with np.load(run.path / "examples.npz", allow_pickle=False) as examples:
        np.testing.assert_array_equal(examples["x/token_ids"][:, 1:], examples["y"][:, :-1])
    code = "import sys, zoo\nprint(zoo.evaluate(sys.argv[1], data_dir=sys.argv[2]).to_json())"
    command = [sys.executable, "-c", code, str(run.path), str(data_dir)]
    found = Evaluation.from_json(subprocess.check_output(command, text=True))
    assert {name: found.metrics[name] for name in run.metrics} == run.metrics
    assert found.metrics["perplexity"] == pytest.approx(np.exp(run.metrics["loss"]))
    low, high = found.intervals["bits_per_character"]
    assert low < run.metrics["bits_per_character"] < high
    assert set(found.intervals) == set(found.metrics)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_RECIPES)
def test_small_recipes_keep_their_promise(name, data_dir, tmp_path):
    expected = zoo_registry.recipes.get(name).expected
    run = train(name, out=tmp_path / name, data_dir=data_dir, verbose=False)
    assert run.metrics[expected.metric] == pytest.approx(expected.value, abs=expected.tolerance)
