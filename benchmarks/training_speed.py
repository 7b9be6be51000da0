"""Examples a second of training: the loop of the recipes beside ``fit`` and beside other libraries.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --peers /tmp/peers/bin/python --models cnn gpt-mini

``--peers`` is the Python of an environment with ``benchmarks/peers/requirements.txt`` and Kerazoo
itself (``pip install --no-deps .``), which trains on JAX there. Each contestant is a process of its
own, all wait for each other and take turns, and the medians are compared. Same architecture, same
batch, same in-memory arrays, AdamW; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

PEERS = Path(__file__).parent / "peers"
MODELS = ("cnn", "resnet20", "lstm-classifier", "bert-tiny", "gpt-mini")
OURS = ("kerazoo", "fit", "fit without XLA")


class Contestant:
    """A process that trains some steps whenever it is asked to."""

    def __init__(self, python: str, script: Path, model: str, kind: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [python, str(script), model, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **env},
        )
        self.speeds: list[float] = []

    def turn(self) -> None:
        """Train, and note the examples a second."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended; VERBOSE=1 shows why.")
        self.speeds.append(json.loads(line))


def contestants(model: str, peers: str | None) -> dict[str, Contestant]:
    here = Path(__file__).with_name("training_contestant.py")
    found = {kind: Contestant(sys.executable, here, model, kind) for kind in OURS}
    if peers:
        found["keras on jax"] = Contestant(peers, here, model, "fit", KERAS_BACKEND="jax")
        found["torch"] = Contestant(peers, PEERS / "train.py", model, "torch", KERAS_BACKEND="jax")
    return found


def measure(model: str, peers: str | None, turns: int) -> dict[str, float]:
    running = contestants(model, peers)
    try:
        for number in range(turns + 1):
            for contestant in running.values():
                contestant.turn()
            if not number:  # the first turn builds and compiles
                for contestant in running.values():
                    contestant.speeds.clear()
    finally:
        for contestant in running.values():
            contestant.process.kill()
    return {kind: median(contestant.speeds) for kind, contestant in running.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    console = Console()
    table: Table | None = None
    for model in arguments.models:
        speeds = measure(model, arguments.peers, arguments.turns)
        if table is None:
            others = [f"times {kind}" for kind in speeds if kind != "kerazoo"]
            table = Table("model", "kerazoo, examples/s", *others)
        ours = speeds.pop("kerazoo")
        ratios = [f"{ours / speed:.2f}" for speed in speeds.values()]
        table.add_row(model, f"{ours:.0f}", *ratios)
        console.print(model, " ".join(ratios))
    console.print(table)


if __name__ == "__main__":
    main()
