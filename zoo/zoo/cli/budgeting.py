"""``zoo export RUN --max-drop``: the smallest artifact that keeps a budget."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.output import next_step, print_json, print_table, progress
from zoo_registry import UsageError

if TYPE_CHECKING:
    from zoo_export.budget import BudgetReport
    from zoo_runtime.bundle import Bundle


class Share(click.ParamType[float]):
    """A share in percent: ``0.5%``; a bare number could be meant either way."""

    name = "percent"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the share that a word means."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+\.?\d*)\s*%", value)
        if found is None:
            self.fail(f"'{value}' is no percentage, such as 0.5%.", param, ctx)
        return float(found[1]) / 100


SHARE = Share()


def export_within_budget(
    source: str,
    *,
    wanted: str | None,
    target: str | None,
    max_drop: float | None,
    max_mb: float | None,
    max_ms: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Try schemes on a run, show what each costs, and write the bundle that keeps the budget.

    Raises:
        UsageError: Something that is no run, a target, or a budget without ``max_drop``.
        BudgetError: Nothing keeps the budget.
    """
    from pathlib import Path

    from zoo_export.budget import FORMATS, Budget, candidates, export_within

    if max_drop is None:
        raise UsageError("--max-mb and --max-ms need --max-drop: how much accuracy may be lost?")
    if target is not None:
        raise UsageError(f"--max-drop chooses one format, and target '{target}' needs its own.")
    if not Path(source).exists():
        raise UsageError(
            f"--max-drop is measured on a run's held-out examples, and '{source}' is no run."
        )
    budget = Budget(max_drop=max_drop, max_mb=max_mb, max_ms=max_ms)
    to = [word.strip() for word in wanted.split(",")] if wanted else list(FORMATS)
    with progress([row.name for row in candidates(to)]) as on_event:
        bundle, report = export_within(source, budget, to=to, on_event=on_event, **options)
    if as_json:
        print_json({"bundle": str(bundle.path), **asdict(report)})
    else:
        _print(bundle, report)


def _print(bundle: Bundle, report: BudgetReport) -> None:
    from zoo_export.budget import HEADER, RIGHT

    print_table(HEADER, report.rows(), right=[HEADER[index] for index in RIGHT])
    click.echo()
    for note in report.notes():
        click.echo(note)
    kept = bundle.artifacts[0]
    click.echo(f"Kept: {bundle.path / kept.path}")
    next_step(f"zoo verify {shlex.quote(str(bundle.path))}")
