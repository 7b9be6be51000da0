"""Running bundles: every runtime, by name, any batch; what the outputs mean."""

import importlib.util
import subprocess
import sys
import threading

import numpy as np
import pytest

import zoo_registry
from zoo_export import MissingRuntimeError, load_bundle, measure, verify
from zoo_registry import UsageError
from zoo_runtime.answers.prediction import answer
from zoo_runtime.formats import FORMATS
from zoo_runtime.manifest import Manifest
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Tensor

RUNTIMES = list(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_predictions_are_those_of_keras(exported, trained, digits, runtime):
    images = digits[0][100:120]
    expected = np.asarray(trained(images))

    predictions = exported.predict(list(images), runtime=runtime, top_k=3)

    assert [p.index for p in predictions] == expected.argmax(-1).tolist()
    first = predictions[0]
    assert first.label == f"digit {first.index}"
    assert first.probability == first.probabilities.max()
    assert first.probabilities.sum() == pytest.approx(1)
    assert len(first.top) == 3
    assert first.top[0] == (first.label, first.probability)
    np.testing.assert_allclose(first.outputs["logits"], expected[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_batch_runs(exported, trained, digits, runtime, batch):
    images = digits[0][:batch]
    outputs = exported.run({"image": images}, runtime=runtime)
    np.testing.assert_allclose(outputs["logits"], np.asarray(trained(images)), atol=1e-4)


@pytest.mark.slow
def test_one_raw_input_or_a_list(exported, digits):
    one = exported.predict(digits[0][0])
    assert len(one) == 1
    assert one[0].index == exported.predict([digits[0][0]])[0].index == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"imag": np.zeros((1, 8, 8, 1))}, "no input 'imag'. Did you mean 'image'? Inputs: image."),
        ({}, "Input 'image' is missing. Inputs: image."),
        (
            {"image": np.zeros((1, 9, 8, 1))},
            "Input image: float32[batch, 8, 8, 1] got an array of shape (1, 9, 8, 1).",
        ),
        ({"image": np.zeros((8, 8, 1))}, "got an array of shape (8, 8, 1)."),
        ({"image": np.zeros((0, 8, 8, 1))}, "got an empty array of shape (0, 8, 8, 1)."),
        ({"image": np.full((1, 8, 8, 1), "a")}, "'image' takes float32 and got <U1: convert it"),
    ],
)
def test_wrong_inputs(exported, inputs, message):
    with pytest.raises(UsageError) as caught:
        exported.run(inputs)
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_format_that_the_bundle_lacks(exported, monkeypatch):
    artifacts = tuple(a for a in exported.artifacts if a.format != "onnx")
    monkeypatch.setattr(type(exported), "artifacts", artifacts)
    with pytest.raises(UsageError, match=r"has no format 'onnx'\. It has: tflite, saved_model\."):
        exported.predict(np.zeros((8, 8)), runtime="onnx")


