"""What ``zoo export`` takes as a whole, beside a script with ``model.export`` and a comparison.

    python benchmarks/export_command.py digits-cnn bert-base --formats onnx,tflite --runs 5

Every contestant is a process of its own, from its start to its end, with all that it starts; they
take turns. Of a recipe a run of one epoch is exported, of another model's name one with drawn
weights. The script loads the same model as Keras saved it, exports it, and compares 16 rows of what
the file gives with Keras. With ``--torch PYTHON`` one with ``torch.onnx`` does so with BERT, in the
environment of benchmarks/peers. Ratios are ours over theirs, of medians; ``--ours PYTHON`` adds
another version's environment.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

_KERAS_FORMATS = {"onnx": "onnx", "tflite": "litert"}

_KERAS = """
import sys
import keras
import numpy as np
import zoo_models.layers.embedding
path, rows, file, wanted = sys.argv[1:]
model = keras.saving.load_model(path)
given = dict(np.load(rows))
expected = model(given if isinstance(model._inputs_struct, dict) else next(iter(given.values())))
expected = next(iter(expected.values())) if isinstance(expected, dict) else expected
expected = np.asarray(expected[0] if isinstance(expected, (tuple, list)) else expected)
model.export(file, format=wanted, verbose=False)
if wanted == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(file)
    names = [entry.name for entry in session.get_inputs()]
    outputs = session.run(None, {name: given[name.partition(":")[0]] for name in names})
else:
    from ai_edge_litert.interpreter import Interpreter
    run = Interpreter(file).get_signature_runner()
    names = list(run.get_input_details())
    size = len(next(iter(given.values())))
    parts = [run(**{n: given[n][at : at + 1] for n in names}) for at in range(size)]
    outputs = [np.concatenate([part[name] for part in parts]) for name in parts[0]]
assert min(np.abs(o - expected).max() for o in outputs if o.shape == expected.shape) < 1e-3
"""

_TORCH = """
import sys
import numpy as np
import onnxruntime
import torch
from transformers import BertConfig, BertModel
file = sys.argv[1]
model = BertModel(BertConfig()).eval()
ids = torch.randint(1, 30000, (16, 128))
given = (ids, torch.ones_like(ids))
with torch.no_grad():
    expected = model(*given, return_dict=False)[0].numpy()
class Tuple(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, token_ids, padding_mask):
        return self.model(token_ids, padding_mask, return_dict=False)
one = tuple(each[:2] for each in given)
batch = {0: torch.export.Dim("batch")}
torch.onnx.export(Tuple().eval(), one, file, dynamo=True, dynamic_shapes=(batch, batch))
session = onnxruntime.InferenceSession(file)
names = [entry.name for entry in session.get_inputs()]
outputs = session.run(None, dict(zip(names, [each.numpy() for each in given])))
assert min(np.abs(o - expected).max() for o in outputs if o.shape == expected.shape) < 1e-3
"""

_MAKE = """
import sys
import numpy as np
import zoo
name, path, rows = sys.argv[1:]
model = zoo.get_model(name)
random = np.random.default_rng(0)
given = {}
for tensor in model.inputs:
    shape = [16, *(128 if size is None else size for size in tensor.shape[1:])]
    drawn = random.normal(size=shape) if tensor.dtype == "float32" else np.ones(shape)
    given[tensor.name] = drawn.astype(tensor.dtype)
model.save(path)
np.savez(rows, **given)
"""

_OF_RUN = """
import sys
import numpy as np
examples = np.load(sys.argv[1])
np.savez(sys.argv[2], **{n[2:]: examples[n][:16] for n in examples.files if n[:2] == "x/"})
"""


def _prepare(name: str, work: Path) -> tuple[str, Path, Path]:
    """Return what ``zoo export`` is given, the model that Keras saved, and 16 rows of inputs."""
    import zoo_registry

    rows = work / "rows.npz"
    if name in zoo_registry.recipes.names():
        run = work / "run"
        _done("-m", "zoo.cli", "train", name, "--set", "fit.epochs=1", "--out", str(run))
        _done("-c", _OF_RUN, str(run / "examples.npz"), str(rows))
        return str(run), run / "model.keras", rows
    path = work / "model.keras"
    _done("-c", _MAKE, name, str(path), str(rows))
    return name, path, rows


def _done(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, capture_output=True)


class _CommandError(Exception):
    """A command ended with an error."""


def _costs(command: Sequence[str], work: Path) -> dict[str, float]:
    """Return wall and processor seconds of a command, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, env=environment
        )
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise _CommandError(done.stderr.strip()[-500:])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "processor": processor}


def _contestants(
    name: str, wanted: str, work: Path, arguments: argparse.Namespace
) -> dict[str, list[str]]:
    source, model, rows = _prepare(name, work)
    pythons = {"ours": sys.executable, **{f"ours in {p}": p for p in arguments.ours}}
    options = ("--to", wanted, "--no-cache", "--out", "bundle")
    found = {
        label: [python, "-m", "zoo.cli", "export", source, *options]
        for label, python in pythons.items()
    }
    if wanted in _KERAS_FORMATS:
        suffix = "onnx" if wanted == "onnx" else "tflite"
        words = [str(model), str(rows), f"model.{suffix}", _KERAS_FORMATS[wanted]]
        found["model.export"] = [sys.executable, "-c", _KERAS, *words]
    if arguments.torch and name.startswith("bert-base") and wanted == "onnx":
        found["torch.onnx"] = [arguments.torch, "-c", _TORCH, "model.onnx"]
    return found


def _table(name: str, wanted: str, taken: Mapping[str, list[dict[str, float]]]) -> Table:
    columns = ("command", "wall s", "processor s", "ours / it", "of processor")
    table = Table(*columns, title=f"{name} to {wanted}")
    middle = {
        label: {key: statistics.median(each[key] for each in costs) for key in costs[0]}
        for label, costs in taken.items()
    }
    for label, costs in middle.items():
        ratios = (middle["ours"][key] / costs[key] for key in ("wall", "processor"))
        row = (f"{costs['wall']:.1f}", f"{costs['processor']:.1f}")
        table.add_row(label, *row, *(f"{ratio:.2f}" for ratio in ratios))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument(
        "--formats", default="onnx,tflite", help="with + between those of one export"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--ours", action="append", default=[], metavar="PYTHON", type=os.path.abspath
    )
    parser.add_argument("--torch", metavar="PYTHON", type=os.path.abspath)
    arguments = parser.parse_args()
    for name in arguments.models:
        for wanted in (each.replace("+", ",") for each in arguments.formats.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                found = _contestants(name, wanted, Path(folder), arguments)
                taken: dict[str, list[dict[str, float]]] = {label: [] for label in found}
                for run in range(arguments.runs + 1):
                    for label in [*taken]:
                        try:
                            costs = _costs(found[label], Path(folder))
                        except _CommandError as error:
                            if label == "ours":
                                raise
                            # Keras' own ONNX file of BERT is refused by ONNX Runtime.
                            print(f"{name} to {wanted}: '{label}' fails: {error}")
                            del taken[label]
                            continue
                        if run:  # the first reads the libraries from the disk
                            taken[label].append(costs)
                Console().print(_table(name, wanted, taken))


if __name__ == "__main__":
    main()
