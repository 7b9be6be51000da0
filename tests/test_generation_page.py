"""The commands and programs of docs/generation.md, run in order as a reader would copy them.

They run in this process, on a training that is over in seconds. Of what only the network has, what
takes minutes and what waits for requests the options and arguments are checked.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
# What makes the training of the page a short one: the model has the same parts.
SHORT = ["fit.epochs=1", "dataset.train=train[:10%]", "model.overrides.num_layers=1"]
ELSEWHERE = re.compile(
    r"hf://|\.gguf|gemma3|qwen3|onnxruntime-genai|g2p|shakespeare|pydoc-llama|litertlm|int8"
)


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = {"python": 0, "sh": 0, "checked": 0}
    for language, text in BLOCKS:
        lines = [text] if language == "python" else re.findall(r"^zoo .*", text, re.MULTILINE)
        for line in lines:
            if ELSEWHERE.search(line):
                (_check_program if language == "python" else _check_options)(line)
                ran["checked"] += 1
            elif language == "python":
                exec(compile(line, "docs/generation.md", "exec"), {})
                ran["python"] += 1
            else:
                _run(line)
                ran["sh"] += 1
    assert ran == {"python": 2, "sh": 4, "checked": 12}


def _run(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    if words[0] == "train":
        words += [word for setting in SHORT for word in ("--set", setting)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, (words, done.output, done.exception)


def _check_options(line: str) -> None:
    """Read the words of a command as it would, and do not begin it."""
    _, name, *words = shlex.split(line, comments=True)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    command.make_context(name, words)


def _check_program(text: str) -> None:
    """Look for the arguments that a program gives to functions of ours."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name.startswith("zoo."):
            given = {word.arg: None for word in call.keywords if word.arg}
            function = getattr(zoo, name.removeprefix("zoo."))
            inspect.signature(function).bind(*call.args, **given)
