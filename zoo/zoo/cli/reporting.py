"""``zoo report`` and ``zoo card``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from zoo.cli.output import next_step

run = click.argument("run", type=click.Path(path_type=Path))


@click.command()
@run
@click.option("--out", type=click.Path(path_type=Path), help="The file [RUN/report.html].")
def report(*, run: Path, out: Path | None) -> None:
    """Write a page about a run: what was trained, what came of it, what it took."""
    from zoo_recipes.reporting.report import report as write_report

    click.echo(write_report(run, out=out))
    next_step(f"zoo card {shlex.quote(str(run))}")


@click.command()
@run
@click.option("--out", type=click.Path(path_type=Path), help="The file [RUN/README.md].")
def card(*, run: Path, out: Path | None) -> None:
    """Write a run's model card, as the Hugging Face hub reads it."""
    from zoo_recipes.reporting.card import card as write_card

    click.echo(write_card(run, out=out))
    next_step(f"zoo export {shlex.quote(str(run))}")
