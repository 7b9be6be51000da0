"""``zoo bench NAME --all-schemes``: one model in every format and scheme."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

import zoo_registry
from zoo.cli.output import next_step, print_json, print_table, progress_bar, size
from zoo.support.cases import Case, heads
from zoo.support.document import save
from zoo.support.matrix import Cell, Support, columns, read
from zoo.support.measuring import measure
from zoo_registry import UsageError, did_you_mean


def show_support(
    name: str, *, task: str | None, full_size: bool, matrix: Path | None, as_json: bool
) -> None:
    """Measure and print the rows of one model.

    Args:
        name: A registered model, also a plugin's.
        task: One of its heads; all by default.
        full_size: Whether it is built as it is named.
        matrix: The .json file that keeps the rows, its document beside it.
        as_json: Whether JSON is printed instead.

    Raises:
        UsageError: No such model or head, or a file that is no matrix.
    """
    cases = _cases(name, task, full_size)
    if matrix is not None and matrix.suffix != ".json":
        raise UsageError(f"'{matrix}' is no matrix: its name must end in .json.")
    rows = []
    for case in cases:
        row = _measured(case)
        rows.append(row)
        if matrix is not None:
            save(matrix, read(matrix).with_row(row))
        if not as_json:
            click.echo(f"{case}, {row.num_params or 0:,} parameters")
            _print(row)
            click.echo()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    click.echo(
        "SIZE and TIME are shares of the float32 file of the same format, DIFFERENCE one of the "
        "largest output.\nThe weights are random: accuracy is another matter."
    )
    if matrix is not None:
        click.echo(f"{matrix.with_suffix('.md')} shows them.")
    next_step(f"zoo export {name} --to tflite:dynamic-int8")


def _cases(name: str, task: str | None, full_size: bool) -> list[Case]:
    known = heads(name)
    if task is not None and task not in known:
        has = ", ".join(head for head in known if head)
        hint = did_you_mean(task, [head for head in known if head])
        raise UsageError(f"Model '{name}' has no task '{task}'.{hint} It has: {has or 'none'}.")
    full_name = zoo_registry.models.get(name).name
    return [Case(full_name, head, full_size) for head in known if task in (None, head)]


def _measured(case: Case) -> Support:
    total = len(columns())
    done = 0
    with progress_bar() as on_step:
        on_step(0, total, f"{case}")

        def on_cell(name: str, cell: Cell) -> None:
            nonlocal done
            done += 1
            on_step(done, total, f"{name}: {cell.state}")

        return measure(case, on_cell=on_cell)


def _print(row: Support) -> None:
    print_table(
        ("FORMAT", "RESULT", "BYTES", "SIZE", "DIFFERENCE", "TIME", "REASON"),
        [
            (
                name,
                cell.state,
                "-" if cell.bytes is None else size(cell.bytes),
                _ratio(cell.size_ratio),
                "-" if cell.difference is None else f"{cell.difference:.1e}",
                _ratio(cell.latency_ratio),
                cell.reason,
            )
            for name, cell in row.cells.items()
        ],
        right=("BYTES", "SIZE", "DIFFERENCE", "TIME"),
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
