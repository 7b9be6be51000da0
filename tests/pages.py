"""The blocks of pages: what tests run of them, and what they only read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from zoo.cli.main import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of each block of a page; without a language it is not run."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(text: str) -> list[str]:
    """Return the commands of ours in a block; installing, and make, are what brought tests here."""
    return re.findall(r"^zoo .*", text, re.MULTILINE)


def run_command(line: str) -> Any:
    """Run a command in this process and return what click says of it."""
    _, *words = shlex.split(line, comments=True)
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done


def check_options(line: str) -> None:
    """Read the words of a command as it would, and do not begin it."""
    _, name, *words = shlex.split(line, comments=True)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    command.make_context(name, words)
