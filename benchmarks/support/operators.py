"""Which layers and functions of Keras work in each format: ``benchmarks.support.operators``.

Every case is exported as any model is: converted, run in its own runtime, compared with Keras. Only
the processes differ: one child does one case after another, and another one goes on after a crash.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from zoo_registry import ZooError
from zoo_system import processes
from zoo_system.durable import write_text
from zoo_system.errors import plain

FORMATS = ("tflite", "onnx", "saved_model")
WORKS = "works"
PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
TABLE = PAGE.with_suffix(".json")
_DRAWN = 4


def samples_of(case: Any, rows: int = _DRAWN) -> dict[str, Any]:
    """Return drawn inputs of a case, by name; the same ones at every call."""
    generator = np.random.default_rng(0)
    rows = 1 if case.whole else rows
    return {f"input_{at}": _drawn(generator, each, rows) for at, each in enumerate(case.inputs)}


def _drawn(generator: Any, given: Any, rows: int) -> Any:
    shape = (rows, *given.shape)
    if given.dtype == "float32":
        return generator.uniform(given.low, given.high, shape).astype("float32")
    return generator.integers(int(given.low), int(given.high), shape, endpoint=True).astype(
        given.dtype
    )


def tried(model: Any, samples: Mapping[str, Any]) -> dict[str, str]:
    """Export a model without child processes and say how it went, by format.

    Returns:
        :data:`WORKS`, or why it was refused.
    """
    from zoo_export import export

    assembly: Any = importlib.import_module("zoo_export.making.assembly")
    found: dict[str, str] = {}

    def note(progress: Any) -> None:
        if progress.state != "started":
            found[progress.format] = _in_a_line(progress.error or WORKS)

    others = assembly.convert_all
    assembly.convert_all = _convert_here
    try:
        with tempfile.TemporaryDirectory() as folder:
            given: dict[str, Any] = {
                "samples": samples,
                "on_event": note,
                "keep_going": True,
                "name": "case",
            }
            export(model, to=FORMATS, out=f"{folder}/bundle", **given)
    except ZooError as error:
        return {name: found.get(name, _in_a_line(str(error))) for name in FORMATS}
    finally:
        assembly.convert_all = others
    return found


def _convert_here(jobs: Any, work: Any, *, time_limit: float, started: Any) -> Iterator[Any]:
    """Take the place of the function that starts children: the same converters and runtimes."""
    from zoo_export.making import child
    from zoo_export.making.conversion import Converted, Result
    from zoo_runtime.errors import ExportError

    del work, time_limit
    for loaded in jobs:
        started(loaded.job.format)
        trial = loaded.trial()  # an error of Keras is none of a format
        try:
            result = Result(facts=child._convert(loaded))
            outputs = child._run(loaded.job, trial.samples)
            outputs += child._run_perturbed(loaded, trial.samples) if trial.perturbed else ()
        except ExportError as error:
            yield Converted(loaded.job, 0.0, error=error)
        except Exception as error:
            yield Converted(loaded.job, 0.0, error=ExportError(child.of_converter(error)))
        else:
            yield Converted(loaded.job, 0.0, result, outputs)


def _in_a_line(text: str) -> str:
    return " ".join(plain(text).split())


def measure(names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every case with how it went in each format; a crash ends its own case only.

    Args:
        names: Of cases.
    """
    waiting = list(names)
    while waiting:
        process = processes.start(
            __spec__.name if __name__ == "__main__" else __name__,
            "--child",
            *waiting,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in process.stdout or ():
            if line.startswith("{"):
                (found,) = json.loads(line).items()
                waiting.remove(found[0])
                yield found
        process.wait()
        if waiting and process.returncode:
            name = waiting.pop(0)
            yield name, dict.fromkeys(FORMATS, f"raw exit code {process.returncode}")


def _child(names: Sequence[str]) -> None:
    from benchmarks.support.operator_cases import cases

    known = cases()
    for name in names:
        try:
            found = tried(known[name].model(), samples_of(known[name]))
        except Exception as error:
            found = dict.fromkeys(FORMATS, _in_a_line(f"raw {type(error).__name__}: {error}"))
        print(json.dumps({name: found}), flush=True)


def page(table: dict[str, dict[str, str]]) -> str:
    """Return the table as Markdown."""
    from benchmarks.support.operator_cases import LEFT_OUT

    works = {name: sum(row[name] == WORKS for row in table.values()) for name in FORMATS}
    lines = [
        "# Layers and functions of Keras",
        "",
        "Every class of `keras.layers` and every function of `keras.ops` that takes and gives",
        "tensors, in a small model of its own: exported, run in its own runtime, compared with",
        "Keras.",
        "`python -m benchmarks.support.operators` measures and writes this page.",
        "",
        f"Of {len(table)}, "
        + ", ".join(f"{works[name]} work in `{name}`" for name in FORMATS)
        + ". What does not is refused, with this reason.",
        "",
        "| | tflite | onnx | saved_model |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | " + " | ".join(_cell(row[key]) for key in FORMATS) + " |"
        for name, row in sorted(table.items())
    ]
    lines += ["", "## Not tried", "", "| | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(LEFT_OUT.items())]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text if text == WORKS else f"refused: {text}".replace("|", "\\|")


@click.command()
@click.option("--only", multiple=True, help="Names of cases, such as ops.abs [all].")
@click.option("--child", is_flag=True, hidden=True)
@click.argument("names", nargs=-1)
def main(only: tuple[str, ...], child: bool, names: tuple[str, ...]) -> None:
    """Measure layers and functions of Keras in every format and write docs/operators.md."""
    if child:
        _child(names)
        return
    from benchmarks.support.operator_cases import cases

    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    table = {name: row for name, row in table.items() if name in cases()}
    began = time.monotonic()
    for name, row in measure(only or list(cases())):
        table[name] = row
        refused = {key: why for key, why in row.items() if why != WORKS}
        click.echo(f"{name}: {refused or WORKS}")
    write_text(TABLE, json.dumps(dict(sorted(table.items())), indent=1) + "\n")
    write_text(PAGE, page(table))
    click.echo(f"{len(table)} cases, {time.monotonic() - began:.0f} s", err=True)


if __name__ == "__main__":
    sys.exit(main())
