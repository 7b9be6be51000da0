"""Plugins that do at import what no plugin should, all installed at once: nobody else is harmed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

BUILD = """
def build():
    import keras
    x = keras.Input((4,), name="features")
    return keras.Model(x, keras.layers.Dense(2, name="logits")(x))
"""
# What a module does before it defines a builder, and how `zoo plugins` calls it.
AT_IMPORT = {
    "leaves": ("import sys; sys.exit()", "SystemExit"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base": ("class Odd(BaseException): pass\nraise Odd('away')", "Odd: away"),
    "mute": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError('no words')\nraise Mute()",
        "Mute: <exception str() failed>",
    ),
    "gone": ("import os; os._exit(0)", "it ended its process with exit code 0"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "it ended its process by SIGSEGV"),
    "killed": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "it ended its process by SIGKILL",
    ),
    "colours": (
        r"raise ValueError('\x1b[31mred\x00 \udc80')",
        r"ValueError: \x1b[31mred\x00 \udc80",
    ),
    "endless": ("raise ValueError('x' * 10**6)", f"ValueError: {'x' * 300}"),
    "lies": (
        "import zoo_registry\n"
        "build = zoo_registry.ModelSpec(name='lies', builder='a:b', num_params=float('nan'), "
        "tasks='abc', summary=3, inputs=['x'], defaults={1: 2})",
        "UsageError: Model 'lies': summary is 3, not a text; tasks is 'abc', not a list of texts; "
        "defaults is {1: 2}, not a mapping of names to values; num_params is nan, not a whole "
        "number from 0 on, or None; inputs is ('x',), not a list of TensorSpec.",
    ),
    "sleeps": ("import time; time.sleep(600)", "it took longer than 2 s"),
    "closes": ("import os; os.closerange(3, 99)", "it ended its process with exit code 1"),
}
HARMLESS = {
    "prints": "import os; print('[1, 2]'); os.system('echo hello')",
    "replaces": "import sys; sys.stdout = sys.stderr = None",
    "moves": "import os; os.chdir('/')",
    "ends-late": "import atexit; atexit.register(lambda: print('late'))",
    "patches": "import json; json.dumps = None",
    "threads": "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
}
AT_BUILD = {"builds-out": "def build(): raise SystemExit(3)", "builds-none": "def build(): pass"}
DATA = """
import tensorflow_datasets as tfds
class Abstract(tfds.core.GeneratorBasedBuilder):
    "Without a version."
