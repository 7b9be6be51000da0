"""The whole road from the command line, once, and every way to go wrong on it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo import Evaluation, UsageError, evaluate, load_bundle

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("road")]
SHORT = ("--set", "fit.epochs=2")


def zoo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoo.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a short run of digits-mlp and its bundle."""
    folder = tmp_path_factory.mktemp("road")
    trained = zoo("train", "digits-mlp", *SHORT, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    assert "Next: zoo export runs/digits-mlp --to tflite,onnx,saved_model" in trained.stdout
    exported = zoo("export", "runs/digits-mlp", "--to", "tflite,onnx,saved_model", cwd=folder)
    assert exported.returncode == 0, exported.stderr
    assert "Next: zoo verify bundles/digits-mlp" in exported.stdout
    return folder


@pytest.fixture
def copy(road: Path, tmp_path: Path) -> Path:
    """Return a bundle that a test may damage."""
    return Path(shutil.copytree(road / "bundles" / "digits-mlp", tmp_path / "bundle"))


def test_evaluate_repeats_what_training_recorded(road: Path) -> None:
    run = road / "runs/digits-mlp"
    recorded = json.loads((run / "run.json").read_text())["metrics"]
    done = zoo("evaluate", "runs/digits-mlp", cwd=road)
    assert done.returncode == 0, done.stderr
    folder = run / "evaluations" / "keras-digits-test"
    assert f"Written: {folder.relative_to(road)}" in done.stdout
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["metrics"]["accuracy"] == pytest.approx(recorded["accuracy"], abs=1e-6)
    low, high = found["intervals"]["accuracy"]
    assert f"({low:.4f} to {high:.4f})" in done.stdout
    with Image.open(folder / "confusion.png") as plot:
        assert plot.width > 500


def test_bench_of_a_zip_names_the_zip(road: Path, tmp_path: Path) -> None:
    load_bundle(road / "bundles/digits-mlp").to_zip(tmp_path / "my digits.zip")
    words = ("bench", "my digits.zip", "--runs", "1", "--only", "tflite")
    done = zoo(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    following = "Next: zoo bench 'my digits.zip' --threads 1,2 --chart chart.svg"
    assert done.stdout.strip().splitlines()[-1] == following
    done = zoo(*words, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["bundle"] == "my digits.zip"


@pytest.mark.parametrize("out", ["bundles/other", None])
def test_a_zip_that_is_there_is_found_before_the_work(
    road: Path, tmp_path: Path, out: str | None
) -> None:
    archive = Path(f"{out or 'bundles/digits-mlp'}.zip")
    (tmp_path / "bundles").mkdir()
    (tmp_path / archive).write_text("mine")
    words = ("--to", "onnx", "--zip", *(("--out", out) if out else ()))
    done = zoo("export", road / "runs/digits-mlp", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"'{archive}' exists: choose another one (--out), or replace it" in done.stderr
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [archive.name]


# What is counted is equal; what is summed of probabilities differs by so much at most.
ROUNDING = 1e-6
SUMMED = {"loss", "log_loss", "calibration_error"}


@pytest.mark.parametrize("runtime", ["tflite", "onnx", "saved_model"])
def test_a_float_file_is_worth_what_keras_is(road: Path, runtime: str) -> None:
    wanted = in_keras(road)
    found = evaluate(road / "bundles/digits-mlp", runtime=runtime)
    assert (found.runtime, found.num_examples) == (runtime, 360)
    assert found.confusion == wanted.confusion
    assert set(found.metrics) == set(wanted.metrics) > SUMMED
    for name, value in wanted.metrics.items():
        allowed = ROUNDING if name in SUMMED else 0
        assert abs(found.metrics[name] - value) <= allowed, name
        # The same rows are drawn.
        assert found.intervals[name] == pytest.approx(wanted.intervals[name], abs=allowed)


def test_a_bundle_in_one_file_is_worth_the_same(road: Path, tmp_path: Path) -> None:
    packed = load_bundle(road / "bundles/digits-mlp").to_zip(tmp_path / "digits.zip")
    found = evaluate(packed, runtime="onnx", split="test[:50]")
    assert found.where == str(packed)
    assert found.metrics == evaluate(load_bundle(packed), runtime="onnx", split="test[:50]").metrics
    with pytest.raises(UsageError, match=r"digits\.zip' has no Keras model: use the run that "):
        evaluate(packed, runtime="keras")


@cache
def in_keras(road: Path) -> Evaluation:
    return evaluate(road / "runs/digits-mlp")


def test_evaluate_a_bundle_by_group(road: Path, tmp_path: Path) -> None:
    groups = tmp_path / "pens.csv"
    rows = ["blue" if n % 7 else "black" for n in range(360)]
    groups.write_text("pen\n" + "\n".join(rows) + "\n")
    command = ("evaluate", "bundles/digits-mlp", "--runtime", "tflite")
    done = zoo(*command, "--slice", f"{groups}:pen", "--out", tmp_path / "out", cwd=road)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith(
        "warning: groups of 'pen' with fewer than 100 examples are too small to say much, as "
        "fractions of so few are known to 10 points at best: black; gaps are of all groups, and "
        "may be chance"
    )
    assert "black (small)" in done.stdout
    assert "EQUALIZED ODDS RATIO" in done.stdout
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [group["num_examples"] for group in found["groups"]["groups"]] == [308, 52]
    assert (found["runtime"], found["groups"]["column"]) == ("tflite", "pen")


def test_verify(road: Path) -> None:
    done = zoo("verify", "bundles/digits-mlp", cwd=road)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal") == 3
    assert "files have the recorded sha256." in done.stdout


def test_bench(road: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    only = ("bench", "bundles/digits-mlp", "--runs", "10", "--only", "tflite,onnx")
    done = zoo(*only, "--threads", "1,2,auto", "--chart", chart, cwd=road)
    assert done.returncode == 0, done.stderr
    costs, speeds, facts, drawn, following = done.stdout.strip().split("\n\n")
    assert costs.split()[:9] == [
        "FORMAT",
        "SIZE",
        "PEAK",
        "MB",
        "START",
        "ms",
        "LOAD",
        "ms",
        "DIFFERENCE",
    ]
    assert [line.split()[0] for line in costs.splitlines()[1:3]] == ["tflite", "onnx"]
    assert [line.split()[:2] for line in speeds.splitlines()[1:-1]] == [
        [name, count] for name in ("tflite", "onnx") for count in ("1", "2", "auto")
    ]
    assert all(len(line) <= 80 for line in costs.splitlines() + speeds.splitlines()[:-1])
    assert "onnxruntime" in facts
    assert drawn == f"{chart} shows them."
    assert following == "Next: zoo verify bundles/digits-mlp"
    assert "<svg" in chart.read_text()

    test = json.loads(zoo(*only, "--dataset", "digits", "--json", cwd=road).stdout)
    examples = ("--dataset", "runs/digits-mlp/examples.npz")
    first = json.loads(zoo(*only, *examples, "--json", cwd=road).stdout)
    recorded = json.loads((road / "runs/digits-mlp/run.json").read_text())["metrics"]
    # A run keeps up to 1,024 of its held-out examples: all of these.
    for row, kept in zip(test["rows"], first["rows"], strict=True):
        assert row["accuracy"] == pytest.approx(recorded["accuracy"], abs=1e-6)
        assert (row["examples"], kept["examples"]) == (360, 360)
        assert kept["accuracy"] == row["accuracy"]


@pytest.mark.parametrize("runtime", ["tflite", "onnx", "saved_model"])
def test_predict_gives_the_same_in_every_runtime(road: Path, runtime: str) -> None:
    with np.load(road / "runs/digits-mlp/examples.npz") as examples:
        digit = examples["x/image"][0, ..., 0].astype("uint8")
    Image.fromarray(digit).save(road / "digit.png")
    np.save(road / "digit.npy", digit)
    for name in ("digit.png", "digit.npy"):
        done = zoo("predict", "bundles/digits-mlp", name, "--runtime", runtime, "--json", cwd=road)
        assert "XNNPACK" not in done.stderr, "what LiteRT says of itself"
        answer = json.loads(done.stdout)
        first = zoo("predict", "bundles/digits-mlp", "digit.npy", "--json", cwd=road)
        assert answer["label"] == json.loads(first.stdout)["label"]
        assert answer["probability"] == pytest.approx(
            json.loads(first.stdout)["probability"], abs=1e-5
        )


def test_batches_of_a_litert_file(road: Path) -> None:
    options = ("--to", "litert,onnx", "--batch-sizes", "8,1", "--out", "bundles/batches")
    done = zoo("export", "runs/digits-mlp", *options, cwd=road)
    assert done.returncode == 0, done.stderr
    assert "\ntflite: XNNPACK computes " in done.stdout
    assert "\ntflite: Its signature batch_8 takes 8 rows at once (XNNPACK: " in done.stdout
    verified = zoo("verify", "bundles/batches", cwd=road)
    assert verified.stdout.count("1, 3, 8") == 2


def test_a_model_by_name_for_images_of_another_size(road: Path) -> None:
    options = ("--image-size", "40x32", "--to", "tflite", "--json", "--out", "bundles/oblong")
    done = zoo("export", "lenet5", *options, cwd=road)
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["artifacts"][0]["inputs"]
    assert image["shape"] == [1, 40, 32, 1]


def test_a_budget_keeps_one_scheme_or_refuses_with_the_table(road: Path) -> None:
    tried = ("--to", "tflite:dynamic-int8,onnx:dynamic-int8", "--out", "bundles/small")
    done = zoo("export", "runs/digits-mlp", "--max-drop", "5%", *tried, cwd=road)
    assert done.returncode == 0, done.stderr
    header, first, second, *_ = done.stdout.splitlines()
    assert header.split() == [
        *("FORMAT", "SIZE", "kB", "LATENCY", "ms", "ACCURACY", "DROP", "RESULT")
    ]
    assert (first.split()[-1], second.split()[-1]) == ("kept", "within")
    assert " on 360 held-out examples: one answer is 0.28%, " in done.stdout
    kept = first.split()[0].replace(":", ".").split(".")
    assert f"Kept: bundles/small/digits-mlp.{kept[1]}.{kept[0]}" in done.stdout
    assert "Next: zoo verify bundles/small" in done.stdout
    assert zoo("verify", "bundles/small", cwd=road).returncode == 0

    refused = zoo(
        *("export", "runs/digits-mlp", "--max-drop", "5%", "--max-mb", "0.001"),
        *("--to", "tflite:dynamic-int8", "--out", "bundles/none"),
        cwd=road,
    )
    assert refused.returncode == 1
    assert "No artifact of 'digits-mlp' keeps the budget. Nothing was written." in refused.stderr
    assert "> 0.001" in refused.stderr
    assert not (road / "bundles/none").exists()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_an_image_of_another_size_or_mode_is_converted(road: Path, mode: str) -> None:
    image = Image.new("I;16", (50, 31), 40_000) if mode == "I;16" else Image.new(mode, (50, 31))
    image.save(road / "odd.png")
    done = zoo("predict", "bundles/digits-mlp", "odd.png", cwd=road)
    assert done.returncode == 0, done.stderr
    assert "PROBABILITY" in done.stdout


WRONG_USE = {
    "unknown recipe": (
        ("train", "digits-cn"),
        "There is no recipe 'digits-cn'. Did you mean 'digits-cnn'?",
    ),
    "unknown key": (
        ("train", "digits-mlp", "--set", "fit.epoch=3"),
        "Did you mean 'epochs'?",
    ),
    "wrong type": (("train", "digits-mlp", "--set", "fit.epochs=three"), "fit.epochs"),
    "unknown override": (
        ("train", "digits-mlp", "--set", "model.overrides.hiden_dims=[3]", "--out", "runs/x"),
        "no override 'hiden_dims'. Did you mean 'hidden_dims'?",
    ),
    "existing run": (("train", "digits-mlp", *SHORT), "--force"),
    "existing bundle": (("export", "runs/digits-mlp"), "--force"),
    "batches beside a budget": (
        ("export", "runs/digits-mlp", "--max-drop", "1%", "--batch-sizes", "1,8"),
        "--batch-sizes does not go with a budget: leave it or --max-drop out.",
    ),
    "no batches": (
        ("export", "runs/digits-mlp", "--batch-sizes", "1,x", "--out", "bundles/x"),
        "batch_sizes='1,x': give different whole numbers from 1, such as [1, 8], or 'dynamic'.",
    ),
    "images of one size": (
        ("export", "runs/digits-mlp", "--image-size", "48", "--out", "bundles/x"),
        "takes no images of another size: leave image_size=48x48 out.",
    ),
    "no size of images": (
        ("export", "lenet5", "--image-size", "48x", "--out", "bundles/x"),
        "'48x' is not a size of images, such as 224 or 224x320.",
    ),
    "no recurrent layer": (
        ("export", "runs/digits-mlp", "--rnn", "loop", "--out", "bundles/x"),
        "has no recurrent layer: leave rnn='loop' out.",
    ),
    "no optimizer": (
        ("export", "runs/digits-mlp", "--optimize", "onnx-runtime", "--out", "bundles/x"),
        "There is no optimize='onnx-runtime'. Did you mean 'onnxruntime'? There is: onnxruntime.",
    ),
    "option beside a budget": (
        ("export", "runs/digits-mlp", "--max-drop", "1%", "--zip", "--out", "bundles/x"),
        "--zip does not go with a budget: leave it or --max-drop out.",
    ),
    "rows of training beside a budget": (
        ("export", "runs/digits-mlp", "--max-drop", "1%", "--train-batch", "4"),
        "--train-batch does not go with a budget: leave it or --max-drop out.",
    ),
    "batches in other digits": (
        ("export", "runs/digits-mlp", "--batch-sizes", "²", "--out", "bundles/x"),
        "batch_sizes='²': give different whole numbers from 1, such as [1, 8], or 'dynamic'.",
    ),
    "unknown format": (
        ("export", "runs/digits-mlp", "--to", "onx"),
        "There is no format 'onx'. Did you mean 'onnx'?",
    ),
    "unknown model": (
        ("export", "mnist-mpl"),
        "There is no model 'mnist-mpl'. Did you mean 'mnist-mlp'?",
    ),
    "wrong task": (
        ("export", "mnist-mlp", "--task", "masked-lm"),
        "Model 'mnist-mlp' has no task 'masked-lm'.",
    ),
    "task of a run": (
        ("export", "runs/digits-mlp", "--task", "features"),
        "--task is for a model given by name",
    ),
    "a fraction that is none": (
        ("export", "runs/digits-mlp", "--max-drop", "0.5"),
        "'0.5' is not a percentage, such as 0.5%.",
    ),
    "a budget without a drop": (
        ("export", "runs/digits-mlp", "--max-mb", "1"),
        "--max-mb and --max-ms need --max-drop: how much accuracy may be lost?",
    ),
    "a budget without a run": (
        ("export", "mnist-mlp", "--max-drop", "1%"),
        "--max-drop is measured on a run's held-out examples, and 'mnist-mlp' is not a run folder.",
    ),
    "no bundle": (("verify", "bundles/none"), "bundles/none"),
    "no image": (
        ("predict", "bundles/digits-mlp", "nothing.png"),
        "There is no file 'nothing.png'",
    ),
    "no runtime": (
        ("predict", "bundles/digits-mlp", "digit.npy", "--runtime", "onx"),
        "Did you mean 'onnx'?",
    ),
    "bench of a model": (
        ("bench", "mnist-mlp"),
        "'mnist-mlp' is a model, not a bundle: export it first (zoo export mnist-mlp), or give "
        "--all-schemes.",
    ),
    "bench of no model": (
        ("bench", "mnist-mpl", "--all-schemes"),
        "There is no model 'mnist-mpl'. Did you mean 'mnist-mlp'?",
    ),
    "bench of no task": (
        ("bench", "mnist-mlp", "--all-schemes", "--task", "masked-lm"),
        "Model 'mnist-mlp' has no task 'masked-lm'. It has: image-classification, features.",
    ),
    "bench into no chart": (
        ("bench", "bundles/digits-mlp", "--chart", "chart.pdf"),
        "'chart.pdf' is not a chart file: its name must end in .svg or .png.",
    ),
    "bench of no threads": (
        ("bench", "bundles/digits-mlp", "--threads", "1,0"),
        "'1,0' is not a list of threads, such as 1, 1,2 or auto.",
    ),
    "bench of threads in other digits": (
        ("bench", "bundles/digits-mlp", "--threads", "1,²"),
        "'1,²' is not a list of threads, such as 1, 1,2 or auto.",
    ),
    "bench of all schemes with a folder of data": (
        ("bench", "mnist-mlp", "--all-schemes", "--data-dir", "none"),
        "--data-dir is for a bundle.",
    ),
    "bench of all schemes with a download": (
        ("bench", "mnist-mlp", "--all-schemes", "--download"),
        "--download is for a bundle.",
    ),
    "bench with a folder of no data": (
        ("bench", "bundles/digits-mlp", "--data-dir", "none"),
        "--data-dir is for --dataset.",
    ),
    "bench on one array": (
        ("bench", "bundles/digits-mlp", "--dataset", "array.npz"),
        "'array.npz' holds one array without a name, as a .npy file: write it with np.savez.",
    ),
    "bench with options of both kinds": (
        ("bench", "mnist-mlp", "--all-schemes", "--runs", "3"),
        "--runs is for a bundle.",
    ),
    "bench on no data": (
        ("bench", "bundles/digits-mlp", "--dataset", "digit.npz"),
        "'digit.npz' cannot be read",
    ),
    "a unprepared data set": (
        ("train", "digits-mlp", "--set", "dataset.name=mnist", "--out", "runs/y"),
        "--download",
    ),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_is_one_message_and_loses_nothing(road: Path, case: str) -> None:
    np.save(road / "digit.npy", np.zeros((8, 8), "uint8"))
    shutil.copy(road / "digit.npy", road / "array.npz")
    before = sorted(road.rglob("*"))
    arguments, message = WRONG_USE[case]
    done = zoo(*arguments, cwd=road)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6, done.stderr
    assert sorted(road.rglob("*")) == before


def test_a_recipe_file_with_five_mistakes_lists_all(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'sumary = "x"\n'
        '[model]\nname = "cnnn"\n'
        '[dataset]\nname = "digits"\ntset = "test"\n'
        "[fit]\nepochs = -1\n"
        '[compile]\nprecision = "float8"\n'
    )
    done = zoo("train", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    for word in ("sumary", "summary", "cnnn", "tset", "'test'", "epochs", "float8"):
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    "file", ["digits-mlp.onnx", "digits-mlp.tflite", "saved_model/saved_model.pb", "README.md"]
)
def test_a_changed_byte_is_refused(copy: Path, file: str) -> None:
    path = copy / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = zoo("verify", copy, cwd=copy.parent)
    assert done.returncode == 1
    assert file in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("file", ["manifest.json", "digits-mlp.onnx", "assets/samples.npz"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_bundle_is_refused(copy: Path, file: str, damage: str) -> None:
    path = copy / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    done = zoo("predict", copy, "x.npy", cwd=copy.parent)
    assert done.returncode in {1, 2}
    assert path.name in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_in_training_leaves_a_run_that_says_so(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo.cli", "train", "digits-mlp", "--set", "fit.epochs=100000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    record = tmp_path / "runs/digits-mlp/run.json"
    _wait_for(lambda: "epoch 2/" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert json.loads(record.read_text())["status"] == "interrupted"
    for command in ("evaluate", "export"):
        done = zoo(command, "runs/digits-mlp", cwd=tmp_path)
        assert done.returncode in {1, 2}
        assert "interrupted" in done.stderr


def test_ctrl_c_in_export_leaves_nothing(road: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo.cli", "export", "--no-cache", str(road / "runs/digits-mlp")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    _wait_for(lambda: children.read_text().split())
    running = children.read_text().split()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not list(tmp_path.rglob("*.onnx"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), 20)


def _wait_for(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def mounted(option: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run zoo with `cwd/small` mounted as a small, or a read-only, file system of its own."""
    (cwd / "small").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o {option} none small"
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, mount], cwd=cwd, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a process mount in a namespace of its own")
    return subprocess.run(
        [
            *unshare,
            f'{mount} && "$@"; code=$?; echo "left: $(ls -A small)"; exit $code',
            *("sh", sys.executable, "-m", "zoo.cli", *map(str, arguments)),
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_in_export_leaves_nothing(road: Path, tmp_path: Path) -> None:
    run = road / "runs/digits-mlp"
    done = mounted("size=64k", "export", run, "--out", "small/bundle", cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "left: \n" in done.stdout


def test_a_full_disk_in_training_says_so(tmp_path: Path) -> None:
    done = mounted("size=64k", "train", "digits-mlp", *SHORT, "--out", "small/run", cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_read_only_folder_is_said_before_any_work(
    road: Path, tmp_path: Path, command: str
) -> None:
    source = "digits-mlp" if command == "train" else road / "runs/digits-mlp"
    done = mounted("size=64k,ro", command, source, "--out", "small/out", cwd=tmp_path)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
