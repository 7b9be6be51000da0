"""Whether the experiments of the course in docs/learn still print what its pages show.

    python -m benchmarks.learn [--quick] [--write] [CHAPTER ...]

A block with a title is an excerpt of that file. A Python block without one is an experiment, and
the block of text behind it is what it printed. The experiments of the chapters named (`07-gpt`), or
of all, are run, with `--quick` those that are not long. With `--write`, what they print replaces
what the page shows, and what its translation shows, which has the same blocks.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import runpy
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "learn"
# Experiments that begin with it train for a minute or more; the tests leave them out.
LONG = "# Long:"
# A line of generated text: other machines draw other tokens.
GENERATED = ">"
# What another machine may differ by, beside two units of the last digit that is shown.
TOLERANCE = 0.05
EXPERIMENT = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```\n", re.DOTALL)
EXCERPT = re.compile(r'```\w+ title="(?P<path>[^"]+)"\n(?P<code>.*?)```\n', re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d*)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Experiment:
    """A program of a page.

    Args:
        page: Where it stands.
        index: Which of the page's experiments it is, from 0.
        code: The program.
        output: What the page says that it prints.
    """

    page: Path
    index: int
    code: str
    output: str

    @property
    def is_long(self) -> bool:
        """Whether it trains for a minute or more."""
        return self.code.startswith(LONG)

    def __str__(self) -> str:
        """Return the chapter and the number within it, from 1."""
        return f"{self.page.stem}, experiment {self.index + 1}"


def chapters() -> list[Path]:
    """Return the English pages in their order."""
    return sorted(page for page in PAGES.glob("[0-9]*.md") if not page.stem.endswith(".zh"))


def translation(page: Path) -> Path:
    """Return the Chinese twin of a page."""
    return page.with_name(f"{page.stem}.zh.md")


def experiments(page: Path) -> list[Experiment]:
    """Return the experiments of a page."""
    found = EXPERIMENT.finditer(page.read_text(encoding="utf-8"))
    return [Experiment(page, at, m["code"], m["output"]) for at, m in enumerate(found)]


def excerpts(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the path within the repository and the text of each excerpt of a page."""
    for match in EXCERPT.finditer(page.read_text(encoding="utf-8")):
        yield match["path"], match["code"]


def stands_in(excerpt: str, source: str) -> bool:
    """Return whether lines stand in a source one behind the other, all indented alike.

    Example:
        >>> stands_in("if b:\\n    c()\\n", "def a():\\n    if b:\\n        c()\\n")
        True
        >>> stands_in("b = 1\\nc()\\n", "b = 1\\nd()\\nc()\\n")
        False
    """
    wanted, lines = excerpt.splitlines(), source.splitlines()
    for start, line in enumerate(lines):
        if line.strip() != wanted[0].strip():
            continue
        indent = " " * (len(line) - len(wanted[0]))
        shifted = [indent + each if each else "" for each in wanted]
        if lines[start : start + len(wanted)] == shifted:
            return True
    return False


def differs(found: str, stated: str) -> str | None:
    """Return the first line of what was printed that the page does not show; ``None`` if none.

    Words and whole numbers have to be equal, other numbers nearly so, generated texts not.

    Example:
        >>> differs("accuracy 0.91\\n", "accuracy 0.92\\n")
        >>> differs("accuracy 0.41\\n", "accuracy 0.92\\n")
        'accuracy 0.41'
        >>> differs("5 of 10\\n", "6 of 10\\n")
        '5 of 10'
    """
    ours, theirs = found.splitlines(), stated.splitlines()
    for at, line in enumerate(ours):
        if at >= len(theirs) or not _alike(line, theirs[at]):
            return line
    return None if len(ours) == len(theirs) else "(nothing more)"


def _alike(found: str, stated: str) -> bool:
    if stated.startswith(GENERATED):
        return found.startswith(GENERATED)
    words = ["".join(_NUMBER.sub("#", text).split()) for text in (found, stated)]
    numbers = zip(_NUMBER.findall(found), _NUMBER.findall(stated), strict=False)
    return words[0] == words[1] and all(_near(*both) for both in numbers)


def _near(found: str, stated: str) -> bool:
    if stated.strip("-").replace(",", "").isdigit():
        return found == stated
    mantissa, _, exponent = stated.replace(",", "").partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    value = float(stated.replace(",", ""))
    return abs(float(found.replace(",", "")) - value) <= 2.01 * unit + TOLERANCE * abs(value)


def run(experiment: Experiment, folder: Path) -> str:
    """Return what an experiment prints.

    Args:
        experiment: The program.
        folder: Where it runs, and leaves its files.
    """
    program, printed = folder / "experiment.py", io.StringIO()
    program.write_text(experiment.code, encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(program), run_name="__main__")
    finally:
        os.chdir(before)
    return printed.getvalue()


def _write(experiment: Experiment, output: str) -> None:
    for page in (experiment.page, translation(experiment.page)):
        text = page.read_text(encoding="utf-8")
        match = list(EXPERIMENT.finditer(text))[experiment.index]
        start, end = match.span("output")
        page.write_text(text[:start] + output + text[end:], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiments; return 1 where a page shows something else."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="such as 07-gpt; else all")
    parser.add_argument("--write", action="store_true", help="put what is printed into the pages")
    parser.add_argument("--quick", action="store_true", help="leave out what trains for long")
    chosen = parser.parse_args(arguments)
    pages = {page.stem: page for page in chapters()}
    if unknown := [name for name in chosen.chapters if name not in pages]:
        parser.error(f"no chapter '{unknown[0]}': there are {', '.join(pages)}")
    failures = 0
    for name in chosen.chapters or pages:
        with tempfile.TemporaryDirectory() as folder:
            for experiment in experiments(pages[name]):
                if chosen.quick and experiment.is_long:
                    continue
                found = run(experiment, Path(folder))
                line = differs(found, experiment.output)
                print(f"{experiment}: {'as shown' if line is None else f'now prints: {line}'}")
                failures += line is not None
                if chosen.write:
                    _write(experiment, found)
    return int(failures > 0 and not chosen.write)


if __name__ == "__main__":
    sys.exit(main())
