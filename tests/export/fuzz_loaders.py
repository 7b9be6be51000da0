"""What every loader does with mutated files: ``python tests/export/fuzz_loaders.py --count 10000``.

The files are mutated by a seeded generator and, where the loader checks hashes, put into the bundle
together with their new hash: that is the worst case. Each outcome is one of

- an error of ours, by its kind,
- ``right``: loaded, and the answers to inputs that the bundle does not hold are what they were,
- ``other answer``: the same with another answer, although the saved samples agree,
- ``contained``: the file ended the process that tried it, and the caller got an error,
- ``UNEXPECTED`` and ``CRASH``: an error that is not ours, or the caller's own process ended.

The last two make the command fail.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_attempts as attempts
from fuzz_mutations import (
    mutate_bytes,
    mutate_flatbuffer,
    mutate_json,
    mutate_operator,
    mutate_protobuf,
    mutate_zip,
)

from zoo_runtime import tokenizing

_SECONDS_EACH = 60
_MEMORY = 16 << 30
_FAILURES = ("UNEXPECTED", "CRASH")


@dataclass(frozen=True)
class Loader:
    """One kind of file.

    Args:
        pattern: The file in the subject's folder.
        mutators: How it is changed; they take random turns.
        attempt: Loads the changed folder and says whether the answer is still right.
        prepare: Does what can be done once, before the changes.
        subject: The kind of subject that has such a file.
    """

    pattern: str
    mutators: tuple[Callable[[bytes, random.Random], bytes], ...]
    attempt: Callable[[Path, Path, Any], bool]
    prepare: Callable[[Path], Any] = attempts.nothing
    subject: str = "bundle"


LOADERS = {
    "hashes": Loader("**/*", (mutate_bytes,), attempts.with_old_hash, attempts.manifest_of),
    "manifest.json": Loader(
        "manifest.json", (mutate_bytes, mutate_json, mutate_json), attempts.manifest
    ),
    "zip": Loader(
        "bundle.zip",
        (mutate_bytes, mutate_zip, mutate_zip),
        attempts.zipped,
        attempts.files_of,
        "zip",
    ),
    "samples.npz": Loader(
        "assets/samples.npz", (mutate_bytes, mutate_zip), attempts.onnx, attempts.answers_onnx
    ),
    "tokenizer.json": Loader(
        "assets/tokenizer.json", (mutate_bytes, mutate_json), attempts.text, subject="text"
    ),
    "tflite": Loader(
        "*.tflite", (mutate_bytes, mutate_flatbuffer), attempts.tflite, attempts.answers_tflite
    ),
    "onnx": Loader("*.onnx", (mutate_bytes, mutate_protobuf), attempts.onnx, attempts.answers_onnx),
    "saved_model": Loader(
        "saved_model/saved_model.pb",
        (mutate_bytes, mutate_operator, mutate_operator),
        attempts.saved_model,
    ),
    "keras": Loader(
        "model.keras", (mutate_bytes, mutate_zip), attempts.keras, attempts.answers_keras, "run"
    ),
    "run.json": Loader("run.json", (mutate_bytes, mutate_json), attempts.run_info, subject="run"),
}


def fuzz(
    name: str, subject: Path, count: int, seed: int = 0, first: int = 0
) -> Iterator[tuple[int, str]]:
    """Yield number and outcome of each mutated input.

    Args:
        name: The loader.
        subject: A bundle or run folder with a file of that kind.
        count: How many inputs.
        seed: Of the generator.
        first: The first number.
    """
    while first < count:
        last = first
        worker = subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--worker",
                name,
                str(subject),
                str(seed),
                f"{first}",
                f"{count}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.startswith("fuzz "):
                _, number, outcome = line.rstrip("\n").split(" ", 2)
                last = int(number) + 1
                yield int(number), outcome
        if worker.wait() == 0:
            return
        if worker.returncode > 0:
            sys.exit(f"The fuzzer itself failed: {' '.join(map(str, worker.args))}")
        # The worker takes files at once; what the user calls tries them in a child process first.
        yield last, _as_user(name, subject, seed, last)
        first = last + 1


def mutated(name: str, subject: Path, seed: int, number: int) -> tuple[Path, bytes]:
    """Return the file that is changed and its new content."""
    rng = random.Random(f"{seed} {number}")
    files = sorted(path for path in subject.glob(LOADERS[name].pattern) if path.is_file())
    path = rng.choice(files)
    return path.relative_to(subject), rng.choice(LOADERS[name].mutators)(path.read_bytes(), rng)


def _as_user(name: str, subject: Path, seed: int, number: int) -> str:
    done = subprocess.run(
        [sys.executable, __file__, "--user", name, str(subject), str(seed), str(number)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("fuzz ")]
    return lines[-1].split(" ", 2)[2] if done.returncode == 0 and lines else "CRASH"


def work(name: str, subject: Path, seed: int, first: int, count: int, *, trusted: bool) -> None:
    """Carry out a range of numbers in this process and print the outcomes."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    attempts.TRUSTED = trusted
    if trusted:
        tokenizing._ensure_tried = lambda *_: None
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAZOO_CACHE"] = folder
        copy = Path(folder) / "subject"
        shutil.copytree(subject, copy)
        prepared = LOADERS[name].prepare(copy)
        for number in range(first, count):
            path, content = mutated(name, subject, seed, number)
            if trusted:
                signal.alarm(_SECONDS_EACH)
            outcome = _outcome(LOADERS[name], copy, path, content, prepared)
            signal.alarm(0)
            print(f"fuzz {number} {outcome}", file=out, flush=True)
            shutil.copy(subject / path, copy / path)
            shutil.copy(subject / "manifest.json", copy) if (copy / "manifest.json").exists() else 0