"""


@pytest.fixture
def hostile(site, monkeypatch):
    for name, (text, _) in AT_IMPORT.items():
        install(site, name, f"{text}\n{BUILD}")
    for name, text in HARMLESS.items():
        install(site, name, f"{text}\n{BUILD}")
    install(site, "catalog-zoo", "import sys; sys.exit(0)", group="zoo.catalogs")
    install(site, "no_format", "raise KeyboardInterrupt", group="zoo.formats")
    install(site, "good", BUILD)
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "2")
    return site


def install(site, name: str, text: str, group: str = "zoo.models", value: str = "build") -> None:
    module = f"{name.replace('-', '_')}_module"
    entry = (
        f"[{group}]\n{name.replace('-', '_' if 'datasets' in group else '-')} = {module}:{value}\n"
    )
    site.install(f"{name}-plugin", entry, **{module: text})


def zoo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoo.cli", *arguments], capture_output=True, text=True, check=False
    )


def test_every_listing_works(hostile) -> None:
    every = zoo("models", "--json")
    assert every.returncode == 0
    names = {row["name"] for row in json.loads(every.stdout)}
    assert {"bert-tiny", "good", "keras/resnet50", *AT_IMPORT, *HARMLESS} <= names
    assert "zoo.catalogs 'catalog-zoo' of plugin 'catalog-zoo-plugin' 1.0" in every.stderr
    filtered = zoo("models", "--family", "good", "--json")
    assert [row["name"] for row in json.loads(filtered.stdout)] == ["good"]
    warned = {line.split("'")[1] for line in filtered.stderr.splitlines() if "is left out" in line}
    assert {*AT_IMPORT} <= warned
    assert not {*HARMLESS} & warned
    chosen = zoo("choose", "--task", "seq2seq", "--json")
    assert json.loads(chosen.stdout)[0]["name"]
    assert len(filtered.stderr) < 10_000
    assert json.loads(zoo("show", "ends-late", "--json").stdout)["name"] == "ends-late"
    unknown = zoo("show", "bert-tyni")
    assert unknown.returncode == 2
    assert "Did you mean 'bert-tiny'?" in unknown.stderr


def test_plugins_names_each_with_its_reason(hostile) -> None:
    done = zoo("plugins", "--no-build", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name: rows[name]["reason"] for name in AT_IMPORT} == {
        name: reason for name, (_, reason) in AT_IMPORT.items()
    }
    assert {rows[name]["status"] for name in (*HARMLESS, "good")} == {"ok"}
    assert rows["catalog-zoo"]["reason"] == "SystemExit: 0"
    assert "Segmentation fault" in rows["crashes"]["traceback"]


@pytest.mark.slow
def test_what_is_built_is_built_in_the_child(site) -> None:
    for name, text in {**AT_BUILD, "good": BUILD}.items():
        install(site, name, text)
    install(site, "abstract", DATA, group="zoo.datasets", value="Abstract")
    done = zoo("plugins", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["builds-out"]["reason"] == "SystemExit: 3"
    assert "it returned a NoneType, not a keras.Model" in rows["builds-none"]["reason"]
    assert rows["abstract"]["status"] == "broken"
    assert rows["good"]["status"] == "ok"


def test_a_broken_format_is_no_fault_of_a_model(hostile, tmp_path) -> None:
    from zoo.conformance import examinations

    (examination,) = examinations("mlp", tmp_path, kind="model")
    exports = [name for name in examination.checks if name.startswith("export-")]
    assert exports == ["export-onnx", "export-saved_model", "export-tflite"]


@pytest.mark.parametrize(
    "name", ["leaves", "interrupts", "base", "mute", "gone", "prints", "moves"]
)
def test_a_plugin_asked_for_by_name_is_one_message(hostile, name: str, capfd) -> None:
    from pathlib import Path

    import zoo_registry

    here = Path.cwd()
    registry = type(zoo_registry.models)(
        "model",
        group="zoo.models",
        builtin="zoo_models.catalog:MODELS",
        coerce="zoo_registry.specs:as_model_spec",
    )
    if name in HARMLESS:
        assert registry.get(name).origin.distribution == f"{name}-plugin"
    else:
        with pytest.raises(zoo_registry.PluginError, match=f"of plugin '{name}-plugin' 1.0 cannot"):
            registry.get(name)
    assert Path.cwd() == here
    assert capfd.readouterr().out == ""


def test_a_plugin_asked_for_by_name_hangs_no_command(hostile, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "1")
    done = zoo("show", "threads", "--json")
    assert (done.returncode, json.loads(done.stdout)["name"]) == (0, "threads")
    assert "would not end for 1 s, in which 'Thread-1 (sleep)' went on" in done.stderr
    assert "It ran plugin 'threads-plugin'." in done.stderr
    done = zoo("show", "sleeps")
    assert (done.returncode, done.stdout) == (1, "")
    assert "model 'sleeps' of plugin 'sleeps-plugin' 1.0 cannot be used: TimeoutError: it took" in (
        done.stderr
    )
    done = zoo("show", "crashes")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "")
    assert "Segmentation fault" in done.stderr
    assert "crashes_module.py" in done.stderr


def test_ctrl_c_while_the_command_line_is_imported_is_one_line() -> None:
    code = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from zoo.cli.__main__ import run
sys.argv[1:] = [sys.argv[1], "models"]
run()
"""
    for module in ("click", "zoo_registry.registry"):
        done = subprocess.run(
            [sys.executable, "-c", code, module], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize("value", ["abc", "0", "-1", "nan", "1e99"])
def test_a_limit_that_is_none_is_refused(monkeypatch, value: str) -> None:
    from zoo_registry import UsageError, trial

    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", value)
    with pytest.raises(
        UsageError, match=f"ZOO_PLUGIN_SECONDS='{value}' is not a number of seconds"
    ):
        trial.seconds_by_name()
