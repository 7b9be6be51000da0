"""``zoo check``."""

from __future__ import annotations

from dataclasses import asdict

import click

from zoo.cli.listing import as_json
from zoo.cli.output import next_step, print_json, print_table
from zoo_registry import ZooError, formats


@click.command()
@click.argument("name")
@click.option("--task", help="Head [the model's first].")
@click.option("--full-size", is_flag=True, help="As the model is named, not reduced for tests.")
@click.option("--to", "wanted", help="Formats with commas, or none [all that are built in].")
@as_json
def check(
    *, name: str, task: str | None, full_size: bool, wanted: str | None, as_json: bool
) -> None:
    """Try out what every model promises: build, run, save, clone, train, export."""
    from zoo.conformance import Step, check

    to = None if wanted is None else [] if wanted == "none" else wanted.split(",")
    to = to and [formats.get(word.strip()).name for word in to]

    def show(step: Step) -> None:
        click.echo(f"{step.name}: {'ok' if step.ok else 'FAILED'}", err=True)

    steps = check(name, task=task, full_size=full_size, formats=to, on_step=show)
    if as_json:
        print_json([asdict(step) for step in steps])
    else:
        print_table(
            ("STEP", "RESULT", "SECONDS", "DETAIL"),
            [(s.name, "ok" if s.ok else "FAILED", f"{s.seconds:.1f}", s.detail) for s in steps],
            right=("SECONDS",),
        )
    failed = [step.name for step in steps if not step.ok]
    if failed:
        raise ZooError(f"Model '{name}' failed: {', '.join(failed)}.")
    if not as_json:
        next_step(f"zoo export {name} --to tflite")
