"""The commands and programs of docs/generation.md, run in order as a reader would copy them.

They run in this process, on a training that is over in seconds. Of what only the network has, what
takes minutes and what waits for requests the options and arguments are checked.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from pages import DOCS, blocks, check_options, commands, run_command

import zoo

# What makes the training of the page a short one: the model has the same parts.
SHORT = ["fit.epochs=1", "dataset.train=train[:10%]", "model.overrides.num_layers=1"]
ELSEWHERE = re.compile(
    r"hf://|\.gguf|gemma3|qwen3|onnxruntime-genai|g2p|shakespeare|pydoc-llama|litertlm|int8"
)


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = {"python": 0, "sh": 0, "checked": 0}
    run = [block for block in blocks(DOCS / "generation.md") if block[0] in {"python", "sh"}]
    for language, text in run:
        lines = [text] if language == "python" else commands(text)
        for line in lines:
            if ELSEWHERE.search(line):
                (_check_program if language == "python" else check_options)(line)
                ran["checked"] += 1
            elif language == "python":
                exec(compile(line, "docs/generation.md", "exec"), {})
                ran["python"] += 1
            else:
                _run(line)
                ran["sh"] += 1
    assert ran == {"python": 2, "sh": 4, "checked": 12}


def _run(line: str) -> None:
    settings = "".join(f" --set {setting}" for setting in SHORT)
    run_command(f"{line}{settings}" if line.startswith("zoo train") else line)


def _check_program(text: str) -> None:
    """Look for the arguments that a program gives to functions of ours."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name.startswith("zoo."):
            given = {word.arg: None for word in call.keywords if word.arg}
            function = getattr(zoo, name.removeprefix("zoo."))
            inspect.signature(function).bind(*call.args, **given)
