"""Whether what the README and the pages state is still so: `make claims`.

    python -m benchmarks.claims [--quick] [NAME ...]

Figures stand in `claims.toml` alone; `--write` puts them into the README and into `docs/`. Each
claim has the command that prints its figures: it is run, what it prints is compared with what is
stated, and a table says what stands, what fell and what could not be run here. What was found is
kept for as long as code and claim are the same, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zoo_registry
from zoo.cli.output import print_table
from zoo_recipes.catalog import RECIPES
from zoo_system.durable import write_text
from zoo_system.machine import vectors

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).with_name("claims.toml")
FOUND = ROOT / "build" / "claims.json"
INDEX = "https://pypi.org/simple/"
# Where a page has a figure, invisible where the page is read: <!--cold-start.models-->12<!---->.
MARK = re.compile(r"(<!--([a-z0-9.+-]+\.[a-z0-9-]+)-->)([^<]*)(<!---->)")
TABLE = re.compile(r"(<!--rows:([a-z-]+)-->\n).*?(<!---->)", re.DOTALL)
REFERENCE = re.compile(r"\{([^{}]+)\}")
_LINES_OF_TABLES = str.maketrans("│┃|", "   ")
STANDS, FELL, NOT_RUN = "stands", "fell", "could not be run here"


@dataclass(frozen=True)
class Figure:
    """A number that is stated.

    Args:
        stated: As the pages have it.
        find: Regular expression of which the first group is the number in what the command prints.
        tolerance: How far what is measured may be from it; unless ``bound`` is only on one side.
        bound: ``at least`` and ``at most`` of claims that are no mistake when they are exceeded.
    """

    stated: str
    find: str
    tolerance: float = 0.0
    bound: Literal["within", "at least", "at most"] = "within"

    def holds(self, measured: float) -> bool:
        """Return whether a measured number is what is stated.

        Example:
            >>> Figure(".92", r"(\\S+)", tolerance=0.05).holds(0.96)
            True
            >>> Figure("40", r"(\\S+)", bound="at least").holds(39)
            False
        """
        over = measured - float(self.stated)
        within = abs(over) <= self.tolerance * (1 + 1e-9)
        return within or {"at least": over > 0, "at most": over < 0}.get(self.bound, False)

    def measured(self, printed: str) -> float | None:
        """Return the number in what a command printed, if it is there."""
        found = re.search(self.find, printed, re.MULTILINE)
        return float(found[1].replace(",", "")) if found else None

    def __str__(self) -> str:
        return f"{self.stated} ± {self.tolerance:g}" if self.bound == "within" else self.stated


@dataclass(frozen=True)
class Claim:
    """A command and the figures in what it prints; without any, it has to succeed.

    Args:
        command: As the pages show it, with ``python`` and ``zoo``.
        figures: By name.
        quick: Whether it takes less than a few minutes: those are run on every change.
        needs: Files from the root of the checkout, and packages as ``package:NAME``, without which
            it cannot be run; ``download`` where packages of data are fetched; ``vectors:AVX2``
            where processors with other vectors have other kernels, and so other ratios.
    """

    command: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    quick: bool = False
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """What it cannot be run without and is not here; empty if nothing is missing."""
        return ", ".join(need for need in self.needs if not _is_here(need))


def read() -> tuple[dict[str, Claim], dict[str, dict[str, Any]]]:
    """Return the claims by name, and head and rows of each table that is made of them."""
    given = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return {name: _claim(row) for name, row in given["claims"].items()}, given["tables"]


def of_recipes() -> dict[str, Claim]:
    """Return what the recipes promise as claims: each measured result, as the mean of its seeds."""
    claims = {}
    for name in sorted(RECIPES):
        expected = zoo_registry.recipes.get(name).expected
        if expected is None or not expected.seeds:
            continue
        words = ["python", "benchmarks/recipe_seeds.py", name, "--download", "--seeds"]
        row = rf"^\s*{expected.metric}\s.*\s(\S+)\s+\S+\s*$"
        figure = Figure(f"{expected.value:g}", row, expected.tolerance)
        command = " ".join([*words, *map(str, expected.seeds)])
        claims[name] = Claim(command, {expected.metric: figure}, needs=("download",))
    return claims


def _claim(row: Mapping[str, Any]) -> Claim:
    figures = {name: Figure(**figure) for name, figure in row.get("figures", {}).items()}
    return Claim(**{**row, "figures": figures, "needs": tuple(row.get("needs", ()))})


# -- the pages ---------------------------------------------------------------------------------


def written(text: str, claims: Mapping[str, Claim], tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a page with the figures that are stated now.

    Example:
        >>> claim = Claim("zoo models", {"ratio": Figure("13", "x")})
        >>> written("<!--list.ratio-->20<!----> times", {"list": claim}, {})
        '<!--list.ratio-->13<!----> times'
    """
    page = MARK.sub(lambda mark: mark[1] + _stated(mark[2], claims) + mark[4], text)
    return TABLE.sub(lambda found: found[1] + _table(claims, tables[found[2]]) + found[3], page)


