"""What `bundle.run` costs over the raw runtime: the same file, the same rows, in turns.

    python benchmarks/runner.py mobilenet-v3-small resnet20

Each model is exported with drawn weights, to LiteRT with signatures for batches of 1 and of 1 and
8, and to ONNX. The raw runtime gets rows that lie ready in the batches that the file takes. "times"
is the median time of `bundle.run` over that of the raw calls; "per call" is the difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROWS = (1, 2, 4, 8, 64)
FILES = {"tflite, batch 1": [1], "tflite, batches 1 and 8": [1, 8], "onnx": None}


def raw(path: Path, array: Any, sizes: list[int] | None, rows: int) -> Callable[[], object]:
    """Return what runs rows in the runtime itself, in the largest batches first."""
    if sizes is None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: array[:rows]})
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runs = {size: _signature(interpreter, size) for size in sizes}
    parts, start = [], 0
    for size in sorted(sizes, reverse=True):
        while rows - start >= size:
            parts.append((runs[size], array[start : start + size]))
            start += size
    return lambda: [run(part) for run, part in parts]


def _signature(interpreter: Any, size: int) -> Callable[[Any], object]:
    """Return a function of one batch, with the calls of the interpreter alone."""
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        (taken,), (given,) = (
            runner.get_input_details().values(), runner.get_output_details().values()
        )  # fmt: skip
        if taken["shape"][0] == size:
            break
    else:
        raise SystemExit(f"no signature takes {size} rows")
    subgraph = runner._subgraph_index
    native = interpreter._interpreter
    native.AllocateTensors(subgraph)

    def run(part: Any) -> object:
        native.SetTensor(taken["index"], part, subgraph)
        native.Invoke(subgraph)
        return native.GetTensor(given["index"], subgraph)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each number of rows")
    asked = parser.parse_args()
    table = Table("model", "file", "rows", "ms", "times", "per call, µs", title="bundle.run")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.names:
            for file, sizes in FILES.items():
                for row in _measure(name, file, sizes, Path(folder), asked.seconds):
                    table.add_row(*row)
    Console(width=100).print(table)


def _measure(
    name: str, file: str, sizes: list[int] | None, work: Path, seconds: float
) -> list[tuple[str, ...]]:
    import zoo

    form = file.partition(",")[0]
    model = zoo.get_model(name)
    bundle = zoo.export(
        model, to=form, out=work / f"{name}-{len(sizes or ())}-{form}", name=name,
        **({"batch_sizes": sizes} if sizes else {}),
    )  # fmt: skip
    runner = bundle.runner(form, threads=1)
    (taken,) = bundle.inputs
    shape = (max(ROWS), *taken.shape[1:])
    array = np.random.default_rng(0).uniform(0, 255, shape).astype(taken.dtype)
    path = bundle.path / bundle.artifact(form).path
    found = []
    for rows in ROWS:
        run = partial(runner.run, {taken.name: array[:rows]})
        ours, theirs = _medians([run, raw(path, array, sizes, rows)], seconds)
        cost = (ours - theirs) * 1e6
        found.append(
            (name, file, str(rows), f"{1e3 * theirs:.2f}", f"{ours / theirs:.3f}", f"{cost:.0f}")
        )
    return found


def _medians(acts: list[Callable[[], object]], seconds: float) -> list[float]:
    taken: list[list[float]] = [[] for _ in acts]
    for act in acts:
        act()
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(taken[0]) < 5:
        # Who begins is cached better.
        for at in (0, 1, 1, 0):
            begun = time.perf_counter()
            acts[at]()
            taken[at].append(time.perf_counter() - begun)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    main()
