"""A run and a bundle of it are one thing to whoever uses a trained model."""

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli
from zoo_export import bench
from zoo_recipes.run import Run, open_trained
from zoo_registry import UsageError
from zoo_runtime.bundle import Bundle


def test_a_run_and_its_bundle_answer_alike(make_run, exported, digits, tmp_path):
    run, bundle = open_trained(make_run()), open_trained(exported.path)
    assert (type(run), type(bundle)) == (Run, Bundle)
    for member in ("name", "task", "labels", "preprocessing", "decoding", "inputs"):
        assert getattr(run, member) == getattr(bundle, member), member
    assert [tensor.name for tensor in run.outputs] == [tensor.name for tensor in bundle.outputs]
    assert (run.runtime(), bundle.runtime("onnx")) == ("keras", "onnx")
    assert bundle.training.dataset == run.training.dataset
    assert bundle.training.recipe == run.training.recipe

    pictures = [image[..., 0] for image in digits[0][:5]]
    for ours, theirs in zip(run.predict(pictures), bundle.predict(pictures), strict=True):
        assert (ours.label, len(ours.top)) == (theirs.label, 5)
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    with pytest.raises(UsageError, match=r"There is no input 'imgae'\. Did you mean 'image'\?"):
        run.runner().run({"imgae": digits[0][:1]})

    np.save(tmp_path / "digit.npy", pictures[0])
    said = [
        CliRunner().invoke(cli, ["predict", str(path), str(tmp_path / "digit.npy"), "--json"])
        for path in (run.path, bundle.path)
    ]
    for trained in (run, run.path, bundle, str(bundle.path)):
        [found] = zoo.predict(trained, pictures[0], top_k=2)
        assert (found.label, len(found.top)) == (run.predict(pictures[0])[0].label, 2)
    first, second = (done.output.splitlines()[1] for done in said)
    assert first == second == f'  "label": "{run.predict(pictures[0])[0].label}",'


def test_what_a_run_is_not_for(make_run, tmp_path):
    run = make_run()
    keras = f"Run '{run}' runs in Keras: export it (zoo export {run} --to onnx) and use the bundle."
    for words, message in (
        (["--threads", "2"], "--threads is for a bundle."),
        (["--runtime", "onnx"], keras),
    ):
        np.save(tmp_path / "digit.npy", np.zeros((8, 8)))
        done = CliRunner().invoke(cli, ["predict", str(run), str(tmp_path / "digit.npy"), *words])
        assert isinstance(done.exception, UsageError), done.output
        assert str(done.exception) == message
    with pytest.raises(UsageError, match=rf"^threads=2 is for a bundle, and '{run}' is a run\.$"):
        zoo.predict(run, np.zeros((8, 8)), threads=2)
    with pytest.raises(UsageError, match="runs in Keras: export it"):
        bench(run, only=["tflite"])
    with pytest.raises(
        UsageError, match=r"^3 is neither a run nor a bundle: give one, or its folder\.$"
    ):
        open_trained(3)


@pytest.mark.slow
def test_a_run_is_measured_in_keras(make_run, digits):
    images, labels = digits
    run = make_run()
    (row,) = bench(run, runs=3, data=({"image": images[:40]}, labels[:40])).rows
    expected = (Run.model(open_trained(run)).predict(images[:40], verbose=0).argmax(-1)).tolist()
    assert (row.format, row.error, row.latency.runs, row.batch) == ("keras", None, 3, 8)
    assert row.accuracy == pytest.approx(np.mean(expected == labels[:40]))
    assert (row.max_abs_diff, row.bytes) == (None, (run / "model.keras").stat().st_size)
    (run / "model.keras").unlink()
    (row,) = bench(run, runs=1).rows
    assert f"'{run}/model.keras' cannot be loaded: File not found" in row.error