def pages() -> list[Path]:
    """Return the files in which figures may stand."""
    return [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _table(claims: Mapping[str, Claim], table: Mapping[str, Any]) -> str:
    lines = [f"| {' | '.join(table['head'])} |", "| --- | --- | --- |"]
    for row in table["rows"]:
        result = REFERENCE.sub(lambda found: _short(_stated(found[1], claims)), row["result"])
        commands = ", ".join(f"`{claims[name].command}`" for name in row["claims"])
        lines.append(f"| {row['what']} | {result} | {commands} |")
    return "\n".join(lines) + "\n"


def _short(number: str) -> str:
    return re.sub(r"^0\.", ".", number)


def _stated(reference: str, claims: Mapping[str, Claim]) -> str:
    """Return a figure as it is stated: ``claim.figure``, or a recipe's alone."""
    name, _, figure = reference.rpartition(".")
    if reference in claims:
        (alone,) = claims[reference].figures.values()
        return alone.stated
    if name not in claims or figure not in claims[name].figures:
        raise KeyError(f"{{{reference}}} is no figure of claims.toml and no recipe's.")
    return claims[name].figures[figure].stated


# -- running -----------------------------------------------------------------------------------


def check(claims: Mapping[str, Claim], found: Path, *, again: bool = False) -> list[list[str]]:
    """Run each command that was not run yet with this code, and compare what it printed.

    Args:
        claims: By name.
        found: The file in which what was printed is kept.
        again: Whether all are run anew.

    Returns:
        A row a figure: claim, figure, stated, measured and the verdict.
    """
    rows = []
    for name, claim in claims.items():
        if claim.missing:
            rows.append([name, "", "", f"needs {claim.missing}", NOT_RUN])
            continue
        key = hashlib.sha256(f"{claim.command}\n{_code()}".encode()).hexdigest()
        kept = _kept(found).get(name, {})
        if again or kept.get("key") != key:
            print(f"{name}: {claim.command}", file=sys.stderr, flush=True)
            kept = {"key": key, **_output(claim.command)}
            found.parent.mkdir(exist_ok=True)
            # Read again: others may run other claims meanwhile.
            write_text(found, json.dumps({**_kept(found), name: kept}, indent=1))
        rows += [[name, *row] for row in _compared(claim, kept)]
    return rows


def _kept(found: Path) -> dict[str, Any]:
    return json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {}


def _output(command: str) -> dict[str, Any]:
    program, *words = shlex.split(command)
    called = {"python": [], "zoo": ["-m", "zoo.cli"]}[program]
    # No line of a table is to be folded.
    environment = {**os.environ, "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, *called, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stderr or done.stdout).strip().splitlines() or [""]
    # However a table pads its columns.
    lines = done.stdout.translate(_LINES_OF_TABLES).splitlines()
    printed = "\n".join(re.sub(" +", " ", line).lstrip() for line in lines)
    return {"exit": done.returncode, "printed": printed, "last": said[-1]}


def _compared(claim: Claim, output: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    if output["exit"]:
        yield "", "exit code 0", f"{output['exit']}: {output['last']}", FELL
        return
    if not claim.figures:
        yield "", "exit code 0", "0", STANDS
    for name, figure in claim.figures.items():
        measured = figure.measured(output["printed"])
        stands = measured is not None and figure.holds(measured)
        shown = "not printed" if measured is None else f"{measured:g}"
        yield name, str(figure), shown, STANDS if stands else FELL


def _code() -> str:
    """Return what identifies the code that is measured: its last commit and what was changed since.

    Pages and claims are not part of it: a figure that was corrected is compared with what was
    printed before.
    """
    parts = ["zoo", "registry", "recipes", "export", "runtime", "data", "benchmarks/*.py"]
    words = (["log", "-1", "--format=%H"], ["diff", "HEAD"])
    said = [
        subprocess.run(
            ["git", *word, "--", *parts], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for word in words
    ]
    return "".join(said)


def _is_here(need: str) -> bool:
    if need == "download":
        try:
            with urllib.request.urlopen(INDEX, timeout=20):
                return True
        except (urllib.error.URLError, TimeoutError):
            return False
    kind, _, name = need.rpartition(":")
    if kind == "vectors":
        return name == vectors()
    return importlib.util.find_spec(name) is not None if kind else (ROOT / need).exists()


def main() -> None:
    """Do what the command line asks for; exit with 1 if a claim fell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="claims and recipes [all]")
    parser.add_argument("--quick", action="store_true", help="those that take few minutes")
    parser.add_argument("--again", action="store_true", help="forget what was found before")
    parser.add_argument("--write", action="store_true", help="only write figures into the pages")
    given = parser.parse_args()
    claims, tables = read()
    claims |= of_recipes()
    if given.write:
        for page in pages():
            page.write_text(written(page.read_text("utf-8"), claims, tables), "utf-8")
        return
    if unknown := set(given.names) - set(claims):
        parser.error(f"no claim is called {', '.join(sorted(unknown))}: {', '.join(claims)}")
    chosen = {
        name: claim
        for name, claim in claims.items()
        if (not given.names or name in given.names) and (claim.quick or not given.quick)
    }
    results = check(chosen, FOUND, again=given.again)
    print_table(("CLAIM", "FIGURE", "STATED", "MEASURED", "VERDICT"), results)
    fell = sorted({row[0] for row in results if row[-1] == FELL})
    if fell:
        sys.exit(f"{len(fell)} of {len(chosen)} claims fell: {', '.join(fell)}")


if __name__ == "__main__":
    main()
