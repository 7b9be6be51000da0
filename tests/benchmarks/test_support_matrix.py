"""The support matrix: complete, explained, the same in both files; and how a row is measured."""

from pathlib import Path

import pytest

from benchmarks.support.document import COMMAND, render
from benchmarks.support.models import FULL_SIZE, builtin, every_case, wanted
from zoo.support_matrix import MISSES, NO, OK, Case, Matrix, columns, read, save, short
from zoo.support_measuring import measure

FILE = Path(__file__).parents[2] / "docs" / "support-matrix.json"


@pytest.fixture(scope="module")
def matrix():
    return read(FILE)


def test_every_built_in_model_is_in_it(matrix):
    rows = {row.case for row in matrix.rows}
    missing = [str(case) for case in wanted() if case not in rows]
    assert missing == [], f"run `{COMMAND}`"
    assert rows == set(wanted())
    stands_for = {case.name for case, first in every_case().items() if first in rows}
    assert stands_for == set(builtin())
    assert {case.name for case in rows if case.full_size} == set(FULL_SIZE)


def test_every_row_has_every_scheme_and_every_hole_a_reason(matrix):
    for row in matrix.rows:
        assert [*row.cells] == columns(), f"{row.case}: run `{COMMAND}`"
        assert row.versions.keys() >= {"tensorflow", "keras", "onnxruntime", "ai-edge-litert"}
        for name, cell in row.cells.items():
            where = f"{row.case} in {name}"
            assert cell.state in {OK, MISSES, NO}, where
            assert bool(cell.reason) == (cell.state != OK), where
            assert cell.reason == short(cell.reason), where
            if cell.state == OK:
                assert cell.bytes > 0, where
                assert 0 <= cell.difference <= cell.allowed, where
            elif cell.difference is not None:
                assert cell.state == MISSES, where
                assert cell.difference > cell.allowed, where


def test_the_document_is_what_its_json_says(matrix):
    assert FILE.with_suffix(".md").read_text(encoding="utf-8") == render(matrix)


@pytest.mark.slow
def test_a_row_is_measured_and_kept(tmp_path):
    case = Case("mlp", "classification")
    reported = {}

    formats = ["tflite", "tflite:dynamic-int8", "tflite:int8"]

    row = measure(case, formats=formats, on_cell=reported.__setitem__)

    assert row.case == case
    assert not row.is_current  # it has not every scheme
    assert row.num_params > 1000
    assert [*row.cells] == sorted(reported, key=formats.index) == formats
    assert (row.cells["tflite"].state, row.cells["tflite"].size_ratio) == (OK, 1.0)
    for name in formats[1:]:
        cell = row.cells[name]
        assert 0.2 < cell.size_ratio < 0.4
        assert 0 < cell.difference < cell.allowed
        assert 0 < cell.lost < 0.15
        assert cell.latency_ratio > 0

    file = tmp_path / "docs" / "matrix.json"
    save(file, read(file).with_row(row))
    assert read(file) == Matrix((row,))
    measured = f"{cell.size_ratio:.2f} / {cell.lost:.1e} / {cell.latency_ratio:.2f}"
    assert f"| {measured} |" in file.with_suffix(".md").read_text()


CRASHES = """
import os, signal, time
def crashes(): os.kill(os.getpid(), signal.SIGSEGV)
def hangs(): time.sleep(120)
def starves(): raise MemoryError
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crashes", "the measuring process was killed by SIGSEGV"),
        ("hangs", "the model took longer than 8 s"),
        ("starves", "The builder breaking:starves of model 'starves' of 'breaking' 1.0 failed: "),
    ],
)
@pytest.mark.slow
def test_a_model_that_breaks_its_process_is_a_reason_in_its_row(site, name, reason):
    names = ("crashes", "hangs", "starves")
    entries = "\n".join(["[zoo.models]", *(f"{n} = breaking:{n}" for n in names)])
    site.install("breaking", entries, breaking=CRASHES)

    row = measure(Case(name, None), time_limit=8 if name == "hangs" else 300)

    assert {cell.state for cell in row.cells.values()} == {NO}
    assert [*row.cells] == columns()
    assert {cell.reason[: len(reason)] for cell in row.cells.values()} == {reason}
