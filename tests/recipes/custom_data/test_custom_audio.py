"""Folders of sounds: what is read, what is told, and what a training makes of them."""

import numpy as np
import pytest
import soundfile

from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.custom_data.splitting import PARTS
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor

STEP = {"step": "audio", "sample_rate": 8000, "length": 6000}


@pytest.fixture
def sounds(tmp_path):
    """Return a folder with 30 tones of each of two classes, of several formats and rates."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    for label, hertz in (("high", 1500), ("low", 300)):
        (folder / label).mkdir(parents=True)
        for number in range(30):
            rate = (8000, 16_000, 11_025)[number % 3]
            times = np.arange(int(rate * rng.uniform(0.6, 1.4))) / rate
            tone = 0.5 * np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * times)
            samples = np.stack([tone, tone / 2], axis=1) if number % 5 == 0 else tone
            suffix = ("wav", "flac")[number % 2]
            soundfile.write(folder / label / f"{number:02d}.{suffix}", samples, rate)
    return folder


def test_training_hears_what_the_device_hears(sounds, tmp_path):
    builder = open_dataset(str(sounds), data_dir=tmp_path)
    parts = [
        read_split(builder, part, input="audio", label="label", steps=[STEP]) for part in PARTS
    ]
    preprocessor = Preprocessor([STEP])
    trained = preprocessor.batch([raw for part in parts for raw in part.raws])["audio"]
    files = sorted(file for file in sounds.rglob("*") if file.is_file())
    on_device = preprocessor.batch(files)["audio"]
    assert trained.shape == (60, 6000)
    assert sorted(row.tobytes() for row in trained) == sorted(row.tobytes() for row in on_device)
    plain = read_split(builder, "train", input="audio", label="label")
    assert plain.sha256 == parts[0].sha256
    np.testing.assert_array_equal(
        preprocessor.batch(plain.raws)["audio"], trained[: len(plain.raws)]
    )


def test_problems_lengths_and_mixtures_are_told(sounds):
    soundfile.write(sounds / "low" / "empty.wav", np.zeros(0), 8000)
    (sounds / "low" / "zero.flac").write_bytes(b"")
    (sounds / "low" / "broken.wav").write_bytes((sounds / "low" / "00.wav").read_bytes()[:20])
    soundfile.write(sounds / "low" / "loud.wav", np.full(99, 300.0), 8000, subtype="FLOAT")
    (sounds / "stray.wav").write_bytes(b"")
    report = inspect_data(sounds)
    assert report.kind == "sounds in classes"
    # Of 16,000 Hz some are, which the other would lose.
    assert report.recipes[0] == "speech-commands-ds-cnn"
    assert report.unit == "seconds"
    low, _, _, top = report.sizes["length"]
    assert 0.6 <= low < top <= 1.4
    assert list(report.notes) == [
        "several sample rates in Hz: 8,000 (20 files), 11,025 (20 files), 16,000 (20 files)",
        "several channels: 1 (48 files), 2 (12 files)",
    ]
    first, *others = report.problems
    assert first == "stray.wav: lies outside the class folders"
    assert others[0].startswith("low/broken.wav: cannot be read as audio: ")
    assert others[1:] == [
        "low/empty.wav: has no samples",
        "low/loud.wav: Samples in floats are in -1..1; these reach 300.0",
        "low/zero.flac: cannot be read as audio: Format not recognised",
    ]
    with pytest.raises(UsageError, match=r"have 5 problems:\n  stray\.wav: lies outside"):
        train("asterisk-ds-cnn", data=sounds, out=sounds.parent / "run")


def test_folders_named_after_splits_stay(sounds):
    for part in ("train", "test"):
        (sounds / part).mkdir()
    (sounds / "low").rename(sounds / "train" / "low")
    (sounds / "high").rename(sounds / "test" / "high")
    content = layout_of(sounds).read(sounds, {})
    assert {(e.split, e.values["label"]) for e in content.examples} == {
        ("train", "low"),
        ("test", "high"),
    }


def test_a_run_on_own_sounds(sounds, measured_again, tmp_path):
    small = ["fit.epochs=3", "fit.batch_size=8", "model.filters=8", "model.block_strides=[2]"]
    recipe = with_overrides(resolve_recipe("asterisk-ds-cnn"), small)
    with pytest.warns(
        UserWarning, match=r"^audio clips longer than the 8000 samples of the model were"
    ):
        run = train(recipe, data=sounds, out=tmp_path / "run", data_dir=tmp_path, verbose=False)
    assert run.info["labels"] == ["high", "low"]
    assert run.info["truncated"]["train"] > 0
    assert measured_again(run, data_dir=tmp_path) == run.metrics
