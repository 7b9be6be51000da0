"""What an export costs against Keras' own: processor time, memory beyond the model's, bytes.

    python benchmarks/export_cost.py bert-base resnet50

Each export runs in a process of its own, after the model is built and called once. Processor time
and peak memory hold on a busy machine too; the ratio is ours over Keras'.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Format: our converter, Keras' word.
FORMATS = {
    "onnx": ("onnx", "onnx"),
    "tflite": ("tflite", "litert"),
    "saved_model": ("saved_model", "tf_saved_model"),
}


def _ours(model: Any, name: str, path: Path) -> None:
    from zoo_export.converters.tracing import Conversion
    from zoo_export.reading.request import from_model
    from zoo_export.reading.source import read_source
    from zoo_registry import load_target
    from zoo_runtime.formats import FORMATS as ROWS

    # What is measured is the conversion: what Keras gives is no part of it.
    source = read_source(from_model(model))
    sizes = source.sizes if ROWS[name].static else {}
    conversion = Conversion(
        model,
        tuple(tensor.fixed(sizes) for tensor in source.inputs),
        tuple(tensor.fixed(sizes) for tensor in source.outputs),
        path,
        first=source.first,
    )
    _measured(lambda: load_target(ROWS[name].converter)(conversion))


def _keras(model: Any, name: str, path: Path) -> None:
    _measured(lambda: model.export(str(path), format=FORMATS[name][1], verbose=False))


def _measured(act: Callable[[], object]) -> None:
    from zoo_system.processes import free_memory

    free_memory()
    # From here on the peak is counted anew.
    Path("/proc/self/clear_refs").write_text("5")
    before_mb, began, usage = _memory("VmRSS"), time.process_time(), _children()
    act()
    costs = {
        "seconds": time.process_time() - began + _children() - usage,
        "mb": _memory("VmHWM") - before_mb,
    }
    print(json.dumps(costs))


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))


def _child(name: str, wanted: str, who: str, path: str) -> None:
    import numpy as np

    import zoo

    model = zoo.get_model(name)
    shapes = [[1, *(64 if size is None else size for size in t.shape[1:])] for t in model.inputs]
    rows = {t.name: np.ones(s, t.dtype) for t, s in zip(model.inputs, shapes, strict=True)}
    model(rows if isinstance(model._inputs_struct, dict) else next(iter(rows.values())))
    {"ours": _ours, "keras": _keras}[who](model, wanted, Path(path))


def _run(name: str, wanted: str, who: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{'.tflite' if wanted == 'tflite' else ''}"
        words = [sys.executable, __file__, "--child", name, wanted, who, str(path)]
        # With oneDNN, TensorFlow keeps freed memory, and what a step takes would not be seen.
        environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(f"{name} {wanted} {who}:\n{done.stderr[-2000:]}")
        costs: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        files = [p for p in Path(folder).rglob("*") if p.is_file()]
        return {**costs, "bytes": sum(file.stat().st_size for file in files)}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--formats", default=",".join(FORMATS))
    arguments = parser.parse_args()
    table = Table(
        *("model", "format", "processor s", "Keras'", "ratio", "memory MB", "Keras'", "ratio"),
        *("MB on disk", "Keras'"),
    )
    for name in arguments.models:
        for wanted in arguments.formats.split(","):
            ours, theirs = (_run(name, wanted, who) for who in ("ours", "keras"))
            table.add_row(
                name,
                wanted,
                *(f"{ours['seconds']:.1f}", f"{theirs['seconds']:.1f}"),
                f"{ours['seconds'] / theirs['seconds']:.2f}",
                *(f"{ours['mb']:,.0f}", f"{theirs['mb']:,.0f}", f"{ours['mb'] / theirs['mb']:.2f}"),
                *(f"{ours['bytes'] / 1e6:,.1f}", f"{theirs['bytes'] / 1e6:,.1f}"),
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
