"""What Kerazoo costs a device: bytes on the disk, and seconds to the first prediction of a process.

    python benchmarks/device.py mobilenet-v3-small

Two clean environments for each runtime: one with that package alone, one with kerazoo-runtime and
its extra. One array is predicted by a program of the runtime's own, and by
`load_bundle(...).predict`: of a bundle that this machine tries in a second process first, of one
that it has tried, and of a trusted one. Every program is a process of its own, all in turns;
ratios are over the runtime alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).parent.parent
EXTRAS = {"tflite": ("litert", "ai-edge-litert"), "onnx": ("onnx", "onnxruntime")}
PREDICT = """
import sys
import numpy as np
from zoo_runtime import load_bundle
bundle = load_bundle(sys.argv[1], trusted={trusted})
bundle.predict(np.load(sys.argv[2]), runtime="{format}")
"""
ALONE = {
    "tflite": """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1]).get_signature_runner("serving_default")
image = np.load(sys.argv[2])[None].astype(np.float32)
run(**{name: image for name in run.get_input_details()})["logits"].argmax()
""",
    "onnx": """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.load(sys.argv[2])[None].astype(np.float32)
session.run(["logits"], {session.get_inputs()[0].name: image})[0].argmax()
""",
}


@dataclass(frozen=True)
class Program:
    """One way to a prediction.

    Args:
        name: Its row of the table.
        format: Of the file that it runs.
        python: Of its environment.
        arguments: Code and what it is given.
        fresh: Whether nothing was tried on the machine before.
    """

    name: str
    format: str
    python: Path
    arguments: tuple[str, ...]
    fresh: bool = False

    def run(self, home: Path) -> tuple[float, float]:
        """Return the seconds that one process took, and those of the processor."""
        if self.fresh:
            shutil.rmtree(home, ignore_errors=True)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        before, start = _processor(), time.perf_counter()
        subprocess.run([self.python, "-c", *self.arguments], env=environment, check=True)
        return time.perf_counter() - start, _processor() - before


def main(model: str, work: Path, runs: int) -> None:
    """Print both tables."""
    bundle, image = _bundle(model, work)
    environments = {
        (fmt, ours): _installed(work, fmt, ours) for fmt in EXTRAS for ours in (False, True)
    }
    sizes = Table("environment", "MB", "ratio", title="Installed, with NumPy and without pip")
    for (fmt, ours), python in environments.items():
        size, alone = _bytes(python), _bytes(environments[fmt, False])
        name = f"kerazoo-runtime[{EXTRAS[fmt][0]}]" if ours else EXTRAS[fmt][1]
        sizes.add_row(escape(name), f"{size / 1e6:.1f}", f"{size / alone:.3f}")
    programs = [*_programs(bundle, image, environments)]
    taken: dict[Program, list[tuple[float, float]]] = {program: [] for program in programs}
    for turn in range(runs + 1):
        for program in programs:
            seconds = program.run(work / "home")
            if turn:  # the first turn reads all files from the disk
                taken[program].append(seconds)
    times = Table("program", "s", "ratio", "processor s", "ratio", title="To the first prediction")
    alone = {}
    for program, pairs in taken.items():
        wall, processor = (statistics.median(column) for column in zip(*pairs, strict=True))
        first = alone.setdefault(program.format, (wall, processor))
        cells = (f"{wall:.2f}", f"{wall / first[0]:.2f}")
        times.add_row(program.name, *cells, f"{processor:.2f}", f"{processor / first[1]:.2f}")
    console = Console(width=100)
    console.print(sizes)
    console.print(times)


def _programs(
    bundle: Path, image: Path, environments: dict[tuple[str, bool], Path]
) -> Iterator[Program]:
    for fmt, (_, package) in EXTRAS.items():
        (file,) = bundle.glob(f"*.{fmt}")
        given = (ALONE[fmt], str(file), str(image))
        yield Program(f"{package} alone", fmt, environments[fmt, False], given)
        for name, trusted, fresh in (
            ("first time on a machine", False, True),
            ("tried before", False, False),
            ("trusted", True, False),
        ):
            code = PREDICT.format(trusted=trusted, format=fmt)
            arguments = (code, str(bundle), str(image))
            yield Program(f"{fmt}, {name}", fmt, environments[fmt, True], arguments, fresh)


def _bundle(name: str, work: Path) -> tuple[Path, Path]:
    import numpy as np

    import zoo

    model = zoo.get_model(name)
    (shape,) = (tensor.shape[1:] for tensor in model.inputs)
    step = {"step": "image", "size": list(shape[:2]), "channels": shape[2]}
    given = {"task": "image-classification", "preprocessing": [step]}
    zoo.export(model, to=[*EXTRAS], out=work / "bundle", force=True, **given)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(work / "image.npy", pixels)
    return work / "bundle", work / "image.npy"


def _installed(work: Path, fmt: str, ours: bool) -> Path:
    extra, package = EXTRAS[fmt]
    folder = work / f"{fmt}-{'kerazoo' if ours else 'alone'}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=False)
        what = f"{ROOT / 'runtime'}[{extra}]" if ours else package
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *pins, "numpy", what], check=True)
    return python


def _bytes(python: Path) -> int:
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages")
    return sum(path.stat().st_size for path in site.rglob("*") if path.is_file())


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="mobilenet-v3-small")
    parser.add_argument("--work", type=Path, default=Path("/tmp/device"))
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    main(given.model, given.work, given.runs)
