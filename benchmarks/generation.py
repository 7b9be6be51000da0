"""Tokens a second of our files beside those that others write and run, in one run.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    python benchmarks/generation.py --peers peers/bin/python --work /tmp/generation gpt2-small

A file litert-torch.litertlm in the folder of the model runs beside, such as of

    python benchmarks/peers/generation.py snapshot smollm2-135m /tmp/generation/smollm2-135m
    litert-torch export_hf snapshot out --prefill_lengths=[64] --cache_length=256

which needs transformers 5 and TensorFlow beside it, in an environment of its own.

Batch 1, greedy, 64 tokens of prompt and 128 new ones. Every contestant runs in a process of its
own, all in turns; weights are drawn, which changes no speed. "of transformers" is the rate as a
multiple of that of transformers with torch in float32, "first" the time to the first token as a
multiple of it, "of bandwidth" the fraction of what reading the weights once for each token
allows, at the rate at which this machine reads a large array in the same turns, and "memory" the
most that loading and running takes, as a multiple of weights and cache.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers.generation import answer, ready_to_load
from rich.console import Console
from rich.table import Table

PROMPT, NEW, POSITIONS = 64, 128, 256
OURS = (
    "tflite",
    "tflite:dynamic-int8",
    "tflite:int4-blocks",
    "onnx",
    "onnx:dynamic-int8",
    "onnx:int8-blocks",
    "onnx:int4-blocks",
    "onnxruntime-genai",
    "onnxruntime-genai:int8-blocks",
    "onnxruntime-genai:int4-blocks",
    "litertlm",
    "litertlm:dynamic-int8",
)
KERAS, KERAS_HUB, KERAS_HUB_XLA = "keras", "kerashub", "kerashub, XLA"
TRANSFORMERS = "transformers"
PEERS = (TRANSFORMERS, "optimum", "optimum, int8", "llama.cpp, Q8_0", "llama.cpp, Q4_0")
LITERT_TORCH = "litert-torch"
MEMORY = "memory"
# Of a contestant: the time to the first token, and tokens a second of the others.
_Figures = tuple[float, float]
_Generate = Callable[[], _Figures]
PEER = Path(__file__).parent / "peers" / "generation.py"
KERAS_HUB_SIZES = {
    "gpt2-small": {
        "vocabulary_size": 50_257, "num_layers": 12, "num_heads": 12, "hidden_dim": 768,
        "intermediate_dim": 3072, "max_sequence_length": 1024,
    },
}  # fmt: skip
_ARRAY_BYTES = 400_000_000


def convert(name: str, word: str, folder: Path) -> None:
    """Write one file of ours for a model, and what it holds."""
    import zoo
    from zoo_export.converters.tracing import Conversion
    from zoo_export.options import ExportOptions
    from zoo_registry import load_target
    from zoo_runtime.formats import find
    from zoo_runtime.tensors import Tensor

    if (folder / _about(word)).is_file():
        return
    row, model = find(word), zoo.get_model(name)
    sizes: tuple[Any, Any] = (1, 16) if row.static else ("batch", "sequence")
    inputs = tuple(Tensor(tensor.name, "int32", sizes) for tensor in model.inputs)
    conversion = Conversion(
        model,
        inputs,
        (Tensor("logits", "float32", (*sizes, model.outputs[0].shape[-1])),),
        folder / row.path(name),
        first={tensor.name: np.ones((1, 16), np.int32) for tensor in inputs},
        about={"name": name, **_plan(name, row, model, folder)},
        options=ExportOptions(
            batch_sizes=(1,) if row.static else (), max_length=POSITIONS if row.static else None
        ),
    )
    make = load_target(row.converter)
    facts = load_target(row.generating)(conversion, make) if row.generating else make(conversion)
    (folder / _about(word)).write_text(json.dumps(facts))


def _plan(name: str, row: Any, model: Any, folder: Path) -> dict[str, Any]:
    """Return what a file that writes by itself is made of beside the model."""
    if not row.dialect:
        return {}
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from zoo_export.generation.dialect import PLAN, dialect_of
    from zoo_export.generation.plan import make_plan
    from zoo_export.options import ExportOptions
    from zoo_export.reading.request import Request

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: at for at, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    request = Request(
        model=model,
        name=name,
        preprocessing=({"step": "tokenize", "tokenizer": "tokenizer.json", "length": 8},),
        assets=folder,
        options=ExportOptions(max_length=POSITIONS, prefill_lengths=(PROMPT,)),
    )
    work = folder / "plan"
    work.mkdir(exist_ok=True)
    return {PLAN: make_plan(request, work, dialect_of(row.dialect)).data()}


def _about(word: str) -> str:
    return f"{word.replace(':', '-')}.json"


def _weight_bytes(facts: dict[str, Any]) -> int:
    return sum(facts["weights"].values())


def contestant(name: str, kind: str, folder: Path, threads: int) -> _Generate:
    """Return what generates once, and how fast that was."""
    if kind == MEMORY:
        array = np.ones(_ARRAY_BYTES // 4, np.float32)
        # The product reads it with all threads; who ran before may still spin at the first ones.
        return lambda: (0.0, max(array.nbytes / _seconds(lambda: array @ array) for _ in range(8)))
    if kind in (KERAS_HUB, KERAS_HUB_XLA):
        return _keras_hub(name, threads, xla=kind == KERAS_HUB_XLA)
    if kind.startswith("onnxruntime-genai"):
        return _genai(folder / _path(kind, name), threads)
    if kind.startswith("litertlm"):
        return _litertlm(folder / _path(kind, name), threads)
    if kind == LITERT_TORCH:
        return _litertlm(folder / f"{LITERT_TORCH}.litertlm", threads)
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


def _path(word: str, name: str) -> str:
    from zoo_runtime.formats import find

    return find(word).path(name)


def _genai(path: Path, threads: int) -> _Generate:
    import onnxruntime_genai as og

    ready_to_load()
    config = og.Config(str(path))
    options = {"session_options": {"intra_op_num_threads": threads}}
    config.overlay(json.dumps({"model": {"decoder": options}}))
    model = og.Model(config)
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=PROMPT + NEW, do_sample=False)
    prompt = np.random.default_rng(0).integers(0, 256, (1, PROMPT)).astype(np.int32)

    def generate() -> _Figures:
        begun = time.perf_counter()
        generator = og.Generator(model, params)
        generator.append_tokens(prompt)
        generator.generate_next_token()
        first, count = time.perf_counter(), 1
        while not generator.is_done():
            generator.generate_next_token()
            count += 1
        return first - begun, (count - 1) / (time.perf_counter() - first)

    return generate


def _litertlm(path: Path, threads: int) -> _Generate:
    """Return LiteRT-LM with a tokenizer that makes a token of each byte, by its own clock.

    Its replies hold several tokens, or all.
    """
    import litert_lm

    ready_to_load()
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.FATAL)
    backend = litert_lm.Backend.CPU(thread_count=threads)
    # Packed weights are shared in memory, as our runtime opens a file.
    engine = litert_lm.Engine(
        str(path), backend=backend, cache_dir=":memory", enable_benchmark=True
    )
    greedy = litert_lm.SamplerConfig(top_k=1, temperature=0.0)

    def generate() -> _Figures:
        with engine.create_session(
            apply_prompt_template=False, sampler_config=greedy, max_output_tokens=NEW
        ) as session:
            session.run_prefill(["a" * PROMPT])
            for _ in session.run_decode_async():
                pass
            found = session.get_benchmark_info()
        if (found.last_prefill_token_count, found.last_decode_token_count) != (PROMPT, NEW):
            raise SystemExit(f"LiteRT-LM read and wrote other numbers of tokens: {found}")
        return found.time_to_first_token_in_second, found.last_decode_tokens_per_second

    return generate


def _file(name: str, word: str, folder: Path, threads: int) -> Any:
    from zoo_registry import load_target
    from zoo_runtime import schema
    from zoo_runtime.formats import find
    from zoo_runtime.generation.files import Generation

    row = find(word)
    facts = json.loads((folder / _about(word)).read_text())
    about = schema.read(Generation, facts["generation"], "generation")
    __import__(row.module)
    ready_to_load()
    return load_target(row.decoder)(folder / row.path(name), about, threads=threads)(None)


def _keras(name: str, threads: int) -> Any:
    import zoo
    from zoo_models.generation.decoder import keras_decoders
    from zoo_runtime.running.sessions import set_threads

    set_threads(threads)
    ready_to_load()
    return keras_decoders(zoo.get_model(name))(None, False)


def _keras_hub(name: str, threads: int, *, xla: bool) -> Callable[[], _Figures]:
    """Return GPT-2 of KerasHub in the same shape; its ``generate`` gives no token by itself."""
    import keras_hub

    from zoo_runtime.running.sessions import set_threads

    set_threads(threads)
    ready_to_load()
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


@contextmanager
def _process(words: list[str], threads: int) -> Iterator[tuple[_Generate, int]]:
    """Start a contestant; yield what lets it generate once, and the bytes that it took."""
    given = {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **given}
    ) as process:
        pipes: Any = process.stdin, process.stdout
        given_to, said = pipes
        ready = next((x for x in iter(said.readline, "") if x.startswith("ready")), None)
        if ready is None:
            raise SystemExit(f"{' '.join(words[1:])} ended before it was ready.")

        def run() -> _Figures:
            given_to.write("\n")
            given_to.flush()
            first, rate = json.loads(said.readline())
            return first, rate

        yield run, int(ready.split()[1])
        given_to.close()


@dataclass(frozen=True)
class Row:
    """What was measured of a contestant: medians of seconds and tokens a second, and bytes."""

    first: float
    rate: float
    memory: int


def measure(words: dict[str, list[str]], threads: int, rounds: int) -> dict[str, Row]:
    """Return the median figures of each contestant, a command line each, all run in turns."""
    found: dict[str, list[_Figures]] = {kind: [] for kind in words}
    with ExitStack() as stack:
        runs = {kind: stack.enter_context(_process(w, threads)) for kind, w in words.items()}
        for _ in range(rounds):
            for kind, (run, _) in runs.items():
                found[kind].append(run())
    return {
        kind: Row(*(statistics.median(column) for column in zip(*rows, strict=True)), runs[kind][1])
        for kind, rows in found.items()
    }


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        name, kind, work, threads = sys.argv[2:]
        answer(contestant(name, kind, Path(work), int(threads)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--work", type=Path, required=True, help="a folder; files are kept there")
    parser.add_argument("--peers", help="the Python of benchmarks/peers/requirements.txt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="contestants, all by default")
    asked = parser.parse_args()
    folder = asked.work / asked.name
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [*OURS, KERAS, *(PEERS if asked.peers else ())]
    kinds += [KERAS_HUB, KERAS_HUB_XLA] if asked.name in KERAS_HUB_SIZES else []
    kinds += [LITERT_TORCH] if (folder / f"{LITERT_TORCH}.litertlm").is_file() else []
    kinds = [*(asked.only or kinds), MEMORY]
    for word in kinds:
        if word in OURS:
            convert(asked.name, word, folder)
    after = [str(folder), str(asked.threads), str(PROMPT), str(NEW)]
    words = {
        kind: [asked.peers, str(PEER), kind, asked.name, *after]
        if kind in PEERS
        else [sys.executable, __file__, "--serve", asked.name, kind, *after[:2]]
        for kind in kinds
    }
    found = measure(words, asked.threads, asked.rounds)
    Console(width=100).print(_table(asked.name, folder, found, asked.threads))


def _table(name: str, folder: Path, found: dict[str, Row], threads: int) -> Table:
    what = next(kind for kind in (TRANSFORMERS, KERAS, *found) if kind in found)
    reference, machine = found[what], found.pop(MEMORY)
    table = Table(
        f"{name}, {threads} thread{'s' * (threads > 1)}", f"of {what}", "first", "of bandwidth",
        "memory", title="Tokens a second",
    )  # fmt: skip
    for kind, row in found.items():
        fraction = memory = "-"
        if kind in OURS:
            facts = json.loads((folder / _about(kind)).read_text())
            read = _weight_bytes(facts)
            kept = facts.get("cache_bytes") or facts["generation"]["cache_bytes"] * POSITIONS
            fraction = f"{row.rate * read / machine.rate:.0%}"
            memory = f"{row.memory / (read + kept):.2f}"
        rate, first = row.rate / reference.rate, row.first / reference.first
        table.add_row(kind, f"{rate:.2f}", f"{first:.2f}", fraction, memory)
    return table


if __name__ == "__main__":
    main()