def _outcome(loader: Loader, copy: Path, path: Path, content: bytes, prepared: Any) -> str:
    from zoo_registry import ZooError

    if content == (copy / path).read_bytes():
        return "right"
    (copy / path).write_bytes(content)
    try:
        return "right" if loader.attempt(copy, path, prepared) else "other answer"
    except ZooError as error:
        ended = "ended the process" in str(error) or "took longer" in str(error)
        return "contained" if ended else type(error).__name__
    except Exception as error:
        return f"UNEXPECTED {type(error).__name__}: {str(error)[:120]!r}"


def main() -> None:
    """Run the loaders that are asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("loaders", nargs="*", help=f"of {', '.join(LOADERS)} [all]")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subjects", type=Path, help="folder of subjects [made in a new one]")
    options = parser.parse_args()
    from fuzz_subjects import make_subjects

    folder = options.subjects or Path(tempfile.mkdtemp(prefix="fuzz."))
    subjects = make_subjects(folder)
    report(options.loaders or list(LOADERS), subjects, options.count, options.seed)


def report(names: list[str], subjects: dict[str, list[Path]], count: int, seed: int) -> None:
    """Fuzz with a progress bar, then print a row a loader."""
    from rich.progress import track

    rows, failed = {}, []
    for name in names:
        kind = subjects[LOADERS[name].subject]
        found: collections.Counter[str] = collections.Counter()
        share = -(-count // len(kind))
        for subject in kind:
            steps = fuzz(name, subject, share, seed)
            for number, outcome in track(steps, f"{name} {subject.name}", total=share):
                found[outcome.partition(" ")[0] if outcome.startswith(_FAILURES) else outcome] += 1
                if outcome.startswith(_FAILURES):
                    failed.append(f"{name} {subject} {seed} {number}: {outcome}")
        rows[name] = found
    _table(rows)
    if failed:
        sys.exit("\n".join(["", "Failures:", *failed]))


def _table(rows: dict[str, collections.Counter[str]]) -> None:
    from zoo.cli.output import print_table

    columns = sorted({outcome for row in rows.values() for outcome in row})
    cells = [(name, *(f"{row[c]:,}" for c in columns)) for name, row in rows.items()]
    print_table(("LOADER", *columns), cells, right=tuple(columns))


if __name__ == "__main__":
    if sys.argv[1:2] in (["--worker"], ["--user"]):
        mode, loader_name, where, *numbers = sys.argv[1:]
        given, start, *stop = map(int, numbers)
        end = stop[0] if stop else start + 1
        work(loader_name, Path(where), given, start, end, trusted=mode == "--worker")
    else:
        main()
