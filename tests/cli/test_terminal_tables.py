"""Tables in terminals of several widths: nothing is cut, and nothing runs over the edge."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len

import zoo_registry
from zoo.cli import tables

pty = pytest.importorskip("pty", reason="a terminal of POSIX")
WIDTHS = (60, 80, 100, 160)
LISTINGS = {
    "models": zoo_registry.models.names("bert*"),
    "recipes": zoo_registry.recipes.names("digits*"),
    "datasets": zoo_registry.datasets.names(),
    "formats": zoo_registry.formats.names(),
    "trackers": zoo_registry.trackers.names(),
    "launchers": zoo_registry.launchers.names(),
}
STYLES = re.compile(r"\x1b\[[0-9;]*m")


def shown(words: list[str], width: int) -> list[str]:
    """Return the lines of a command in a terminal, without its styles."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo.cli", *words], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return STYLES.sub("", b"".join(parts).decode()).replace("\r", "").splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("listing", LISTINGS)
def test_listings_fit_and_cut_nothing(listing: str, width: int) -> None:
    pattern = {"models": ["bert*"], "recipes": ["digits*"]}.get(listing, [])
    lines = shown([listing, *pattern], width)
    table = lines[: lines.index("")] if "" in lines else lines
    assert all(cell_len(line) <= width for line in table)
    assert set(LISTINGS[listing]) <= {line.split(maxsplit=1)[0] for line in table if line.strip()}
    if listing == "models":
        spec = zoo_registry.models.get("bert-tiny")
        words = set(re.split(r",?\s+", " ".join(table)))
        assert {spec.family, f"{spec.num_params:,}", *spec.tasks[:2]} <= words
        assert set(re.split(r",?\s+", spec.summary)) <= words


@pytest.mark.parametrize("width", WIDTHS)
def test_fields_fit(width: int) -> None:
    lines = shown(["show", "bert-tiny"], width)
    assert all(cell_len(line) <= width for line in lines[: lines.index("")])
    assert any(line.startswith("parameters ") for line in lines)


def test_wide_characters_take_two_columns() -> None:
    rows = [("模型", "识别手写数字的卷积神经网络、有两个卷积层和三个全连接层。")]
    lines = [line for line, _ in tables.table(("NAME", "SUMMARY"), rows, width=24)]
    assert max(map(cell_len, lines)) <= 24
    assert "".join(lines[2:]).replace(" ", "") == "".join(rows[0])


def test_a_name_is_longer_than_the_terminal() -> None:
    name = "kerashub/" + "a" * 60
    lines = [line for line, _ in tables.table(("NAME", "TASKS"), [(name, "x" * 50)], width=40)]
    assert lines == ["NAME", "    TASKS", name, "    " + "x" * 36, "    " + "x" * 14]
