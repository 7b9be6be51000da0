"""How long a person waits for a command: whole processes, in turns, each beside the bare thing.

    python benchmarks/cold_start.py

Listing stands beside Python itself and beside listing KerasHub's presets; predicting beside a
script with the runtime and Pillow alone. Processor time is compared, of which other work on the
machine takes nothing; `zoo train digits-cnn` and its export are made first, once.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

PLUGINS = 200
ZOO = [sys.executable, "-m", "zoo.cli"]
BUNDLE, IMAGE = "bundles/digits-cnn", "digit.png"
KERAS_HUB = "import keras_hub; print(*keras_hub.models.Backbone.presets, sep='\\n')"
PREDICT = f"import zoo; print(zoo.load_bundle('{BUNDLE}').predict('{IMAGE}'))"
PIXELS = f"""
import numpy as np
from PIL import Image
pixels = np.asarray(Image.open("{IMAGE}").convert("L").resize((8, 8)), np.float32)
pixels = pixels[np.newaxis, :, :, np.newaxis]
"""
LITERT = f"""{PIXELS}
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter("{BUNDLE}/digits-cnn.tflite", num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax())
"""
ONNX = f"""{PIXELS}
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("{BUNDLE}/digits-cnn.onnx", options)
print(session.run(None, {{session.get_inputs()[0].name: pixels}})[0].argmax())
"""


@dataclass(frozen=True)
class Case:
    """A command and what it stands beside.

    Args:
        name: As the table shows it.
        words: The command.
        beside: Name of another case: the table says how many times its processor time is taken.
        path: A folder of packages that are installed for this command alone.
    """

    name: str
    words: list[str]
    beside: str = "python -c pass"
    path: str = ""


def cases(plugins: str) -> list[Case]:
    """Return what is measured, in the order of the table."""
    given = ["predict", BUNDLE, IMAGE, "--threads", "1", "--runtime"]
    return [
        Case("python -c pass", [sys.executable, "-c", "pass"]),
        Case("zoo models", [*ZOO, "models"]),
        Case(f"zoo models, {PLUGINS} plugins", [*ZOO, "models"], "zoo models", plugins),
        Case("KerasHub's presets", [sys.executable, "-c", KERAS_HUB], "zoo models"),
        Case("zoo train --help", [*ZOO, "train", "--help"]),
        Case("zoo --help", [*ZOO, "--help"], "zoo train --help"),
        Case("LiteRT alone", [sys.executable, "-c", LITERT]),
        Case("zoo predict, LiteRT", [*ZOO, *given, "tflite"], "LiteRT alone"),
        Case("zoo.load_bundle, LiteRT", [sys.executable, "-c", PREDICT], "LiteRT alone"),
        Case("ONNX Runtime alone", [sys.executable, "-c", ONNX]),
        Case("zoo predict, ONNX Runtime", [*ZOO, *given, "onnx"], "ONNX Runtime alone"),
    ]


def install_plugins(site: Path, count: int) -> None:
    """Lay out distributions with one model each, as pip installs them."""
    for number in range(count):
        info = site / f"zoo_plugin_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: zoo-plugin-{number}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            f"[zoo.models]\nplugin-model-{number} = zoo_plugin_{number}:build\n"
        )


def make_bundle(folder: Path) -> None:
    """Train and export what is predicted with, and draw what it is of."""
    for words in (
        ["train", "digits-cnn", "--set", "fit.epochs=1"],
        ["export", "runs/digits-cnn", "--to", "tflite,onnx"],
    ):
        subprocess.run([*ZOO, *words], cwd=folder, check=True, capture_output=True)
    pixels = (load_digits().images[0] / 16 * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(folder / IMAGE)


def processor_seconds(case: Case, folder: Path) -> float:
    """Return the processor time of a command as a whole process; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": case.path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = _of_children()
    subprocess.run(case.words, cwd=folder, env=environment, check=True, capture_output=True)
    return _of_children() - before


def _of_children() -> float:
    # os.times counts in hundredths of a second, of which Python itself takes two.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugins(folder / "site", PLUGINS)
        make_bundle(folder)
        measured = cases(str(folder / "site"))
        times: dict[str, list[float]] = {case.name: [] for case in measured}
        for turn in range(turns + 1):
            for case in measured:
                seconds = processor_seconds(case, folder)
                if turn:  # the first one compiles and looks at files that were never run
                    times[case.name].append(seconds)
    # Other work only ever adds: the least is what the command itself takes.
    least = {name: min(found) for name, found in times.items()}
    table = Table("process", box=None)
    table.add_column("ms", justify="right")
    table.add_column("times", justify="right")
    table.add_column("of")
    for case in measured:
        ratio = least[case.name] / least[case.beside]
        table.add_row(case.name, f"{least[case.name] * 1000:.0f}", f"{ratio:.2f}", case.beside)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
