"""The course in docs/learn: its excerpts, its translation, its links and its experiments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.learn import (
    PAGES,
    ROOT,
    chapters,
    differs,
    excerpts,
    experiments,
    stands_in,
    translation,
)

FENCED = re.compile(r"```.*?```", re.DOTALL)
IMAGE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
FORMULA = re.compile(r"\$\$.*?\$\$", re.DOTALL)
ENGLISH = [PAGES / "index.md", *chapters()]


def test_the_course_has_thirteen_chapters_in_their_order() -> None:
    assert [page.stem[:2] for page in chapters()] == [f"{n:02}" for n in range(1, 14)]
    assert all(f"({page.name})" in (PAGES / "index.md").read_text("utf-8") for page in chapters())


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.stem)
def test_a_chapter_quotes_what_the_sources_say(page: Path) -> None:
    found = list(excerpts(page))
    assert found, "no code of this repository is shown"
    for path, code in found:
        assert stands_in(code, (ROOT / path).read_text("utf-8")), f"{path} no longer has:\n{code}"


def test_an_excerpt_is_not_found_in_a_source_that_changed() -> None:
    source = "def f(x):\n    if x:\n        y = 1\n\n        return y\n    return 0\n"
    assert stands_in("if x:\n    y = 1\n\n    return y\n", source)
    for changed in ("if x:\n    y = 2\n", "if x:\ny = 1\n", "if x:\n    return y\n", "f(x)\n"):
        assert not stands_in(changed, source)


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_the_chinese_chapter_has_the_same_blocks_formulas_and_links(page: Path) -> None:
    ours, theirs = (each.read_text("utf-8") for each in (page, translation(page)))
    for pattern in (FENCED, FORMULA, IMAGE):
        assert pattern.findall(ours) == pattern.findall(theirs)
    ours, theirs = (FENCED.sub("", text) for text in (ours, theirs))
    assert sorted(LINK.findall(ours)) == sorted(LINK.findall(theirs))
    assert len(re.findall(r"[\u4e00-\u9fff]", theirs)) > 100


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_links_of_the_course_lead_somewhere(page: Path) -> None:
    for text in (FENCED.sub("", each.read_text("utf-8")) for each in (page, translation(page))):
        for target in [*LINK.findall(text), *IMAGE.findall(text)]:
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), target


@pytest.mark.slow
def test_quick_experiments_print_what_the_course_shows() -> None:
    assert all(any(not each.is_long for each in experiments(page)) for page in chapters())
    # In a process of its own: seeds and compiled graphs are of a whole process.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learn", "--quick"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_differs_in_an_output_is_named() -> None:
    shown = "loss 2.31, 28 steps\n> any text\n"
    assert differs("loss 2.30, 28 steps\n> another\n", shown) is None
    assert differs("loss 2.31, 29 steps\n> any text\n", shown) == "loss 2.31, 29 steps"
    assert differs("loss 1.31, 28 steps\n> any text\n", shown) == "loss 1.31, 28 steps"
    assert differs("loss 2.31, 28 steps\n", shown) == "(nothing more)"
    assert differs("loss nan, 28 steps\n> any text\n", shown) == "loss nan, 28 steps"
