"""The blocks of the README, and of the pages that a reader goes through, run as they are copied."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, ROOT, blocks, check_options, commands, run_command

# In this order: what one page makes, the next ones go on with.
COURSE = ("models", "training", "exporting", "predicting", "plugins")


# Of the site: they go on with what the README made.
GUIDES = [
    page
    for folder in ("start", "how-to")
    for page in sorted((DOCS / folder).glob("*.md"))
    if not page.stem.endswith(".zh")
]
CHINESE = [(ROOT / "README.md", ROOT / "README.zh-CN.md")] + [
    (page.with_name(page.name.replace(".zh.", ".")), page) for page in sorted(DOCS.rglob("*.zh.md"))
]


@pytest.mark.slow
def test_every_block_of_the_readme_and_of_the_guides_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run_blocks(ROOT / "README.md", tmp_path) == {"python": 5, "sh": 7}
    ran = {line for _, text in blocks(ROOT / "README.md") for line in [text, *commands(text)]}
    monkeypatch.chdir(tmp_path)
    for page in GUIDES:
        for language, text in blocks(page):
            lines = {"python": [text], "sh": commands(text)}.get(language, [])
            new = [line for line in lines if line not in ran]
            ran.update(new)
            for line in new:
                if language == "sh":
                    run_command(line)
                else:
                    exec(compile(line, page.name, "exec"), {})


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_commands_that_are_too_long_for_a_test_have_such_options(page: Path) -> None:
    for line in (
        line for language, text in blocks(page) if not language for line in commands(text)
    ):
        check_options(line)


@pytest.mark.slow
def test_every_block_of_the_pages_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What is installed meanwhile is seen by new processes alone.
    ran = {
        page: _run_blocks(DOCS / f"{page}.md", tmp_path, here=page != "plugins") for page in COURSE
    }
    assert ran == {
        "models": {"python": 1, "sh": 4},
        "training": {"python": 0, "sh": 10},
        "exporting": {"python": 1, "sh": 4},
        "predicting": {"python": 1, "sh": 1},
        "plugins": {"python": 2, "sh": 3},
    }


@pytest.mark.parametrize(("ours", "theirs"), CHINESE, ids=lambda page: page.stem)
def test_a_chinese_page_has_the_same_blocks_pictures_and_links(ours: Path, theirs: Path) -> None:
    assert blocks(theirs) == blocks(ours)
    for wanted in (r"!\[[^]]*\](\([^)]*\))", r"(?<!!)\[[^]]*\]\(([^)#]+)"):
        languages = {"README.md", "README.zh-CN.md"}
        found = [re.findall(wanted, page.read_text("utf-8")) for page in (ours, theirs)]
        assert [[x for x in each if x not in languages] for each in found] == [
            [x for x in found[0] if x not in languages]
        ] * 2


def _run_blocks(page: Path, folder: Path, *, here: bool = False) -> dict[str, int]:
    """Run what a page has, each command in a process of its own or here, and count it."""
    ran = {"python": 0, "sh": 0}
    for language, text in blocks(page):
        if language == "python":
            ran["python"] += 1
            _run([sys.executable, "-c", text], folder)
        for line in commands(text) if language == "sh" else []:
            ran["sh"] += 1
            if here:
                run_command(line)
            else:
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
    "page",
    [*sorted(ROOT.glob("README*.md")), *sorted(DOCS.rglob("*.md"))],
    ids=lambda page: page.stem,
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
