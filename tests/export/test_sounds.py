"""A run on sounds as a bundle: predictions from files, and int8 files that still hear."""

import numpy as np
import pytest
import soundfile

from zoo_export import ExportError, export
from zoo_export.converters.litert import schemes as tflite_schemes
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import load_target
from zoo_runtime.errors import VerificationError
from zoo_runtime.formats import TFLITE_SCHEMES
from zoo_runtime.preprocessing_checks import check_preprocessing
from zoo_runtime.tensors import Tensor

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sounds")]

TONES = {"high": 2500, "low": 300, "middle": 900}
FORMATS = ["tflite", "onnx", "tflite:int8", "onnx:int8"]


def tone(hertz, seed, rate=8000):
    rng = np.random.default_rng(seed)
    times = np.arange(int(rate * rng.uniform(0.4, 1))) / rate
    # From loud to soft by 40 decibels: as powers by 80, far more than eight bits hold.
    loudness = 10 ** rng.uniform(-2, -0.2)
    wave = np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * times)
    return loudness * (wave + rng.normal(0, 0.02, len(times)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tones")
    for label, hertz in TONES.items():
        (folder / "data" / label).mkdir(parents=True)
        for seed in range(80):
            file = folder / "data" / label / f"{seed}.wav"
            soundfile.write(file, tone(hertz, seed), 8000)
    small = ["model.filters=32", "model.block_strides=[2,1]", "fit.epochs=12", "fit.batch_size=16"]
    recipe = with_overrides(resolve_recipe("asterisk-ds-cnn"), small)
    return train(recipe, data=folder / "data", out=folder / "run", data_dir=folder, verbose=False)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export(run.path, to=FORMATS, out=tmp_path_factory.mktemp("bundles") / "tones")


def test_int8_files_keep_the_accuracy_as_their_front_end_stays_in_float(run, bundle):
    assert run.metrics["accuracy"] > 0.9
    for artifact in bundle.artifacts:
        figures = artifact.verification
        assert figures.keras_accuracy == pytest.approx(run.metrics["accuracy"])
        assert abs(figures.accuracy - figures.keras_accuracy) < 0.05
        kept = artifact.facts.get("float_layers")
        assert kept == (["spectrogram"] if ":" in artifact.format else None)
    held = bundle.artifact("tflite:int8").facts
    weights, constants = held["weights"], held["float_constants"]
    assert weights["int8"] > 0.5 * (sum(weights.values()) - constants)
    said = "Layers that stayed in float32: spectrogram."
    assert said in (bundle.path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["dynamic-int8", "int8-io", "int16x8", "int4-weights"])
def test_schemes_that_would_reach_the_front_end_are_refused(run, scheme, tmp_path):
    (convert,) = (row.converter for row in TFLITE_SCHEMES if row.name == scheme)
    with pytest.raises(ExportError) as caught:
        load_target(convert)(Conversion(run.model(), (), (), tmp_path / "tones.tflite"))
    assert str(caught.value) == (
        "layer 'spectrogram' has to stay in float, and LiteRT's converter leaves no layer out of "
        "this scheme: tflite:int8 does"
    )


def test_several_batch_sizes_are_refused_in_int8(run, tmp_path):
    tensor = Tensor("audio", "float32", (1, 8000))
    path = tmp_path / "tones.tflite"
    with pytest.raises(ExportError) as caught:
        tflite_schemes.int8(
            Conversion(run.model(), (tensor,), (), path, options=ExportOptions(batch_sizes=(1, 4)))
        )
    assert str(caught.value) == (
        "layer 'spectrogram' has to stay in float, which the converter does in files of one batch "
        "size alone"
    )


def test_files_of_any_rate_and_samples_give_the_same_answer(bundle, tmp_path):
    sound = tone(TONES["low"], seed=1000).astype(np.float32)
    soundfile.write(tmp_path / "low.wav", sound, 8000, subtype="FLOAT")
    doubled = tone(TONES["low"], seed=1000, rate=16_000)
    soundfile.write(tmp_path / "low.flac", np.stack([doubled, doubled], axis=1), 16_000)
    for runtime in FORMATS:
        raws = [tmp_path / "low.wav", sound, (sound, 8000), tmp_path / "low.flac"]
        predictions = bundle.predict(raws, runtime=runtime)
        assert [prediction.label for prediction in predictions] == ["low"] * 4
        same = [prediction.probability for prediction in predictions[:3]]
        assert max(same) - min(same) < 1e-5


def test_other_preprocessing_than_at_export_is_found(bundle, tmp_path):
    stored = dict(np.load(bundle.path / "assets" / "probes.npz"))
    assert stored["raw"].shape == (1, 2750, 2)
    assert stored["x/audio"].shape == (1, 8000)
    check_preprocessing(bundle.manifest, bundle.path / "assets")
    stored["x/audio"] = stored["x/audio"] + 0.01
    np.savez(tmp_path / "probes.npz", **stored)
    with pytest.raises(VerificationError, match=r"^Preprocessing gives another 'audio' here"):
        check_preprocessing(bundle.manifest, tmp_path)
