"""What exporting costs trained recipes: `python -m benchmarks.support.trained`.

Each recipe whose data packages carry is trained with its own seed, exported to every format and
scheme, and written to `docs/trained-matrix.json` and the page beside it. It continues where it
stopped; a row is measured again when the versions are others.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

import zoo_registry
from zoo.support_matrix import Reasons, short, versions
from zoo_registry.entries import BUILTIN_OWNER
from zoo_runtime import schema
from zoo_runtime.formats import FORMATS, Scheme
from zoo_system.durable import write_text
from zoo_system.machine import in_short

DATA = Path(__file__).parents[2] / "docs" / "trained-matrix.json"
COMMAND = "python -m benchmarks.support.trained"
ACCURACY, PERPLEXITY = "accuracy", "perplexity"

_INTRODUCTION = f"""\
# Support matrix of trained recipes

What quantization costs the recipes here, each trained to the end (seed of the recipe), exported \
to every format and scheme, and run in the file's own runtime. Written by `{COMMAND}`, which \
trains, exports and continues where it stopped; `zoo export RUN --to FORMAT:SCHEME` makes one of \
these files, and its `manifest.json` has these figures. What converts with drawn weights, of every \
model and head, is in the [support matrix](support-matrix.md).

How to read `0.27 / .994 / 0.61`: the size of the file, as a fraction of the float32 file of the \
same format; its accuracy on the held-out examples that the run keeps, or its perplexity, or, \
where neither is the recipe's measure, what the worst column of the outputs loses (root mean \
square difference from Keras, as a fraction of the column's standard deviation); the time of one \
example on one thread, as a fraction of the float32 file's, in turns. Under Keras stands the same \
measure of the Keras model. `no` says that the file is refused or cannot be made, and nothing was \
written; the number leads to the reason below.
"""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One file of a run.

    Args:
        size: Its bytes.
        score: Accuracy or perplexity, or what its worst column loses.
        times: Time of an example as a multiple of that of the float32 file.
        reason: Why there is no file.
    """

    size: int | None = None
    score: float | None = None
    times: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trained recipe in every format and scheme.

    Args:
        recipe: Its name.
        model: That of the model.
        measure: What the scores are; ``None`` for what columns lose.
        keras: The score of the Keras model.
        examples: Held-out examples that the scores are of.
        cells: By ``FORMAT[:SCHEME]``.
        versions: Of the packages that decide.
        machine: Processor and cores.
    """

    recipe: str
    model: str
    measure: str | None
    keras: float | None
    examples: int
    cells: Mapping[str, Cell]
    versions: Mapping[str, str]
    machine: str


@dataclass(frozen=True)
class Trained:
    """All rows that were measured."""

    rows: tuple[Row, ...] = field(default=())


@click.command()
@click.option("--only", multiple=True, help="Names of recipes [all whose data packages carry].")
@click.option("--minutes", type=float, default=math.inf, help="Leave out what trains for longer.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/trained"))
@click.option("--document-only", is_flag=True, help="Measure nothing.")
@click.option("--one", hidden=True, help="Measure this recipe in this process and print the row.")
def main(
    only: tuple[str, ...], minutes: float, work: Path, document_only: bool, one: str | None
) -> None:
    """Train and export the recipes that the matrix lacks, and write it after each one."""
    if one is not None:
        click.echo(json.dumps(asdict(measured(one, work))))
        return
    rows = {row.recipe: row for row in read().rows}
    for name in [] if document_only else wanted(minutes):
        if (only and name not in only) or (name in rows and rows[name].versions == versions()):
            continue
        click.echo(name, err=True)
        words = [sys.executable, "-m", "benchmarks.support.trained", "--one", name]
        done = subprocess.run(
            [*words, "--work", str(work)], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{name}: exit code {done.returncode}")
        row = json.loads(done.stdout.splitlines()[-1])
        rows[name] = schema.read(Row, row, name)
        write(Trained(tuple(rows[name] for name in wanted() if name in rows)))
    if document_only:
        write(Trained(tuple(rows[name] for name in wanted() if name in rows)))


def wanted(minutes: float = math.inf) -> list[str]:
    """Return the recipes that can be trained from what packages carry, the quickest first."""
    found = {}
    for name, owner in zoo_registry.recipes.view().items():
        recipe = zoo_registry.recipes.get(name)
        expected = recipe.expected
        if owner == BUILTIN_OWNER and expected is not None and not expected.published:
            found[name] = expected.cpu_minutes or 0.0
    return sorted((name for name in found if found[name] <= minutes), key=found.__getitem__)


def measured(name: str, work: Path) -> Row:
    """Train a recipe, unless it was, and export it to everything."""
    import zoo
    from zoo_recipes.run import load_run
    from zoo_registry import ZooError

    recipe = zoo_registry.recipes.get(name)
    folder = work / name
    try:
        run = load_run(folder)
    except ZooError:
        run = zoo.train(name, out=folder, force=True, download=True, verbose=False)
    cells: dict[str, Cell] = {}

    def note(event: Any) -> None:
        if event.state == "failed":
            cells[event.format] = Cell(reason=short(str(event.error)))

    task = run.task
    bundle = zoo.export(
        run, to=columns(task), out=work / f"{name}-bundle", force=True, keep_going=True,
        on_event=note,
    )  # fmt: skip
    first = bundle.artifacts[0].verification
    measure, keras = None, None
    if first.keras_accuracy is not None:
        measure, keras = ACCURACY, first.keras_accuracy
    elif first.keras_perplexity is not None:
        measure, keras = PERPLEXITY, first.keras_perplexity
    for artifact in bundle.artifacts:
        judged = artifact.verification
        score = {ACCURACY: judged.accuracy, PERPLEXITY: judged.perplexity}.get(measure or "")
        if measure is None:
            losses = [fit.difference / fit.deviation for fit in judged.fits if fit.deviation]
            score = round(max(losses, default=0.0), 6)
        cells[artifact.format] = Cell(
            size=artifact.bytes, score=score, times=artifact.facts.get("times_float")
        )
    return Row(
        recipe=name, model=recipe.model.name, measure=measure, keras=keras,
        examples=first.examples, cells={n: cells[n] for n in columns(task) if n in cells},
        versions=versions(), machine=in_short(),
    )  # fmt: skip


def columns(task: str | None = None) -> list[str]:
    """Return every format before its schemes; of language models' own ones those of a task."""
    return [
        name
        for row in FORMATS.values()
        if not row.writes
        for name in (row.name, *(f"{row.name}:{s.name}" for s in row.schemes if _takes(s, task)))
    ]


