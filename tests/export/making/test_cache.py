"""An unchanged export is a copy; whatever changes makes it a new one."""

import importlib
import json
import os
import sys

import numpy as np
import pytest

import zoo_registry
from zoo_export import export, load_bundle
from zoo_export.making import cache
from zoo_registry import ModelSpec
from zoo_registry.registry import Registry

pytestmark = pytest.mark.slow


@pytest.fixture
def states(make_run, tmp_path, monkeypatch):
    """Export a run in one cache and return what happened to each format."""
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    run, count = make_run(), iter(range(9))

    def once(**options):
        events = []
        out = tmp_path / f"bundle{next(count)}"
        options = {"to": ["saved_model"], "cached": True, **options}
        bundle = export(run, out=out, on_event=lambda e: events.append(e.state), **options)
        return bundle, events

    return once


def test_the_second_export_is_taken_from_the_cache(states):
    first, converted = states()
    second, taken = states()

    assert (converted, taken) == (["started", "verified"], ["cached"])
    assert second.manifest == first.manifest
    assert load_bundle(second.path).manifest == first.manifest
    assert states(cached=False)[1] == ["started", "verified"]
    assert states(labels=[str(i) for i in range(10)])[1] == ["started", "verified"]


def test_a_damaged_entry_is_dropped_and_made_again(states, tmp_path):
    states()
    (entry,) = (tmp_path / "cache/bundles").iterdir()
    (entry / "README.md").write_text("changed")

    assert states()[1] == ["started", "verified"]
    assert states()[1] == ["cached"]


def test_the_key_tells_weights_files_options_and_code_apart(make_run, dense, tmp_path):
    model, run = dense(), make_run()
    keys = {
        cache.key_of(model, {}),
        cache.key_of(run, {}),
        cache.key_of(run, {"formats": ["onnx"]}),
    }
    rows = np.zeros((8, 4), np.float32)
    keys |= {cache.key_of(model, {"calibration": {"features": rows + i}}) for i in (0, 1)}
    model.set_weights([weight + 1 for weight in model.get_weights()])
    keys.add(cache.key_of(model, {}))
    assert len(keys) == 6

    before = cache.key_of(run, {})
    (run / "history.json").write_text("{}")  # nothing that an export reads
    assert cache.key_of(run, {}) == before
    (run / "assets").mkdir(exist_ok=True)
    (run / "assets" / "words.txt").write_text("a")
    assert cache.key_of(run, {}) != before


@pytest.fixture
def own_code(site):
    """Lay out a function that is registered with Keras, and what its module imports."""
    code = {
        "own_numbers": "FACTOR = 2.0\n",
        "own_functions": (
            "import keras\n"
            "@keras.saving.register_keras_serializable('own')\n"
            "def scaled(x):\n"
            "    from own_numbers import FACTOR\n"
            "    return FACTOR * x\n"
        ),
        "own_models": (
            "import keras\n"
            "from own_functions import scaled\n"
            "def net():\n"
            "    inputs = keras.Input((4,), name='features')\n"
            "    return keras.Model(inputs, keras.layers.Dense(3, activation=scaled)(inputs))\n"
        ),
    }
    site.install("own", "", **code)
    return site.folder


@pytest.mark.parametrize("changed", ["own_functions", "own_numbers"])
def test_the_key_tells_the_code_of_a_models_functions_apart(own_code, changed):
    model = importlib.import_module("own_models").net()
    before = cache.key_of(model, {})
    assert cache.key_of(model, {}) == before
    os.utime(own_code / f"{changed}.py", (100, 100))
    assert cache.key_of(model, {}) != before


@pytest.mark.parametrize("changed", ["own_models", "own_functions", "own_numbers"])
def test_the_key_of_a_run_tells_the_code_of_its_builder_apart(
    own_code, make_run, monkeypatch, changed
):
    fresh = Registry(
        "model",
        group="zoo.models",
        builtin="zoo_models.catalog:MODELS",
        coerce="zoo_registry.specs:as_model_spec",
    )
    fresh.add("own-net", ModelSpec(name="own-net", builder="own_models:net"))
    monkeypatch.setattr(zoo_registry, "models", fresh)
    run = make_run()
    info = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps({**info, "model": {"name": "own-net"}}))
    before = cache.key_of(run, {})
    assert cache.key_of(run, {}) == before
    os.utime(own_code / f"{changed}.py", (100, 100))
    assert cache.key_of(run, {}) != before
    # To tell costs no import.
    assert "own_models" not in sys.modules


def test_the_oldest_entries_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_MOST_BYTES", 2500)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "file").write_bytes(b"0" * 1000)
    for age, key in enumerate(["third", "second", "first"]):
        cache.keep(key, tmp_path / "bundle")
        os.utime(tmp_path / "cache/bundles" / key, (100 - age, 100 - age))
    cache.keep("last", tmp_path / "bundle")

    assert {path.name for path in (tmp_path / "cache/bundles").iterdir()} == {"last", "third"}


def test_what_a_killed_process_left_in_the_cache_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/bundles/.other.abcd1234.unfinished/bundle").mkdir(parents=True)
    (tmp_path / "bundle").mkdir()
    cache.keep("key", tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "cache/bundles").iterdir()] == ["key"]


def test_a_cache_that_cannot_be_written_costs_no_export(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "file"))
    (tmp_path / "bundle").mkdir()

    cache.keep("key", tmp_path / "bundle")

    assert cache.take("key", tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


def test_tensors_as_samples_are_found_again(dense, tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    model, states = dense(), []
    for number, samples in enumerate((tf.ones((2, 4)), np.ones((2, 4), "float32"))):
        export(
            model,
            to=["saved_model"],
            out=tmp_path / str(number),
            samples={"features": samples},
            cached=True,
            on_event=lambda event: states.append(event.state),
        )
    assert states == ["started", "verified", "cached"]
