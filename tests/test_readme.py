"""The blocks of the README, and of the pages that a reader goes through, run as they are copied."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```(python|sh)\n(.*?)```", re.DOTALL)
# In this order: what one page makes, the next ones go on with.
COURSE = ("models", "training", "exporting", "predicting", "plugins")


@pytest.mark.slow
def test_every_block_of_the_readme_runs(tmp_path: Path) -> None:
    assert _run_blocks(ROOT / "README.md", tmp_path) == {"python": 5, "sh": 7}


@pytest.mark.slow
def test_every_block_of_the_pages_runs(tmp_path: Path) -> None:
    ran = {page: _run_blocks(ROOT / "docs" / f"{page}.md", tmp_path) for page in COURSE}
    assert ran == {
        "models": {"python": 1, "sh": 4},
        "training": {"python": 0, "sh": 10},
        "exporting": {"python": 1, "sh": 4},
        "predicting": {"python": 1, "sh": 1},
        "plugins": {"python": 2, "sh": 3},
    }


def test_the_chinese_readme_has_the_same_blocks_and_pictures() -> None:
    ours, theirs = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    for wanted in (r"```.*?```", r"!\[[^]]*\](\([^)]*\))", r"(?<!!)\[[^]]*\](\([^)#]+\))"):
        found = [re.findall(wanted, text, re.DOTALL) for text in (ours, theirs)]
        languages = ("(README.md)", "(README.zh-CN.md)")
        assert [[x for x in each if x not in languages] for each in found] == [
            [x for x in found[0] if x not in languages]
        ] * 2


def _run_blocks(page: Path, folder: Path) -> dict[str, int]:
    ran = {"python": 0, "sh": 0}
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            ran["python"] += 1
            _run([sys.executable, "-c", text], folder)
            continue
        # Installing, and make, are what brought this test here.
        for line in (line for line in text.splitlines() if line.startswith("zoo ")):
            ran["sh"] += 1
            _run([sys.executable, "-m", "zoo.cli", *line.split()[1:]], folder)
    return ran


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command[2:], done.stdout, done.stderr)


def test_the_make_commands_it_names_exist() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)|`make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        other = page.parent / path if path else page
        assert other.exists(), target
        if heading and other.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, target