def _takes(scheme: Scheme, task: str | None) -> bool:
    return not scheme.tasks or task in scheme.tasks


def read() -> Trained:
    """Return what was measured so far."""
    if not DATA.is_file():
        return Trained()
    return schema.read(Trained, json.loads(DATA.read_text("utf-8")), f"'{DATA}'")


def write(found: Trained) -> None:
    """Write what was measured, and the page."""
    write_text(DATA, json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n")
    write_text(DATA.with_suffix(".md"), document(found))


def document(found: Trained) -> str:
    """Return the page."""
    reasons = Reasons()
    parts = [_INTRODUCTION, *_sections(found.rows, reasons), reasons.section()]
    measured: dict[str, list[str]] = {}
    for row in found.rows:
        versions = ", ".join(f"{name} {number}" for name, number in row.versions.items())
        measured.setdefault(f"on {row.machine}, with {versions}", []).append(f"`{row.recipe}`")
    for how, recipes in sorted(measured.items()):
        what = f"{', '.join(recipes)} measured" if len(measured) > 1 else "Measured"
        parts.append(f"{what} {how}.\n")
    return "\n".join(parts)


def _sections(rows: Sequence[Row], reasons: Reasons) -> Iterator[str]:
    for form in FORMATS.values():
        names = [
            name
            for name in dict.fromkeys(name for row in rows for name in row.cells)
            if name.partition(":")[0] == form.name
        ]
        if not names:
            continue
        head = ["recipe", "examples", "measure", "Keras", *(_title(name) for name in names)]
        yield f"## {form.name}\n"
        yield "| " + " | ".join(head) + " |"
        yield "| --- " * len(head) + "|"
        for row in rows:
            base = row.cells.get(form.name)
            cells = [_shown(row.cells.get(name), row, base, reasons) for name in names]
            measure = row.measure or "loss of a column"
            about = [f"`{row.recipe}`", str(row.examples), measure, _score(row.keras, row.measure)]
            yield "| " + " | ".join([*about, *cells]) + " |"
        yield ""


def _title(name: str) -> str:
    return name.partition(":")[2] or "float32"


def _shown(cell: Cell | None, row: Row, base: Cell | None, reasons: Reasons) -> str:
    if cell is None:
        return "-"
    if cell.size is None:
        return f"no ([{reasons.number(cell.reason)}](#reasons))"
    score = _score(cell.score, row.measure)
    if cell is base or base is None or not base.size:
        return score
    times = "-" if cell.times is None else f"{cell.times:.2f}"
    return f"{cell.size / base.size:.2f} / {score} / {times}"


def _score(score: float | None, measure: str | None) -> str:
    if score is None:
        return "-"
    if measure == ACCURACY:
        return f"{score:.3f}".removeprefix("0")
    return f"{score:.2f}" if measure == PERPLEXITY else f"{score:.1e}"


if __name__ == "__main__":
    main()
