"""Measure the support matrix and write its document: ``python -m benchmarks.support --help``."""

from __future__ import annotations

import fnmatch
import time
from pathlib import Path

import click

from benchmarks.support.document import render
from benchmarks.support.models import wanted
from zoo.support_matrix import OK, Case, Matrix, Support, columns, read, save
from zoo.support_measuring import TIME_LIMIT, measure

DOCS = Path(__file__).parents[2] / "docs"


@click.command()
@click.option(
    "--matrix",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DOCS / "support-matrix.json",
    help="The .json file; the document is the .md beside it [docs/support-matrix.json].",
)
@click.option("--only", multiple=True, help="Names of models, as globs; all by default.")
@click.option("--redo", is_flag=True, help="Also rows whose versions are current.")
@click.option(
    "--formats",
    multiple=True,
    help="With --redo: only such columns, as globs, and those in float beside them.",
)
@click.option(
    "--no-times",
    is_flag=True,
    help="Where a row was measured before, keep its times and measure the rest: half of the work.",
)
@click.option("--document-only", is_flag=True, help="Measure nothing.")
@click.option("--time-limit", type=float, default=TIME_LIMIT, show_default=True, help="Seconds.")
def main(
    *,
    file: Path,
    only: tuple[str, ...],
    redo: bool,
    formats: tuple[str, ...],
    no_times: bool,
    document_only: bool,
    time_limit: float,
) -> None:
    """Measure every built-in model that the matrix lacks, and write it after each one."""
    # A model that is gone has no row.
    _save(file, Matrix(tuple(row for row in read(file).rows if row.case in wanted())))
    if document_only:
        return
    cases = [case for case in wanted() if _is_meant(case, only)]
    if not cases:
        raise click.UsageError(f"No row of the matrix has a name like {' or '.join(only)}.")
    current = {row.case for row in read(file).rows if row.is_current}
    todo = [case for case in cases if redo or case not in current]
    click.echo(f"{len(cases)} rows, {len(cases) - len(todo)} of them current")
    for number, case in enumerate(todo, 1):
        click.echo(f"{number}/{len(todo)} {case}: ", nl=False)
        started = time.monotonic()
        names = _columns(formats) if case in current else columns()
        older = next((row for row in read(file).rows if row.case == case), None)
        has_times = older is not None and any(c.latency_ratio for c in older.cells.values())
        row = measure(
            case, formats=names, time_limit=time_limit, times=not (no_times and has_times)
        )
        # Another process may have measured other rows meanwhile.
        _save(file, read(file).with_row(row))
        click.echo(f"{_summary(row)}, {time.monotonic() - started:.0f} s")


def _save(file: Path, matrix: Matrix) -> None:
    save(file, matrix, render(matrix))


def _columns(patterns: tuple[str, ...]) -> list[str]:
    meant = [name for name in columns() if not patterns or _is_like(name, patterns)]
    # Sizes and times are given as fractions of those in float.
    bases = {name.partition(":")[0] for name in meant}
    return [name for name in columns() if name in bases or name in meant]


def _is_like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_meant(case: Case, only: tuple[str, ...]) -> bool:
    return not only or _is_like(case.name, only)


def _summary(row: Support) -> str:
    good = sum(cell.state == OK for cell in row.cells.values())
    return f"{good} of {len(row.cells)} ok"


if __name__ == "__main__":
    main()
