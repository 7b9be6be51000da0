"""A model larger than the free memory is refused before anything is allocated."""

from __future__ import annotations

import pytest

import zoo
from zoo_registry import UsageError, build, models
from zoo_registry.machine import free_bytes


def test_a_model_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "free_bytes", lambda: 20_000_000_000)
    with pytest.raises(UsageError) as raised:
        zoo.get_model("llama-7b")
    assert str(raised.value) == (
        "Model 'llama-7b' has 27.0 GB of weights, and 20.0 GB of memory are free: choose a "
        "smaller model, or set KERAZOO_ANY_SIZE=1 to build it all the same."
    )
    # It is only sized: that takes no memory.
    assert zoo.size("llama-7b").num_params == 6_738_415_616


def test_sizes_of_the_caller_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "free_bytes", lambda: 10_000_000)
    small = {"input_shape": (4, 4, 1)}
    assert zoo.get_model("mnist-mlp", hidden_dims=(8,), **small).count_params() < 1000
    with pytest.raises(UsageError, match=r"has 47 MB of weights, and 10 MB of memory"):
        zoo.get_model("mnist-mlp", hidden_dims=(100_000, 100), **small)
    monkeypatch.setenv("KERAZOO_ANY_SIZE", "1")
    assert zoo.get_model("mnist-mlp", hidden_dims=(100_000, 100), **small).count_params() > 10e6


def test_what_surely_fits_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "WEIGHT_BYTES", "nowhere:nothing")
    build.check_memory(models.get("mnist-mlp"), {"hidden_dims": (16,)})


def test_the_memory_that_is_free() -> None:
    free = free_bytes()
    assert free is None or 1_000_000 < free < 1 << 50
