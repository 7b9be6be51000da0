"""A model larger than the free memory is refused before anything is allocated."""

from __future__ import annotations

import zipfile

import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli
from zoo_models import memory
from zoo_registry import UsageError, ZooError, models
from zoo_system.machine import free_bytes


def test_a_model_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 20_000_000_000)
    with pytest.raises(UsageError) as raised:
        zoo.get_model("llama-7b")
    assert str(raised.value) == (
        "Model 'llama-7b' has 27.0 GB of weights, and 20.0 GB of memory are free: choose a "
        "smaller model, or set KERAZOO_ANY_SIZE=1 to build it all the same."
    )
    done = CliRunner().invoke(cli, ["export", "llama-7b", "--to", "onnx", "--out", "nowhere"])
    assert str(done.exception) == str(raised.value)
    # It is only sized: that takes no memory.
    assert zoo.size("llama-7b").num_params == 6_738_415_616


def test_sizes_of_the_caller_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_000_000)
    small = {"input_shape": (4, 4, 1)}
    assert zoo.get_model("mnist-mlp", hidden_dims=(8,), **small).count_params() < 1000
    with pytest.raises(UsageError, match=r"has 47 MB of weights, and 10 MB of memory"):
        zoo.get_model("mnist-mlp", hidden_dims=(100_000, 100), **small)
    monkeypatch.setenv("KERAZOO_ANY_SIZE", "1")
    assert zoo.get_model("mnist-mlp", hidden_dims=(100_000, 100), **small).count_params() > 10e6


def test_what_surely_fits_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "weight_bytes", None)
    memory.check_memory(models.get("mnist-mlp"), {"hidden_dims": (16,)})


def test_a_file_that_claims_more_than_the_memory_is_not_built(tmp_path, monkeypatch) -> None:
    import keras
    from keras import layers

    from zoo_export import export
    from zoo_models.memory import file_bytes
    from zoo_recipes.run import Run
    from zoo_runtime.run_info import ModelInfo, RunInfo

    steps = keras.Input((5, 3), batch_size=2, name="steps")
    # A state has a value: such a layer cannot be made without.
    kept = layers.LSTM(4, stateful=True)(steps)
    model = keras.Model(steps, layers.Dense(77, name="logits")(kept))
    whole, hostile = tmp_path / "whole.keras", tmp_path / "model.keras"
    model.save(whole)
    seeds = 2 * 2 * 4
    assert file_bytes(whole) == 4 * model.count_params() + seeds
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(hostile, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b'"units": 77', b'"units": 10000000000'))
    info = RunInfo(status="complete", recipe={"name": "mine"}, model=ModelInfo(name="mlp"))
    info.write(tmp_path)
    for load in (
        lambda: zoo.load_model(hostile),
        lambda: Run(tmp_path, info).model(),
        lambda: export(tmp_path, to="onnx", out=tmp_path / "out"),
    ):
        with pytest.raises(UsageError, match=r"model\.keras' has 200\.0 GB of weights, and "):
            load()
    hostile.write_bytes(whole.read_bytes()[:-99])
    with pytest.raises(ZooError, match=r"model\.keras' is not a complete Keras file: BadZipFile: "):
        zoo.load_model(hostile)


def test_the_memory_that_is_free() -> None:
    free = free_bytes()
    assert free is None or 1_000_000 < free < 1 << 50
