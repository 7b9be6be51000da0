"""Tables, JSON and the line that says what to do next."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import zoo_registry
from zoo.cli import tables
from zoo_system.errors import UsageError, as_sentence, printable

if TYPE_CHECKING:
    from rich.console import Console

    from zoo_export.making.assembly import Progress as ExportProgress

PROVIDER_HELP = (
    "What computes: an execution provider of onnxruntime such as cuda, or for LiteRT xnnpack, "
    "builtin, reference or a delegate's library [the processor]."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
# A pipe has no width of its own: wide enough that no cell is cut.
PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """Return a console for what moves or has colours, on standard output or standard error."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Without markup: shapes and labels have square brackets of their own.
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def print_json(value: Any) -> None:
    """Print plain data as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # Half a character, as a plugin's text may have, has no encoding; JSON writes it as \udc80.
    click.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def one_line(text: str) -> str:
    r"""Return a text that a terminal shows in one line, whatever is in the names of others.

    Example:
        >>> one_line("north\nand south\n")
        'north and south'
    """
    return printable(" ".join(text.splitlines()))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print rows under a header.

    Args:
        columns: The header, in which the first names a row and the last takes what is left.
        rows: One string a column.
        right: The columns that are aligned to the right, such as counts.
    """
    head, *shown = [[one_line(cell) for cell in row] for row in (columns, *rows)]
    for line, stands_out in tables.table(head, shown, width=_width(), right=right):
        click.echo(click.style(line, bold=True) if stands_out else line)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on standard error; what is yielded takes steps done, steps in all, and a text."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=None)
        yield lambda done, total, text: bars.update(
            task, completed=done, total=total, description=text
        )


def print_fields(fields: Mapping[str, str]) -> None:
    """Print names and values in two columns; empty values are left out."""
    shown = {name: printable(value) for name, value in fields.items() if value}
    for name, value in tables.fields(shown, width=_width()):
        click.echo(click.style(name, bold=True) + value)


def _width() -> int | None:
    # What reads a pipe finds one row in a line.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def warn_of_broken_plugins() -> None:
    """Name on standard error the models that a listing left out since their plugin is broken."""
    for problem in zoo_registry.models.problems:
        click.echo(
            f"warning: {problem.group} '{problem.name}' of plugin '{problem.distribution}' "
            f"{problem.version} is left out: {as_sentence(problem.reason)} "
            "`zoo plugins` shows more.",
            err=True,
        )


def next_step(text: str) -> None:
    """Print what to do next, after an empty line."""
    click.echo(f"\nNext: {click.style(text, bold=True)}")


def as_options(chosen: Mapping[str, Any]) -> str:
    """Return options of a command as they are typed, each after a space; those without a value go.

    A flag is ``True`` or ``False``.

    Example:
        >>> as_options({"word": "the#2", "second": None, "question": "who is it"})
        " --word 'the#2' --question 'who is it'"
        >>> as_options({"words": True, "superpixels": False, "patches": 16})
        ' --words --patches 16'
        >>> as_options({"max_params": 5})
        ' --max-params 5'
    """
    given = {name.replace("_", "-"): value for name, value in chosen.items() if value}
    return "".join(
        f" --{name}" if value is True else f" --{name} {shlex.quote(str(value))}"
        for name, value in given.items()
    )


class Number(click.ParamType[int]):
    """A count with a unit: ``5M`` is five million."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number that a word means."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+\.?\d*)([kMGT]?)", value)
        if found is None:
            self.fail(f"'{value}' is not a number, such as 5000, 5k, 5M or 1.5G.", param, ctx)
        return round(float(found[1]) * UNITS[found[2]])


NUMBER = Number()
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def count(number: float) -> str:
    """Return a large count as people read it.

    Example:
        >>> count(4_089_184_256), count(61_706)
        ('4.09 G', '61.7 k')
    """
    unit = next((unit for unit, size in reversed(UNITS.items()) if size <= number), "")
    return f"{number / UNITS[unit]:.3g} {unit}".rstrip()


def size(num_bytes: int) -> str:
    """Return a number of bytes as people read it.

    Example:
        >>> size(1_234_567)
        '1.23 MB'
    """
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.1f} kB"
    if num_bytes < 1_000_000_000:
        return f"{num_bytes / 1_000_000:.2f} MB"
    return f"{num_bytes / 1_000_000_000:.2f} GB"


@contextmanager
def progress(
    formats: Sequence[str], failures: dict[str, str] | None = None
) -> Iterator[Callable[[ExportProgress], None]]:
    """Show a line a format on standard error while it is converted and verified.

    Args:
        formats: Their names.
        failures: Where the messages of those that fail are put.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    # No markup: ":train:" would be shown as a picture of a train.
    text_column = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(finished_text=" "), text_column)
    with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True)) as bars:
        rows = {name: bars.add_task(f"{name}: waiting", total=1) for name in formats}
        waiting = set(rows)

        def on_event(event: ExportProgress) -> None:
            if event.error is not None and failures is not None:
                failures[event.format] = event.error
            if event.format not in rows:  # what a search turns to later
                rows[event.format] = bars.add_task(event.format, total=1)
            waiting.discard(event.format)
            done = event.state != "started"
            text = event.state if done else "converting, then running in its own runtime"
            bars.update(rows[event.format], description=f"{event.format}: {text}", completed=done)

        try:
            yield on_event
        finally:
            for name in waiting:  # what was refused before it began leaves no line
                bars.remove_task(rows[name])


def refuse(given: Mapping[str, Any], what_for: str) -> None:
    """Refuse options that were given and are of no use here.

    Args:
        given: Their values by name.
        what_for: Such as ``for a bundle``.

    Raises:
        UsageError: One has a value.
    """
    for option, value in given.items():
        if value:
            raise UsageError(f"--{option.replace('_', '-')} is {what_for}.")
