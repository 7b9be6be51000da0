"""Tokens a second of our files beside those of KerasHub and transformers, in one run.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    python benchmarks/generation.py --peers peers/bin/python --work /tmp/generation gpt2-small

Batch 1, greedy, 64 tokens of prompt and 128 new ones. Every contestant runs in a process of its
own, all in turns; weights are drawn, which changes no speed. "of transformers" is the rate as a
multiple of that of transformers with torch in float32, "first" the time to the first token as a
multiple of it, and "of bandwidth" the fraction of what reading the weights once for each token
allows, at the rate at which this machine reads a large array in the same turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

PROMPT, NEW, POSITIONS = 64, 128, 256
OURS = (
    "tflite", "tflite:dynamic-int8", "tflite:int4-blocks",
    "onnx", "onnx:dynamic-int8", "onnx:int8-blocks", "onnx:int4-blocks",
)  # fmt: skip
KERAS, KERAS_HUB, KERAS_HUB_XLA = "keras", "kerashub", "kerashub, XLA"
TRANSFORMERS = "transformers"
MEMORY = "memory"
# Of a contestant: the time to the first token, and tokens a second of the others.
_Figures = tuple[float, float]
PEER = Path(__file__).parent / "peers" / "generation.py"
KERAS_HUB_SIZES = {
    "gpt2-small": {
        "vocabulary_size": 50_257, "num_layers": 12, "num_heads": 12, "hidden_dim": 768,
        "intermediate_dim": 3072, "max_sequence_length": 1024,
    },
}  # fmt: skip
_ARRAY_BYTES = 400_000_000


def convert(name: str, folder: Path) -> None:
    """Write every file of ours for a model, and what it says of its functions with a cache."""
    import zoo
    from zoo_export.converters.tracing import Conversion
    from zoo_export.options import ExportOptions
    from zoo_registry import load_target
    from zoo_runtime.formats import find
    from zoo_runtime.tensors import Tensor

    model = zoo.get_model(name)
    for word in OURS:
        row, path = find(word), folder / find(word).path(name)
        if (folder / _about(word)).is_file():
            continue
        sizes: tuple[Any, Any] = (1, 16) if row.static else ("batch", "sequence")
        inputs = tuple(Tensor(tensor.name, "int32", sizes) for tensor in model.inputs)
        conversion = Conversion(
            model,
            inputs,
            (Tensor("logits", "float32", (*sizes, model.outputs[0].shape[-1])),),
            path,
            samples=({tensor.name: np.ones((1, 16), np.int32) for tensor in inputs},),
            options=ExportOptions(
                batch_sizes=(1,) if row.static else (), max_length=POSITIONS if row.static else None
            ),
        )
        facts = load_target(row.generating)(conversion, load_target(row.converter))
        (folder / _about(word)).write_text(json.dumps(facts["generation"]))


def _about(word: str) -> str:
    return f"{word.replace(':', '-')}.json"


def contestant(name: str, kind: str, folder: Path, threads: int) -> Callable[[], _Figures]:
    """Return what generates once, and how fast that was."""
    if kind == MEMORY:
        array = np.ones(_ARRAY_BYTES // 4, np.float32)
        # The product reads it with all threads; who ran before may still spin at the first ones.
        return lambda: (0.0, max(array.nbytes / _seconds(lambda: array @ array) for _ in range(8)))
    if kind in (KERAS_HUB, KERAS_HUB_XLA):
        return _keras_hub(name, threads, xla=kind == KERAS_HUB_XLA)
    decoder = _keras(name, threads) if kind == KERAS else _file(name, kind, folder, threads)
    prompt = np.random.default_rng(0).integers(0, 1000, PROMPT).astype(np.int32)

    def generate() -> _Figures:
        begun = time.perf_counter()
        logits = decoder.prefill([prompt])
        first = time.perf_counter()
        for _ in range(NEW - 1):
            logits = decoder.step(logits.argmax(axis=-1))
        return first - begun, (NEW - 1) / (time.perf_counter() - first)

    return generate


def _file(name: str, word: str, folder: Path, threads: int) -> Any:
    from zoo_registry import load_target
    from zoo_runtime import schema
    from zoo_runtime.formats import find
    from zoo_runtime.generation.files import Generation

    row = find(word)
    about = schema.read(Generation, json.loads((folder / _about(word)).read_text()), "generation")
    return load_target(row.decoder)(folder / row.path(name), about, threads=threads)(None)


def _keras(name: str, threads: int) -> Any:
    import zoo
    from zoo_models.generation.decoder import keras_decoders
    from zoo_runtime.running.sessions import set_threads

    set_threads(threads)
    return keras_decoders(zoo.get_model(name))(None, False)


def _keras_hub(name: str, threads: int, *, xla: bool) -> Callable[[], _Figures]:
    """Return GPT-2 of KerasHub in the same shape; its ``generate`` gives no token by itself."""
    import keras_hub

    from zoo_runtime.running.sessions import set_threads

    set_threads(threads)
    backbone = keras_hub.models.GPT2Backbone(**KERAS_HUB_SIZES[name])
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler="greedy", jit_compile=xla)
    ids = np.random.default_rng(0).integers(0, 1000, (1, POSITIONS)).astype(np.int32)

    def generate(length: int) -> float:
        mask = (np.arange(PROMPT + length) < PROMPT)[None]
        given = {"token_ids": ids[:, : PROMPT + length], "padding_mask": mask}
        return _seconds(lambda: model.generate(given, stop_token_ids=None))

    def both() -> _Figures:
        first = generate(1)
        return first, (NEW - 1) / max(generate(NEW) - first, 1e-9)

    return both


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def serve(name: str, kind: str, folder: str, threads: str) -> None:
    """Generate once to warm up, and once for each line of standard input."""
    run = contestant(name, kind, Path(folder), int(threads))
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)


@contextmanager
def _process(words: list[str], threads: int) -> Iterator[Callable[[], _Figures]]:
    given = {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **given}
    ) as process:
        pipes: Any = process.stdin, process.stdout
        given_to, said = pipes
        if not any(line.strip() == "ready" for line in iter(said.readline, "")):
            raise SystemExit(f"{' '.join(words[1:])} ended before it was ready.")

        def run() -> _Figures:
            given_to.write("\n")
            given_to.flush()
            first, rate = json.loads(said.readline())
            return first, rate

        yield run
        given_to.close()


def measure(
    name: str, folder: Path, peers: str | None, threads: int, rounds: int, *, alone: bool
) -> dict[str, _Figures]:
    """Return the median figures of each contestant, all run in turns."""
    kinds = [*OURS, MEMORY] if alone else [*OURS, KERAS, MEMORY]
    kinds += [KERAS_HUB, KERAS_HUB_XLA] if name in KERAS_HUB_SIZES and not alone else []
    words = {
        kind: [sys.executable, __file__, "--serve", name, kind, str(folder), str(threads)]
        for kind in kinds
    }
    if peers:
        words[TRANSFORMERS] = [peers, str(PEER), name, str(threads), str(PROMPT), str(NEW)]
    found: dict[str, list[_Figures]] = {kind: [] for kind in words}
    with ExitStack() as stack:
        runs = {kind: stack.enter_context(_process(w, threads)) for kind, w in words.items()}
        for _ in range(rounds):
            for kind, run in runs.items():
                found[kind].append(run())
    return {
        kind: (statistics.median(f for f, _ in all_), statistics.median(r for _, r in all_))
        for kind, all_ in found.items()
    }


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="a folder; files are kept there")
    parser.add_argument("--peers", help="the Python of an environment with torch and transformers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="our files, and nothing beside them")
    asked = parser.parse_args()
    for name in asked.names:
        folder = asked.work / name
        folder.mkdir(parents=True, exist_ok=True)
        convert(name, folder)
        found = measure(name, folder, asked.peers, asked.threads, asked.rounds, alone=asked.alone)
        Console(width=100).print(_table(name, folder, found, asked.threads))


def _table(name: str, folder: Path, found: dict[str, _Figures], threads: int) -> Table:
    what = next(kind for kind in (TRANSFORMERS, KERAS, OURS[0]) if kind in found)
    reference = found[what]
    table = Table(
        f"{name}, {threads} thread{'s' * (threads > 1)}", f"of {what}", "first", "of bandwidth",
        title="Tokens a second",
    )  # fmt: skip
    for kind, (first, rate) in found.items():
        if kind == MEMORY:
            continue
        about = folder / _about(kind)
        read = json.loads(about.read_text())["weight_bytes"] if about.is_file() else None
        fraction = f"{rate * read / found[MEMORY][1]:.0%}" if read else "-"
        table.add_row(kind, f"{rate / reference[1]:.2f}", f"{first / reference[0]:.2f}", fraction)
    return table


if __name__ == "__main__":
    main()
