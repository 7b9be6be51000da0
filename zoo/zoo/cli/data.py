"""``zoo data``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import zoo_registry
from zoo.cli.options import as_columns, column
from zoo.cli.output import as_json, next_step, print_fields, print_json, print_table

if TYPE_CHECKING:
    from zoo_recipes.custom_data.report import DataReport, Suspect

MOST_CLASSES = 40
NONE = (
    "none takes these as they are: write one of your own, with their shape (`zoo recipe "
    "resume-bias` prints one for rows of numbers)"
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@column
@click.option("--label-errors", is_flag=True, help="Also look for classes that are likely wrong.")
@as_json
def data(*, path: Path, columns: tuple[str, ...], label_errors: bool, as_json: bool) -> None:
    """Report on your own data: kind, splits, classes, sizes, duplicates and problems.

    PATH is a folder of images, audio files or texts in class folders, of images with a table, or
    with boxes as COCO, Pascal VOC or YOLO have them, a CSV, TSV, JSON, JSONL or Parquet table of
    texts, pairs, ratings, tagged words, or numbers and categories, questions as SQuAD has them,
    plain text, pairs of texts, tagged words or arrays. Nothing is written.
    """
    from zoo_recipes.custom_data.report import inspect_data

    report = inspect_data(path, as_columns(columns), label_errors=label_errors)
    if as_json:
        print_json({**asdict(report), "path": str(path)})
        return
    _print(report)
    if report.refusal:
        click.echo(f"\nA training would refuse them: {report.refusal}")
    elif report.recipes:
        _next(report, columns)


def _print(report: DataReport) -> None:
    total = sum(report.splits.values())
    splits = ", ".join(f"{name} {count:,}" for name, count in report.splits.items())
    boxes = {"boxes": _ranges(report.boxes)} if report.boxes else {}
    print_fields(
        {
            "holds": f"{total:,} {report.kind}",
            "splits": f"{splits} ({report.split_rule})",
            f"sizes in {report.unit}": _ranges(report.sizes),
            **boxes,
            **({"note": "\n".join(report.notes)} if report.notes else {}),
            "duplicates": _duplicates(report),
            "recipes": ", ".join(report.recipes) or NONE,
        }
    )
    if report.classes:
        click.echo()
        _print_classes(report)
    if report.problems:
        _print_problems(report.problems)
    if report.contradictions:
        _print_contradictions(report.contradictions)
    if report.suspects is not None:
        _print_suspects(report.suspects)


def _ranges(sizes: Mapping[str, tuple[float, float, float, float]]) -> str:
    return "\n".join(
        f"{name} {low:,} to {top:,}, median {middle:,}, 95 % up to {high:,}"
        for name, (low, middle, high, top) in sizes.items()
    )


def _duplicates(report: DataReport) -> str:
    leaks = f"; {report.leaks:,} are in several splits: tests on them are too good"
    return f"{report.duplicates:,}" + (leaks if report.leaks else "")


def _print_classes(report: DataReport) -> None:
    # Where all are bad records there are no fractions.
    total = sum(sum(counts.values()) for counts in report.classes.values()) or 1
    ranked = sorted(report.classes.items(), key=lambda item: -sum(item[1].values()))
    rows = [
        (f"{sum(counts.values()) / total:.1%}", *(f"{n:,}" for n in counts.values()), label)
        for label, counts in ranked[:MOST_CLASSES]
    ]
    numbers = ("FRACTION", *(part.upper() for part in report.splits))
    print_table((*numbers, "CLASS"), rows, right=numbers)
    if len(ranked) > MOST_CLASSES:
        click.echo(f"... and {len(ranked) - MOST_CLASSES} smaller classes")


def _print_problems(problems: Sequence[str]) -> None:
    from zoo_recipes.custom_data.preparing import listed

    click.echo(f"\n{listed(problems)}")


def _print_contradictions(found: Sequence[str]) -> None:
    from zoo_recipes.custom_data.preparing import shown

    click.echo(
        f"\n{len(found):,} are in several classes. A training keeps them; --set "
        f"dataset.on_contradiction=drop leaves them out of it:{shown(found)}"
    )


def _print_suspects(suspects: Sequence[Suspect]) -> None:
    if not suspects:
        click.echo("\nNo class looks wrong.")
        return
    click.echo("\nClasses that are likely wrong, the likeliest first:")
    print_table(
        ("LOCATION", "CLASS", "LOOKS LIKE", "SELF-CONFIDENCE", "TEXT"),
        [(s.location, s.given, s.looks_like, f"{s.confidence:.3f}", s.text) for s in suspects],
        right=("SELF-CONFIDENCE",),
    )


def _next(report: DataReport, columns: tuple[str, ...]) -> None:
    words = ["zoo", "train", report.recipes[0], "--data", str(report.path)]
    words += [word for column in columns for word in ("--column", column)]
    if report.problems:
        words += ["--on-bad-record", "report"]
    if zoo_registry.recipes.get(report.recipes[0]).model.weights is not None:
        words += ["--download"]
    next_step(shlex.join(words))
