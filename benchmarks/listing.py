"""How long the user waits for the names: `zoo models` against listing KerasHub's presets.

Whole processes, interleaved, the median of several runs:

    python benchmarks/listing.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

PLUGINS = 200
RUNS = 5
ZOO_MODELS = [sys.executable, "-m", "zoo.cli", "models"]
KERAS_HUB = [
    sys.executable,
    "-c",
    "import keras_hub; print(*keras_hub.models.Backbone.presets, sep='\\n')",
]


def install_plugins(site: Path, count: int) -> None:
    """Lay out distributions with one model each, as pip installs them."""
    for number in range(count):
        info = site / f"zoo_plugin_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: zoo-plugin-{number}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            f"[zoo.models]\nplugin-model-{number} = zoo_plugin_{number}:build\n"
        )


def seconds(command: list[str], path: str) -> float:
    """Return how long a command takes as a whole process; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        install_plugins(Path(folder), PLUGINS)
        cases = {
            "python -c pass": ([sys.executable, "-c", "pass"], ""),
            "zoo models": (ZOO_MODELS, ""),
            f"zoo models, {PLUGINS} plugins": (ZOO_MODELS, folder),
            "KerasHub presets": (KERAS_HUB, ""),
        }
        for command, path in cases.values():
            seconds(command, path)
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(RUNS):
            for name, (command, path) in cases.items():
                times[name].append(seconds(command, path))
    report({name: statistics.median(values) for name, values in times.items()})


def report(medians: dict[str, float]) -> None:
    """Print the medians and what they are to `zoo models`."""
    base = medians["zoo models"]
    table = Table("process", box=None)
    table.add_column("median s", justify="right")
    table.add_column("ratio to zoo models", justify="right")
    for name, median in medians.items():
        table.add_row(name, f"{median:.3f}", f"{median / base:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