@pytest.mark.slow
def test_a_runtime_that_is_not_installed(exported, monkeypatch):
    bundle = load_bundle(exported.path)
    find = importlib.util.find_spec
    gone = {"ai_edge_litert"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in gone else find(n))

    with pytest.raises(MissingRuntimeError) as caught:
        bundle.run({"image": np.zeros((1, 8, 8, 1))}, runtime="tflite")
    assert str(caught.value) == (
        "Format 'tflite' needs the package 'ai-edge-litert', which is not installed: "
        "pip install 'kerazoo-runtime[litert]'"
    )
    assert bundle.artifact().format == "onnx"

    gone |= {"onnxruntime", "tensorflow"}
    with pytest.raises(MissingRuntimeError) as caught:
        bundle.run({"image": np.zeros((1, 8, 8, 1))})
    assert str(caught.value) == (
        f"No runtime for bundle '{bundle}' is installed: pip install 'kerazoo-runtime[litert]' or "
        "'kerazoo-runtime[onnx]' or tensorflow"
    )


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["tflite", "onnx"])
def test_threads(exported, runtime):
    zeros = {"image": np.zeros((1, 8, 8, 1))}
    one, two = (exported.run(zeros, runtime, threads=count)["logits"] for count in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6)
    for count in (0, 1025, 1_000_000):
        with pytest.raises(UsageError, match=f"^threads={count}: use 1 to 1024, or leave it out.$"):
            exported.run(zeros, runtime, threads=count)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_session_shared_between_threads(exported, digits, runtime):
    expected = exported.run({"image": digits[0][:40]}, runtime)["logits"]
    wrong = []

    def check(row):
        for _ in range(20):
            got = exported.run({"image": digits[0][row : row + 1]}, runtime)["logits"]
            if not np.allclose(got, expected[row], atol=1e-5):
                wrong.append(row)

    workers = [threading.Thread(target=check, args=(row,)) for row in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.slow
def test_latency_of_every_format(exported):
    times = measure(exported, runs=5)
    assert list(times) == RUNTIMES
    assert all(0 < milliseconds < 1000 for milliseconds in times.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "own"), [("onnx", "onnxruntime"), ("tflite", "ai_edge_litert")]
)
def test_a_device_needs_numpy_and_one_runtime(exported, runtime, own):
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        heavy = ("tensorflow", "keras", "onnx", "tf2onnx", "sklearn", "pydantic", "onnxruntime",
                 "ai_edge_litert")
        if name.partition(".")[0] in heavy and name.partition(".")[0] != {own!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from zoo_export import load_bundle
bundle = load_bundle(sys.argv[1])
print(bundle.predict(np.zeros((8, 8), "uint8"), runtime={runtime!r})[0].label[:5])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "digit"


# -- pieces that need no bundle -----------------------------------------------------------------


class _Recorder:
    def __init__(self):
        self.batches = []

    def run(self, arrays):
        self.batches.append(arrays["x"][:, 0].tolist())
        return {"y": arrays["x"] * 2}


def test_the_batches_that_fit_best_are_run_and_the_last_is_filled_up():
    session = _Recorder()
    x, y = Tensor("x", "float32", (2, 1)), Tensor("y", "float32", (2, 1))

    outputs = Runner(session, [x], [y], [3, 5]).run({"x": np.arange(7)[:, None]})

    assert session.batches == [[0, 1, 2, 3, 4], [5, 6, 6]]
    assert outputs["y"][:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]


def test_a_fixed_batch_is_filled_up_and_cut_again():
    session = _Recorder()
    x, y = Tensor("x", "float32", (2, 1)), Tensor("y", "float32", (2, 1))

    outputs = Runner(session, [x], [y]).run({"x": np.array([[1], [2], [3]])})

    assert session.batches == [[1, 2], [3, 3]]
    assert outputs["y"].tolist() == [[2], [4], [6]]


def _manifest(task, labels=None):
    return Manifest(
        name="m", task=task, labels=labels, inputs=(), outputs=(), files={}, artifacts=()
    )


def test_the_next_token_is_read_where_the_text_ends(tmp_path):
    logits = np.zeros((2, 4, 3), "float32")
    logits[0, 1, 2] = 9
    logits[0, 3, 1] = 9
    logits[1, 3, 0] = 9

    found = answer(_manifest("causal-lm"), tmp_path, {"logits": logits}, ends=np.array([1, 3]))

    assert [(p.index, p.label) for p in found] == [(2, "2"), (0, "0")]


def test_one_logit_is_no_or_yes(tmp_path):
    outputs = {"logits": np.array([[-4.0], [4.0]])}
    found = answer(_manifest("text-classification", ("no", "yes")), tmp_path, outputs)
    assert [p.label for p in found] == ["no", "yes"]


def test_features_are_given_raw(tmp_path):
    [row] = answer(_manifest("features"), tmp_path, {"pooled_output": np.ones((1, 3))})
    assert row.label is None
    assert row.outputs["pooled_output"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("word", "name"), [("litert", "tflite"), ("savedmodel", "saved_model")])
def test_aliases(word, name):
    assert zoo_registry.formats.get(word).name == name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "provider"),
    [
        ("tflite", "xnnpack"),
        ("tflite", "builtin"),
        ("tflite", "reference"),
        ("onnx", "cpu"),
        ("onnx", "CPUExecutionProvider"),
        ("saved_model", "cpu"),
    ],
)
def test_every_provider_gives_the_same(exported, digits, runtime, provider):
    images = {"image": digits[0][:3]}
    expected = exported.run(images, runtime)["logits"]
    got = exported.run(images, runtime, provider=provider)["logits"]
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "provider", "message"),
    [
        (
            "tflite",
            "xnpack",
            "There is no provider 'xnpack' of ai-edge-litert here. Did you mean 'xnnpack'? "
            "There are: xnnpack, builtin, reference, DELEGATE.so.",
        ),
        ("tflite", "gone/libdelegate.so", "There is no delegate 'gone/libdelegate.so'."),
        ("onnx", "quantum", "There is no provider 'quantum' of onnxruntime here. There are:"),
        ("saved_model", "tpu", "There is no provider 'tpu' of tensorflow here."),
    ],
)
def test_a_provider_that_is_not_there(exported, runtime, provider, message):
    with pytest.raises(UsageError) as caught:
        exported.run({"image": np.zeros((1, 8, 8, 1))}, runtime, provider=provider)
    assert str(caught.value).startswith(message)


@pytest.mark.slow
def test_a_provider_belongs_to_a_runtime(exported):
    with pytest.raises(UsageError, match=r"'builtin' belongs to one runtime: name it too"):
        verify(exported, provider="builtin")
    [figures] = verify(exported, runtime="tflite", provider="builtin")
    assert figures.format == "tflite"
