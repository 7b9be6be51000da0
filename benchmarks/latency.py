"""Our files beside those of Keras' own exports, torch, litert-torch and optimum, in one run.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    python benchmarks/latency.py --peers peers/bin/python --work /tmp/latency resnet50 bert-base

Every file runs in a process of its own, all in turns, in this environment's runtimes. Weights are
drawn: they change neither the graph nor its speed. A ratio is the time of a file over that of our
float file in the same runtime, so above 1 is slower than ours. "of peak" is the fraction of
the best large matrix product's floating-point operations a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

TOKENS = 128
ROUNDS = 12
MODELS: dict[str, dict[str, Any]] = {
    "resnet50": {},
    "mobilenet-v3-small": {},
    "bert-base": {"task": "features", "sequence_length": TOKENS},
    "lstm-classifier": {"sequence_length": TOKENS},
}
OURS = ("onnx", "onnx:dynamic-int8", "tflite", "tflite:dynamic-int8")
# Images are drawn for its ranges; models of texts are as fast in dynamic-int8.
OURS_FOR_IMAGES = ("onnx:int8",)
CALIBRATION_ROWS = 16
PEER_EXPORTS = Path(__file__).parent / "peers" / "export.py"
# Sizes that the exporters leave open, as they call them; what has another name is the batch.
_NAMED = {
    "num_channels": 3, "height": 224, "width": 224,
    "sequence": TOKENS, "sequence_length": TOKENS, "dynamic_axes_1": TOKENS,
}  # fmt: skip
# The peak: the faster of two large matrix products.
PRODUCTS = ("product in NumPy", "product in ONNX Runtime")
SIDE = 2048


def make_files(name: str, folder: Path, peers: str | None) -> dict[str, str]:
    """Export one model with everybody; return why what is not there is not."""
    folder.mkdir(parents=True, exist_ok=True)
    results = _run([sys.executable, __file__, "--export", name, str(folder)])
    if peers:
        results += _run([peers, str(PEER_EXPORTS), name, str(folder)])
    return {line["file"]: line["error"] for line in results if line["error"]}


def _run(words: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def export_ours(name: str, folder: str) -> None:
    """Export with Kerazoo in every scheme, and with Keras; print a line for each."""
    import zoo
    from zoo_export import export

    model = zoo.get_model(name, **MODELS[name])
    home = Path(folder)
    images = {t.name: t.shape[1:] for t in model.inputs if len(t.shape) == 4}
    drawn = np.random.default_rng(0)
    calibration = {
        key: drawn.uniform(0, 255, (CALIBRATION_ROWS, *shape)).astype(np.float32)
        for key, shape in images.items()
    }

    def ours(wanted: str, label: str = "", of: Any = model, **options: Any) -> None:
        bundle = export(of, to=(wanted,), out=home / "bundle", force=True, **options)
        suffix, _, scheme = wanted.partition(":")
        file = "-".join(word for word in ("ours", scheme, label) if word)
        (bundle.path / bundle.artifact(wanted).path).rename(home / f"{file}.{suffix}")

    def keras(suffix: str, word: str) -> None:
        model.export(str(home / f"keras.{suffix}"), format=word, verbose=False)

    for wanted in OURS:
        _try(f"ours {wanted}", lambda wanted=wanted: ours(wanted))
    for wanted in OURS_FOR_IMAGES if images else ():
        _try(f"ours {wanted}", lambda wanted=wanted: ours(wanted, calibration=calibration))
    runtime = "onnxruntime"
    _try(f"ours {runtime}", lambda: ours("onnx", f"for-{runtime}", optimize=runtime))
    label = "without-mask"
    for wanted in ("onnx", "tflite") if "lstm" in name else ():
        _try(f"ours {label}", lambda wanted=wanted: ours(wanted, label, of=lstm_without_mask()))
    _try("keras.onnx", lambda: keras("onnx", "onnx"))
    _try("keras.tflite", lambda: keras("tflite", "litert"))
    (home / "macs").write_text(str(zoo.size(name, **MODELS[name]).macs))


def lstm_without_mask() -> Any:
    """Return the zoo's LSTM classifier as the peers have it: every text is as long as any other."""
    import keras
    from keras import layers

    token_ids = keras.Input((TOKENS,), dtype="int32", name="token_ids")
    states = layers.Bidirectional(layers.LSTM(64))(layers.Embedding(20_000, 128)(token_ids))
    return keras.Model(token_ids, layers.Dense(2, name="logits")(states))


def _try(file: str, act: Callable[[], object]) -> None:
    try:
        act()
        error = None
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
    print(json.dumps({"file": file, "error": error}), flush=True)


