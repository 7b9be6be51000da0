"""``zoo bench``."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import zoo_registry
from zoo.cli.options import data_dir, download, names_of, path_of
from zoo.cli.output import as_json, next_step, print_json, print_table, progress_bar, refuse, size
from zoo_registry import UsageError, ZooError, did_you_mean

if TYPE_CHECKING:
    from zoo.support_matrix import Case, Cell, Support
    from zoo_export.benchmarking.report import BenchmarkReport, Measurement
    from zoo_runtime.trained import Trained

NONE = "-"


class Threads(click.ParamType[int | None]):
    """Counts of threads with commas; ``auto`` is each runtime's own choice."""

    name = "threads"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the counts that a word means."""
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",")]
        if not all(re.fullmatch("auto|[1-9][0-9]{0,8}", word) for word in words):
            self.fail(f"'{value}' is not a list of threads, such as 1, 1,2 or auto.", param, ctx)
        return tuple(None if word == "auto" else int(word) for word in words)


@click.command()
@click.argument(
    "bundle", metavar="RUN|BUNDLE|NAME", shell_complete=names_of("run", "bundle", "model")
)
@click.option("--threads", type=Threads(), help="Counts with commas, or auto [1].")
@click.option("--only", help="FORMAT[:SCHEME] with commas [all of the bundle].")
@click.option("--runs", type=click.IntRange(min=1), help="Runs that count [100].")
@click.option(
    "--dataset",
    help="Measure accuracy on NAME[:SPLIT] of the run's kind, or on an .npz file as a run's "
    "examples.npz [as counted at export].",
)
@click.option("--chart", type=click.Path(path_type=Path), help="Draw to an .svg or .png file.")
@click.option("--all-schemes", is_flag=True, help="Export NAME to every format and scheme first.")
@click.option("--task", help="Head of NAME [all of its heads].")
@click.option("--full-size", is_flag=True, help="NAME as it is named, not reduced for tests.")
@click.option("--matrix", type=click.Path(path_type=Path), help="Keep NAME's rows in a .json file.")
@data_dir
@download
@as_json
def bench(
    *,
    bundle: str,
    all_schemes: bool,
    data_dir: Path | None,
    download: bool,
    as_json: bool,
    task: str | None,
    full_size: bool,
    matrix: Path | None,
    **measured: Any,
) -> None:
    """Measure every file of a bundle: size, speed, memory, accuracy and difference from Keras.

    Of a run it is the Keras model that is measured.
    """
    support: dict[str, Any] = {"task": task, "full_size": full_size, "matrix": matrix}
    if all_schemes:
        refuse({**measured, "data_dir": data_dir, "download": download}, "for a bundle")
        _show_support(bundle, as_json=as_json, **support)
        return
    refuse(support, "for --all-schemes")
    if path_of(bundle) is None and bundle in zoo_registry.models:
        raise UsageError(
            f"'{bundle}' is a model, not a bundle: export it first (zoo export {bundle}), or give "
            "--all-schemes."
        )
    _bench(bundle, data_dir=data_dir, download=download, as_json=as_json, **measured)


def _bench(
    bundle: str,
    *,
    threads: tuple[int | None, ...] | None,
    only: str | None,
    runs: int | None,
    dataset: str | None,
    chart: Path | None,
    data_dir: Path | None,
    download: bool,
    as_json: bool,
) -> None:
    from zoo_export.benchmarking import RUNS
    from zoo_export.benchmarking import bench as bench_bundle
    from zoo_export.benchmarking.report import check_chart
    from zoo_recipes.run import open_trained

    if chart is not None:
        check_chart(chart)
    trained = open_trained(bundle)
    if dataset is None:
        refuse({"data_dir": data_dir, "download": download}, "for --dataset")
    counts = threads or (1,)
    with progress_bar() as on_step:
        report = bench_bundle(
            trained,
            only=only.split(",") if only else None,
            threads=counts,
            runs=runs or RUNS,
            data=read_data(dataset, trained, data_dir, download=download) if dataset else None,
            on_step=on_step,
        )
    # A zip is measured where it was unpacked, and that folder is gone afterwards.
    _show(replace(report, bundle=bundle), chart, as_json=as_json)
    if not as_json:
        next_step(_next(trained, bundle, counts, chart))


def _show(report: BenchmarkReport, chart: Path | None, *, as_json: bool) -> None:
    from zoo_export.benchmarking.report import draw

    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    measured = [row for row in report.rows if row.latency is not None]
    if measured and chart is not None:
        draw(report, chart)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
    if not measured:
        raise ZooError(f"Nothing of '{report.bundle}' could be measured.")
    if chart is not None and not as_json:
        click.echo(f"\n{chart} shows them.")


def read_data(
    word: str, trained: Trained, data_dir: Path | None, *, download: bool
) -> tuple[dict[str, Any], Any]:
    """Return the inputs by name and the labels that ``--dataset`` means.

    Raises:
        UsageError: A file or data set that does not fit the model.
    """
    from zoo_export.reading.request import saved_examples
    from zoo_recipes.evaluation.examples import read_inputs

    if word.endswith(".npz"):
        return saved_examples(Path(word))
    name, _, split = word.partition(":")
    return read_inputs(trained, name, split or None, data_dir=data_dir, download=download)


def print_report(report: BenchmarkReport) -> None:
    """Print cost and accuracy of each file, then how fast it is with each number of threads."""
    firsts = list({row.format: row for row in reversed(report.rows)}.values())[::-1]
    _print_costs(firsts)
    click.echo()
    _print_speeds(report.rows)
    for row in report.rows:
        if row.error:
            click.echo(f"\n{row.format}, threads {_threads(row)}: {row.error}")
    machine = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    click.echo(
        f"\n{machine.cpu}, {machine.cores} cores, {machine.memory_gb:g} GB; {machine.os}\n"
        f"Python {machine.python}, {versions}\n"
        f"load {machine.load_before:g} before and {machine.load_after:g} after"
    )


def _print_costs(rows: list[Measurement]) -> None:
    scored = any(row.accuracy is not None for row in rows)
    print_table(
        ("FORMAT", "SIZE", "PEAK MB", "START ms", "LOAD ms", "DIFFERENCE", "ACCURACY")[
            : 6 + scored
        ],
        [
            (
                row.format,
                size(row.bytes),
                _number(row.peak_mb, ".0f"),
                _number(row.start_ms, ".0f"),
                _number(row.load_ms, ".2f"),
                _number(row.max_abs_diff, ".1e"),
                _number(row.accuracy, ".4f"),
            )[: 6 + scored]
            for row in rows
        ],
        right=("SIZE", "PEAK MB", "START ms", "LOAD ms", "DIFFERENCE", "ACCURACY"),
    )
    examples = next((row for row in rows if row.accuracy is not None), None)
    if examples is not None:
        keras = examples.keras_accuracy
        when = f", at export; Keras {keras:.4f}" if keras is not None else ""
        click.echo(f"ACCURACY: of {examples.examples:,} examples{when}.")


def _print_speeds(rows: tuple[Measurement, ...]) -> None:
    batch = next((row.batch for row in rows if row.batch), None)
    larger = [f"PER s, {batch}"] if batch else []
    columns = ("FORMAT", "THREADS", "FIRST ms", "P50", "P90", "P99", "PER s", *larger)
    cells = []
    for row in rows:
        times = row.latency
        percentiles = (times.p50, times.p90, times.p99) if times else (None, None, None)
        cell = [row.format, _threads(row), _number(row.first_ms, ".2f")]
        cell += [_number(value, ".3f") for value in percentiles]
        cell.append(_number(row.per_second, ",.0f"))
        cells.append(cell + ([_number(row.batch_per_second, ",.0f")] if batch else []))
    print_table(columns, cells, right=columns[1:])
    at_once = f", one at a time and {batch} at a time" if batch else ", one at a time"
    click.echo(f"P50, P90 and P99 in ms at batch 1; PER s: examples a second{at_once}.")


def _threads(row: Measurement) -> str:
    return str(row.threads or "auto")


def _number(value: float | None, pattern: str) -> str:
    return NONE if value is None else format(value, pattern)


def _next(
    trained: Trained, bundle: str, threads: tuple[int | None, ...], chart: Path | None
) -> str:
    folder = shlex.quote(bundle)
    command = f"zoo bench {folder}"
    if len(threads) == 1:
        return f"{command} --threads 1,2 --chart chart.svg"
    if chart is None:
        return f"{command} --chart chart.svg"
    return f"zoo export {folder}" if trained.kind == "run" else f"zoo verify {folder}"


def _show_support(
    name: str, *, task: str | None, full_size: bool, matrix: Path | None, as_json: bool
) -> None:
    """Measure and print the rows of one model, all its heads if ``task`` names none."""
    from zoo.support_matrix import read, save

    cases = _cases(name, task, full_size)
    if matrix is not None and matrix.suffix != ".json":
        raise UsageError(f"'{matrix}' is not a matrix: its name must end in .json.")
    rows = []
    for case in cases:
        row = _measured(case)
        rows.append(row)
        if matrix is not None:
            save(matrix, read(matrix).with_row(row))
        if not as_json:
            click.echo(f"{case}, {row.num_params or 0:,} parameters")
            _print_support(row)
            click.echo()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    click.echo(
        "SIZE and TIME are fractions of the float32 file of the same format, DIFFERENCE one of the "
        "largest output.\nThe weights are random: accuracy is another matter."
    )
    if matrix is not None:
        click.echo(f"{matrix.with_suffix('.md')} shows them.")
    next_step(f"zoo export {name} --to tflite:dynamic-int8")


def _cases(name: str, task: str | None, full_size: bool) -> list[Case]:
    from zoo.support_matrix import Case, heads

    known = heads(name)
    if task is not None and task not in known:
        has = ", ".join(head for head in known if head)
        hint = did_you_mean(task, [head for head in known if head])
        raise UsageError(f"Model '{name}' has no task '{task}'.{hint} It has: {has or 'none'}.")
    full_name = zoo_registry.models.get(name).name
    return [Case(full_name, head, full_size) for head in known if task in (None, head)]


def _measured(case: Case) -> Support:
    from zoo.support_matrix import columns
    from zoo.support_measuring import measure

    total = len(columns())
    done = 0
    with progress_bar() as on_step:
        on_step(0, total, f"{case}")

        def on_cell(name: str, cell: Cell) -> None:
            nonlocal done
            done += 1
            on_step(done, total, f"{name}: {cell.state}")

        return measure(case, on_cell=on_cell)


def _print_support(row: Support) -> None:
    print_table(
        ("FORMAT", "RESULT", "BYTES", "SIZE", "DIFFERENCE", "TIME", "REASON"),
        [
            (
                name,
                cell.state,
                NONE if cell.bytes is None else size(cell.bytes),
                _number(cell.size_ratio, ".2f"),
                _number(cell.difference, ".1e"),
                _number(cell.latency_ratio, ".2f"),
                cell.reason,
            )
            for name, cell in row.cells.items()
        ],
        right=("BYTES", "SIZE", "DIFFERENCE", "TIME"),
    )
