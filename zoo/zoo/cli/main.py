"""The ``zoo`` command: finds the sub-command, and turns errors into one clear message."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import warnings
from importlib.abc import MetaPathFinder
from typing import Any

import click

from zoo.cli import INTERRUPTED
from zoo_models.build import check_backend
from zoo_registry import ZooError, did_you_mean, load_target
from zoo_system.errors import printable
from zoo_system.fast_keras import fast_keras
from zoo_system.quiet import quiet_tensorflow

# In the order of `zoo --help`. A command's module is imported when it is asked for, so that
# listing names never pays for training.
COMMANDS = {
    "models": "zoo.cli.listing:models",
    "show": "zoo.cli.listing:show",
    "choose": "zoo.cli.sizing:choose",
    "recipes": "zoo.cli.listing:recipes",
    "recipe": "zoo.cli.listing:recipe",
    "datasets": "zoo.cli.listing:datasets",
    "data": "zoo.cli.data:data",
    "formats": "zoo.cli.listing:formats",
    "trackers": "zoo.cli.listing:trackers",
    "launchers": "zoo.cli.listing:launchers",
    "train": "zoo.cli.training:train",
    "tune": "zoo.cli.tuning:tune",
    "evaluate": "zoo.cli.evaluating:evaluate",
    "runs": "zoo.cli.runs:runs",
    "reproduce": "zoo.cli.runs:reproduce",
    "report": "zoo.cli.runs:report",
    "card": "zoo.cli.runs:card",
    "export": "zoo.cli.exporting:export",
    "verify": "zoo.cli.exporting:verify",
    "bench": "zoo.cli.benching:bench",
    "predict": "zoo.cli.predicting:predict",
    "generate": "zoo.cli.generating:generate",
    "chat": "zoo.cli.generating:chat",
    "serve": "zoo.cli.serving:serve",
    "explain": "zoo.cli.explaining:explain",
    "check": "zoo.cli.plugins:check",
    "plugins": "zoo.cli.plugins:plugins",
    "demo": "zoo.cli.demo:demo",
}


class CheckedKeras(MetaPathFinder):
    """Refuses to import Keras on another backend, whichever command is the first to want it."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing, having looked."""
        if fullname == "keras":
            check_backend()


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
        command: click.Command = load_target(COMMANDS[cmd_name])
        return command


@click.group(cls=ZooGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kerazoo", prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """From a name, to a trained model, to a verified artifact on an edge device."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 wrong use, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        if not debug:
            quiet_tensorflow()
        fast_keras()
        sys.meta_path.insert(0, CheckedKeras())
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        # `--debug` is understood wherever it stands.
        cli.main([word for word in given if word != "--debug"], standalone_mode=False)
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
    click.echo(f"error: {type(error).__name__}: {printable(str(error))}", err=True)
    if not isinstance(error, OSError):
        click.echo("This is not a message of ours: --debug shows where it comes from.", err=True)
    return 1


def _end_output() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is none
        sys.stdout.flush()
        os.dup2(2, 1)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if issubclass(category, (FutureWarning, UserWarning)):
        click.echo(f"warning: {printable(str(message))}", err=True)
