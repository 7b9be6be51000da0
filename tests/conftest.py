"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo_export.making import assembly
from zoo_registry import plugins
from zoo_system.fast_keras import fast_keras

ROOT = Path(__file__).parent.parent
# What `make quick` leaves out beside slow tests: it converts, trains, or builds many models.
_LEFT_OUT = (
    *("tests/cli/test_suggestions", "tests/export/benchmarking", "tests/export/converters"),
    *("tests/export/making", "tests/export/reading", "tests/export/runtime/test_hostile"),
    *("tests/export/runtime/test_trained", "tests/export/test_", "tests/recipes/datasets"),
    *("tests/recipes/custom_data/test_custom_folds", "tests/recipes/custom_data/test_custom_r"),
    *("tests/recipes/custom_data/test_custom_training", "tests/recipes/evaluation/test_evaluating"),
    *("tests/recipes/tasks/test_pairs", "tests/recipes/training", "tests/weights", "tests/zoo"),
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A shell starts what it puts into the background with Ctrl-C ignored, and so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
fast_keras()


def _draw_the_same(place: str) -> None:
    """Have what is drawn from here on depend on a name, not on the tests that ran before.

    Keras draws the seeds of its initializers and layers from Python's ``random``.
    """
    random.seed(zlib.crc32(place.encode()))
    np.random.seed(zlib.crc32(place.encode()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(ROOT).as_posix()
        is_doctest = isinstance(item, pytest.DoctestItem)
        if not (is_doctest or item.get_closest_marker("slow") or place.startswith(_LEFT_OUT)):
            item.add_marker("quick")


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> None:
    instance = getattr(request, "param_index", "")
    _draw_the_same(f"{fixturedef.baseid}::{fixturedef.argname}{instance}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    _draw_the_same(f"{item.path.name}::{item.name}")


@pytest.fixture(scope="session", autouse=True)
def standard_of_onnx() -> Iterator[list[str]]:
    """Run every ONNX file that this process exports in the standard's own evaluator too."""
    verified, faults = assembly.verified, []

    def also_by_the_standard(source: Any, row: Any, converted: Any) -> Any:
        artifact = verified(source, row, converted)
        if artifact.path.endswith(".onnx"):
            from onnx_standard import faults_of

            found = faults_of(source, row, converted.job)
            faults.extend(f"{artifact.path} is wrong by the standard: {fault}" for fault in found)
        return artifact

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "verified", also_by_the_standard)
        yield faults


@pytest.fixture(autouse=True)
def right_by_the_standard(standard_of_onnx: list[str]) -> Iterator[None]:
    """Fail the test whose ONNX file ONNX Runtime alone takes for right."""
    yield
    faults = list(standard_of_onnx)
    standard_of_onnx.clear()
    assert not faults


@pytest.fixture(scope="session")
def byte_writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a language model that was not trained: it writes any bytes.

    A token is a byte, so a character that is drawn may be half a one. Tests that take it are of
    the group ``writer``: it is exported once.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from zoo_export import export
    from zoo_models.build import get_model

    folder, length = tmp_path_factory.mktemp("writer"), 1024
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    (folder / "assets").mkdir()
    tokenizer.save(str(folder / "assets" / "tokenizer.json"))
    sizes = {"vocab_size": 256, "max_length": length, "num_layers": 1, "hidden_dim": 16}
    model = get_model("gpt-nano", task="causal-lm", num_heads=2, **sizes)
    steps = [{"step": "tokenize", "length": length, "padding_mask": False}]
    given = {"task": "causal-lm", "preprocessing": steps, "assets": folder / "assets"}
    return export(model, to=["onnx", "tflite"], out=folder / "writer", name="writer", **given).path


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheels of this repository by distribution: those that CI built, or new ones."""
    folder = Path(os.environ.get("KERAZOO_TEST_WHEELS") or tmp_path_factory.mktemp("wheels"))
    if not any(folder.iterdir()):
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        for project in (ROOT / "runtime", ROOT):
            subprocess.run([*build, project], check=True, capture_output=True)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


@pytest.fixture
def fresh_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a process of its own, where nothing was imported before."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


class Site:
    """A folder on ``sys.path`` where distributions are laid out as pip installs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self, distribution: str, entry_points: str, version: str = "1.0", **modules: str
    ) -> None:
        """Lay out one distribution with its entry points and modules."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(entry_points)
        for module, text in modules.items():
            (self.folder / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Return a site folder that this process and its children import from."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv(plugins.ENVIRONMENT_VARIABLE, raising=False)
    plugins.installed.cache_clear()
    yield Site(folder)
    plugins.installed.cache_clear()
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