def runner(path: str, threads: int) -> Callable[[], object]:
    """Return a function without arguments that runs a file once, or a large matrix product."""
    square = np.ones((SIDE, SIDE), np.float32)
    if path == PRODUCTS[0]:
        return lambda: square @ square
    if path == PRODUCTS[1]:
        return _onnx(_product(square), threads)
    return _onnx(path, threads) if path.endswith(".onnx") else _litert(path, threads)


def _product(square: np.ndarray[Any, Any]) -> bytes:
    from onnx import helper, numpy_helper

    values = [helper.make_tensor_value_info(name, 1, square.shape) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = [numpy_helper.from_array(square, "w")]
    graph = helper.make_graph([node], "product", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 20)]
    data: bytes = helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()
    return data


def _onnx(path: str | bytes, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {"tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(float)": "float32"}
    feeds = {}
    for tensor in session.get_inputs():
        sizes = [size if isinstance(size, int) else _NAMED.get(size, 1) for size in tensor.shape]
        feeds[tensor.name] = np.ones(sizes, kinds[tensor.type])
    return lambda: session.run(None, feeds)


def _litert(path: str, threads: int) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    for tensor in interpreter.get_input_details():
        known = enumerate(tensor["shape_signature"])
        sizes = [TOKENS if i and size < 0 else abs(size) for i, size in known]
        interpreter.resize_tensor_input(tensor["index"], sizes)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], np.ones(tensor["shape"], tensor["dtype"]))
    return interpreter.invoke


def serve(path: str, threads: str) -> None:
    """Run one file so many times for each line of standard input; print the milliseconds."""
    run = runner(path, int(threads))
    for line in sys.stdin:
        run()  # wakes its threads up
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps({"times": times}), flush=True)


def measure(paths: list[str], threads: int) -> dict[str, float]:
    """Return the lower quartile of milliseconds for each file, all run in turns."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
    workers = {
        path: subprocess.Popen(
            [sys.executable, __file__, "--serve", path, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment,
        )
        for path in paths
    }  # fmt: skip
    times: dict[str, list[float]] = {path: [] for path in paths}
    runs = dict.fromkeys(paths, 1)
    for at in range(ROUNDS + 1):
        for path, worker in workers.items():
            found = _answer(worker, runs[path])
            if found is None:
                times.pop(path, None)
            elif at == 0:  # the first round tells how many runs fill a quarter of a second
                runs[path] = max(3, min(200, int(250 / min(found))))
            else:
                times[path] += found
    for worker in workers.values():
        worker.kill()
    return {path: float(np.quantile(found, 0.25)) for path, found in times.items()}


def _answer(worker: subprocess.Popen[str], runs: int) -> list[float] | None:
    try:
        worker.stdin.write(f"{runs}\n")
        worker.stdin.flush()
    except BrokenPipeError:
        return None
    while line := worker.stdout.readline():
        if line.startswith('{"times"'):
            return json.loads(line)["times"]
    return None


def table(name: str, folder: Path, threads: list[int], missing: dict[str, str]) -> Table:
    """Measure one model's files and return what is shown of them."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".tflite"))
    found = {n: measure([*map(str, files), *PRODUCTS], n) for n in threads}
    gflop = 2 * int((folder / "macs").read_text()) / 1e9
    columns = [c for n in threads for c in (f"ms, {n} thr.", "ratio", "of peak")]
    shown = Table("file", "MB", *columns, box=box.MARKDOWN)
    shown.title = f"{name}, {gflop:.2g} GFLOP a run"
    for file in files:
        cells = [file.name, f"{file.stat().st_size / 1e6:.1f}"]
        for times in found.values():
            cells += _cells(times, file, gflop)
        shown.add_row(*cells)
    for file, error in missing.items():
        shown.add_row(file, "", error)
    return shown


def _cells(times: dict[str, float], file: Path, gflop: float) -> list[str]:
    ms = times.get(str(file))
    if ms is None:
        return ["does not run", "", ""]
    ours = times[str(file.with_name(f"ours{file.suffix}"))]
    best = 2 * SIDE**3 / 1e9 / min(times[product] for product in PRODUCTS)
    return [f"{ms:.2f}", f"{ms / ours:.2f}", f"{gflop / ms / best:.0%}"]


def main() -> None:
    """Run what the command line asks for."""
    if sys.argv[1:2] == ["--export"]:
        return export_ours(*sys.argv[2:])
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--peers", help="Python of an environment with the peers")
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--measure-only", action="store_true", help="take the files that are there")
    given = parser.parse_args()
    threads = [int(n) for n in given.threads.split(",")]
    for name in given.models:
        folder = given.work / name
        missing = {} if given.measure_only else make_files(name, folder, given.peers)
        Console(width=140).print(table(name, folder, threads, missing))
    return None


if __name__ == "__main__":
    main()
