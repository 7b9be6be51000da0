"""The ``zoo`` command: finds the sub-command, and turns errors into one clear message."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import click

from zoo.cli import INTERRUPTED
from zoo_models.backend import CheckedKeras
from zoo_registry import UsageError, ZooError, did_you_mean, load_target
from zoo_system.errors import printable
from zoo_system.fast_keras import fast_keras
from zoo_system.quiet import quiet_tensorflow


@dataclass(frozen=True)
class Command:
    """A sub-command; its module is imported when it runs, so that listing never pays for training.

    Args:
        target: ``"module:function"``.
        summary: What ``zoo --help`` says of it in a terminal of 80 columns.
    """

    target: str
    summary: str


# In the order of `zoo --help`.
GROUPS = {
    "Find": {
        "models": Command("zoo.cli.listing:models", "List models."),
        "show": Command("zoo.cli.listing:show", "Show what is known about a model."),
        "choose": Command("zoo.cli.sizing:choose", "Rank the models that fit a task and limits."),
        "recipes": Command("zoo.cli.listing:recipes", "List recipes with their results."),
        "recipe": Command("zoo.cli.listing:recipe", "Print a recipe, to copy and change."),
        "datasets": Command("zoo.cli.listing:datasets", "List data sets."),
        "data": Command("zoo.cli.data:data", "Report on your own data."),
    },
    "Train": {
        "train": Command("zoo.cli.training:train", "Train a recipe."),
        "tune": Command("zoo.cli.tuning:tune", "Search better settings of a recipe."),
        "runs": Command("zoo.cli.runs:runs", "List and compare runs."),
        "reproduce": Command("zoo.cli.runs:reproduce", "Train a run again, compare the weights."),
        "trackers": Command("zoo.cli.listing:trackers", "List what follows a training."),
        "launchers": Command("zoo.cli.listing:launchers", "List what starts several workers."),
    },
    "Measure": {
        "evaluate": Command("zoo.cli.evaluating:evaluate", "Measure a run or a bundle."),
        "explain": Command("zoo.cli.explaining:explain", "Show what a prediction depends on."),
        "report": Command("zoo.cli.runs:report", "Write a page about a run."),
        "card": Command("zoo.cli.runs:card", "Write a run's model card."),
        "bench": Command("zoo.cli.benching:bench", "Measure size, speed and memory of files."),
    },
    "Ship": {
        "formats": Command("zoo.cli.listing:formats", "List formats and their schemes."),
        "export": Command("zoo.cli.exporting:export", "Export a run or a model to a bundle."),
        "verify": Command("zoo.cli.exporting:verify", "Compare a bundle's files with Keras again."),
        "predict": Command("zoo.cli.predicting:predict", "Predict with a run or a bundle."),
        "generate": Command("zoo.cli.generating:generate", "Let a language model write."),
        "chat": Command("zoo.cli.generating:chat", "Talk with a language model."),
        "serve": Command("zoo.cli.serving:serve", "Serve a model over HTTP."),
    },
    "Extend": {
        "plugins": Command("zoo.cli.plugins:plugins", "List plugins and what is wrong with them."),
        "check": Command("zoo.cli.plugins:check", "Try out what models, data and recipes promise."),
        "new-plugin": Command("zoo.cli.plugins:new_plugin", "Write a package of your own models."),
        "doctor": Command("zoo.cli.plugins:doctor", "Say what is wrong here, and how to fix it."),
        "completion": Command("zoo.cli.completing:completion", "Complete words in your shell."),
        "demo": Command("zoo.cli.demo:demo", "Train, export, verify and predict in a minute."),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


class ZooGroup(click.Group):
    """A group that imports each command on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or refuse with the closest name."""
        if cmd_name not in COMMANDS:
            hint = did_you_mean(cmd_name, COMMANDS)
            raise click.UsageError(f"There is no command '{cmd_name}'.{hint}", ctx)
        command: click.Command = load_target(COMMANDS[cmd_name].target)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, row.summary) for name, row in commands.items()])


@click.group(cls=ZooGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kerazoo", prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """From a name, to a trained model, to a verified artifact on an edge device."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 wrong use, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    atexit.register(_end_errors)
    try:
        if not debug:
            quiet_tensorflow()
        fast_keras()
        sys.meta_path.insert(0, CheckedKeras())
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        # `--debug` is understood wherever it stands.
        words = [word for word in given if word != "--debug"]
        cli.main(words, prog_name="zoo", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort as aborted:  # what click makes of Ctrl-C, after a new line
        sys.exit(_report(aborted.__cause__ or KeyboardInterrupt()))
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        sys.exit(_report(error))
    finally:
        # It runs before what a plugin has registered, whose output is not part of the result.
        atexit.register(_end_output)


def _report(error: BaseException) -> int:
    """Print one message and return the exit code that goes with it."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        click.echo(f"interrupted: {error}" if str(error) else "interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, ZooError):
        click.echo(f"error: {printable(str(error))}", err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        begins = printable(str(error.filename))[:40]
        click.echo(
            f"error: '{begins}...' is longer than the name of any file: give a name or a path.",
            err=True,
        )
        return UsageError.exit_code
    click.echo(f"error: {type(error).__name__}: {printable(str(error))}", err=True)
    if not isinstance(error, OSError):
        click.echo("This is not a message of ours: --debug shows where it comes from.", err=True)
    return 1


def _end_output() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is none
        sys.stdout.flush()
        os.dup2(2, 1)


def _end_errors() -> None:
    """Leave out what LiteRT says when the process ends, after all else that could be said."""
    if "ai_edge_litert.compiled_model" in sys.modules:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if issubclass(category, (FutureWarning, UserWarning)):
        click.echo(f"warning: {printable(str(message))}", err=True)
