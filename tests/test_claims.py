"""What the README and the pages state: written from one file, and still so where that is quick."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.claims import (
    FELL,
    NOT_RUN,
    ROOT,
    STANDS,
    Claim,
    Figure,
    check,
    of_recipes,
    pages,
    read,
    written,
)

CLAIMS, TABLES = read()
ALL = CLAIMS | of_recipes()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_pages_state_what_the_claims_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text, ALL, TABLES) == text, "python -m benchmarks.claims --write"


@pytest.mark.parametrize(
    ("page", "table"), [("README.md", "peers"), ("docs/results.md", "results")]
)
def test_every_row_is_in_its_page(page: str, table: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert all(f"\n| {row['what']} | " in text for row in TABLES[table]["rows"])


@pytest.mark.parametrize("name", ALL)
def test_every_claim_can_be_run_and_read(name: str) -> None:
    claim = ALL[name]
    program, *words = shlex.split(claim.command)
    assert program in {"python", "zoo"}
    paths = [word for word in words if re.fullmatch(r"[\w-]+(/[\w-]+)+(\.py)?", word)]
    made_there = {"peers/bin/python", "build/latency", "build/generation"}
    assert all((ROOT / path).exists() for path in paths if path not in made_there)
    for figure in claim.figures.values():
        assert float(figure.stated) >= 0
        assert re.compile(figure.find).groups == 1
        assert figure.holds(float(figure.stated))


def test_what_a_command_prints_is_compared(tmp_path: Path) -> None:
    printed = 'python -c "print(chr(9474), 412, chr(9474), 3.2)"'
    number = r"412 +(\S+)"
    claims = {
        "so": Claim(printed, {"ratio": Figure("3.1", number, tolerance=0.1)}),
        "better": Claim(printed, {"ratio": Figure("3", number, bound="at least")}),
        "worse": Claim(printed, {"ratio": Figure("3", number, bound="at most")}),
        "off": Claim(printed, {"ratio": Figure("3.1", number, tolerance=0.05)}),
        "silent": Claim('python -c "print(412)"', {"ratio": Figure("3.1", number)}),
        "broken": Claim("python -c \"raise SystemExit('no data')\""),
        "succeeds": Claim("python -c pass"),
        "elsewhere": Claim(
            "python -c pass", needs=("no/such/file", "package:no_such_package", "vectors:MMX")
        ),
    }
    rows = check(claims, tmp_path / "found.json")
    assert rows == [
        ["so", "ratio", "3.1 ± 0.1", "3.2", STANDS],
        ["better", "ratio", "3", "3.2", STANDS],
        ["worse", "ratio", "3", "3.2", FELL],
        ["off", "ratio", "3.1 ± 0.05", "3.2", FELL],
        ["silent", "ratio", "3.1 ± 0", "not printed", FELL],
        ["broken", "", "exit code 0", "1: no data", FELL],
        ["succeeds", "", "exit code 0", "0", STANDS],
        ["elsewhere", "", "", "needs no/such/file, package:no_such_package, vectors:MMX", NOT_RUN],
    ]


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    ran, found = tmp_path / "ran", tmp_path / "found.json"
    command = f"python -c \"open('{ran}', 'a').write('x'); print('ratio 2')\""
    claim = Claim(command, {"ratio": Figure("2", r"ratio (\S+)")})
    for times, (stated, again) in enumerate((("2", False), ("2", False), ("3", False)), 1):
        claim = Claim(command, {"ratio": Figure(stated, r"ratio (\S+)")})
        ((_, _, _, measured, verdict),) = check({"one": claim}, found, again=again)
        assert (measured, verdict) == ("2", STANDS if stated == "2" else FELL)
        assert ran.read_text() == "x" * min(times, 1)
    check({"one": claim}, found, again=True)
    assert ran.read_text() == "xx"


def test_a_claim_that_fell_ends_with_1_and_its_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.claims", "no-such-claim"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no claim is called no-such-claim: cold-start, " in done.stderr


@pytest.mark.slow
def test_the_quick_claims_stand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.claims", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
