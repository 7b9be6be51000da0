"""``zoo evaluate``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import as_columns, column, data_dir, download, names_of
from zoo.cli.output import as_json, console, next_step, one_line, print_json, print_table

if TYPE_CHECKING:
    from zoo_recipes.evaluation.results import Evaluation, Groups
    from zoo_recipes.metrics.classification import LabelError

# The shell shows so many classes and groups; evaluation.json has all.
MOST_ROWS = 40
# A table of groups has room for a few metrics: these first, then the others in their order.
HEADLINES = (
    "entity_f1",
    "accuracy",
    "f1_macro",
    "roc_auc",
    "map",
    "bleu",
    "exact_match",
    "rmse",
    "mae",
    "ndcg_10",
)
MOST_HEADLINES = 3
# Of classes, and of what boxes are of; the last one ranks.
CLASS_METRICS = (("precision", "recall", "f1"), ("average_precision",))


@click.command()
@click.argument(
    "source",
    metavar="RUN|BUNDLE",
    type=click.Path(path_type=Path),
    shell_complete=names_of("run", "bundle"),
)
@click.option("--runtime", help="Of a bundle: FORMAT[:SCHEME], such as tflite:int8 [its first].")
@click.option("--split", help="TFDS split [the recipe's test split].")
@click.option(
    "--slice",
    "slice_by",
    metavar="COLUMN",
    help="Also by group: a feature of the data, a column of your own data, or FILE:COLUMN of a "
    "table: the data's own file, one that names their files, or one with a row for each record.",
)
@click.option("--other-data", is_flag=True, help="Also if the data changed since the training.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Other data of your own than the run's."
)
@column
@data_dir
@download
@click.option(
    "--examples",
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Write the prediction for each example, by file and line, the worst first.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for evaluation.json and confusion.png [evaluations/NAME of a run; none for a "
    "bundle].",
)
@as_json
def evaluate(
    *, source: Path, columns: tuple[str, ...], out: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure a run, or a bundle in its own runtime, on its test split or on another one."""
    from zoo.evaluating import evaluate as evaluate_source
    from zoo_recipes.run import open_trained

    trained = open_trained(source)
    is_run = trained.kind == "run"
    found = evaluate_source(trained, columns=as_columns(columns), **options)
    # A bundle is sealed: nothing is added to it.
    folder = out or (source / "evaluations" / found.name if is_run else None)
    if folder is not None:
        found.save(folder)
    if as_json:
        print_json(asdict(found))
        return
    _print(found)
    written = [str(path) for path in (folder, options["examples"]) if path is not None]
    if written:
        click.echo(f"\nWritten: {', '.join(written)}")
    words = shlex.quote(str(source))
    next_step(f"zoo export {words}" if is_run else f"zoo bench {words}")


def _print(found: Evaluation) -> None:
    from zoo_recipes.evaluation.results import between

    # Where every example has one class, the micro means are the accuracy once more.
    one_class = found.confusion is not None
    shown = [name for name in found.metrics if not (one_class and name.endswith("_micro"))]
    console().print(f"{found.title}\n")
    print_table(
        ("METRIC", "VALUE", "95 % INTERVAL"),
        [
            (name, f"{found.metrics[name]:.4f}", between(found.intervals.get(name)))
            for name in shown
        ],
        right=("VALUE",),
    )
    if found.per_class:
        _print_classes(found)
    if found.groups:
        _print_groups(found.groups)
        _print_gaps(found.groups, shown)
    if found.label_errors:
        _print_label_errors(found.label_errors)


