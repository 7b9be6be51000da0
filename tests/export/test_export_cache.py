"""An unchanged export is a copy; whatever changes makes it a new one."""

import os

import numpy as np
import pytest

from zoo_export import cache, export, load_bundle

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
    (run / "assets").mkdir()
    (run / "assets" / "words.txt").write_text("a")
    assert cache.key_of(run, {}) != before


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
