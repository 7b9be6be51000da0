"""The README's snippets and commands, run in order as a reader would copy them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path) -> None:
    ran = {"python": 0, "sh": 0}
    for language, text in BLOCKS:
        if language == "python":
            ran["python"] += 1
            _run([sys.executable, "-c", text], tmp_path)
            continue
        # Installing, and make, are what brought this test here.
        for line in (line for line in text.splitlines() if line.startswith("zoo ")):
            ran["sh"] += 1
            _run([sys.executable, "-m", "zoo.cli", *line.split()[1:]], tmp_path)
    assert ran == {"python": 4, "sh": 19}


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command[2:], done.stdout, done.stderr)


def test_the_make_commands_it_names_exist() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
