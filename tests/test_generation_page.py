"""The commands and programs of docs/generation.md, run in order as a reader would copy them.

They run in this process, on a training that is over in seconds: where a line is about a model that
only the network has, or about a server that does not end, its options and its syntax are checked.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
# What makes the training of the page a short one; the model has the same parts.
SHORT = ["fit.epochs=1", "dataset.train=train[:20%]", "model.overrides.num_layers=1"]
# What cannot be had here, and what waits for requests or for words.
ELSEWHERE = re.compile(r"hf://|\.gguf|gemma3|^zoo (serve|chat)|g2p|django")


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = {"python": 0, "sh": 0, "checked": 0}
    for language, text in BLOCKS:
        if ELSEWHERE.search(text):
            (_check_program if language == "python" else _check_options)(text)
            ran["checked"] += 1
        elif language == "python":
            exec(compile(text, "docs/generation.md", "exec"), {})
            ran["python"] += 1
        else:
            for line in _commands(text):
                short = [word for one in SHORT for word in ("--set", one)]
                words = [*line, *(short if line[0] == "train" else [])]
                done = CliRunner().invoke(cli, words)
                assert done.exit_code == 0, (words, done.output, done.exception)
                ran["sh"] += 1
    assert ran == {"python": 2, "sh": 5, "checked": 4}


def _commands(text: str) -> list[list[str]]:
    return [
        shlex.split(line, comments=True)[1:]
        for line in text.splitlines()
        if line.startswith("zoo ")
    ]


def _check_options(text: str) -> None:
    """Parse the words of each command as it would, and do not begin it."""
    for name, *words in _commands(text):
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None, name
        command.make_context(name, words)


def _check_program(text: str) -> None:
    """Compile a program, and look for the arguments that it gives to functions of ours."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name.startswith("zoo."):
            function = getattr(zoo, name.removeprefix("zoo."))
            given = {word.arg: None for word in call.keywords if word.arg}
            inspect.signature(function).bind(*call.args, **given)