def _print_classes(found: Evaluation) -> None:
    from zoo_recipes.evaluation.results import between

    per_class, intervals = found.per_class or {}, found.class_intervals or {}
    known = {metric for row in per_class.values() for metric in row}
    metrics = next(row for row in CLASS_METRICS if known & set(row))
    last = metrics[-1]
    # The worst ones first: they are what there is to do.
    ranked = sorted(per_class, key=lambda name: per_class[name].get(last, 2.0))
    rows = [
        (
            *(_number(per_class[name].get(metric)) for metric in metrics),
            between(intervals[name].get(last)),
            name,
        )
        for name in ranked[:MOST_ROWS]
    ]
    right = tuple(_head(metric) for metric in metrics)
    click.echo()
    print_table((*right, f"95 % INTERVAL OF {right[-1]}", "CLASS"), rows, right=right)
    _say_rest(len(ranked), "classes")


def _print_groups(groups: Groups) -> None:
    from zoo_recipes.evaluation.results import between

    known = groups.groups[0].metrics
    shown = sorted(known, key=_prominence)[:MOST_HEADLINES]
    heads = [name.upper() for name in shown]
    rows = [
        (
            f"{group.num_examples:,}",
            *(_number(group.metrics.get(name)) for name in shown),
            between(group.intervals.get(shown[0])),
            group.name + (" (small)" if group.small else ""),
        )
        for group in groups.groups[:MOST_ROWS]
    ]
    click.echo()
    print_table(
        ("EXAMPLES", *heads, f"95 % INTERVAL OF {heads[0]}", groups.column.upper()),
        rows,
        right=("EXAMPLES", *heads),
    )
    _say_rest(len(groups.groups), "groups")


def _prominence(metric: str) -> int:
    return HEADLINES.index(metric) if metric in HEADLINES else len(HEADLINES)


def _print_gaps(groups: Groups, shown: Sequence[str]) -> None:
    click.echo(f"\nGaps between {one_line(', '.join(groups.compared))}:")
    print_table(
        ("METRIC", "GAP", "BEST", "WORST"),
        [
            (name, f"{gap.difference:.4f}", gap.best, gap.worst)
            for name, gap in groups.gaps.items()
            if name in shown
        ],
        right=("GAP",),
    )
    if groups.rates:
        _print_rates(groups)
    if groups.parity:
        _print_parity(groups.parity)


def _print_rates(groups: Groups) -> None:
    from zoo_recipes.evaluation.results import between

    rows = [
        (
            _number(rates.wanted),
            between(rates.wanted_interval),
            _number(rates.given),
            between(rates.given_interval),
            group,
            label,
        )
        for label, by_group in groups.rates.items()
        for group, rates in by_group.items()
    ]
    click.echo()
    print_table(
        (
            "BASE RATE",
            "95 % INTERVAL",
            "SELECTION RATE",
            "95 % INTERVAL",
            groups.column.upper(),
            "CLASS",
        ),
        rows[:MOST_ROWS],
    )
    _say_rest(len(rows), "rates")


def _print_parity(parity: Mapping[str, Mapping[str, float]]) -> None:
    from zoo_recipes.metrics.fairness import ODDS, PARITY

    measures = (*PARITY, *ODDS)
    heads = [_head(name) for name in measures]
    click.echo()
    print_table(
        (*heads, "CLASS"),
        [
            (*(_number(values.get(name)) for name in measures), label)
            for label, values in list(parity.items())[:MOST_ROWS]
        ],
        right=heads,
    )


def _print_label_errors(rows: tuple[LabelError, ...]) -> None:
    click.echo("\nLikely label errors: look at them before you trust the metrics.")
    numbers = ("CONFIDENCE", "USUAL")
    print_table(
        ("LOCATION", *numbers, "GIVEN", "LOOKS LIKE", "TEXT")[: 5 + any(row.text for row in rows)],
        [
            (
                row.location,
                f"{row.self_confidence:.3f}",
                f"{row.usual:.3f}",
                row.given,
                row.predicted,
                row.text,
            )[: 5 + any(row.text for row in rows)]
            for row in rows
        ],
        right=numbers,
    )


def _say_rest(count: int, what: str) -> None:
    if count > MOST_ROWS:
        click.echo(f"... and {count - MOST_ROWS} more {what}")


def _head(metric: str) -> str:
    return metric.replace("_", " ").upper()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
