"""The rows of the matrix as plain data, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.support.cases import Case
from zoo_export.benchmarking.report import installed_versions
from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.formats import FORMATS

# Drawn inputs that ranges of activations are measured on; with few, ranges come out too small.
CALIBRATION_ROWS = 64
OK, MISSES, NO = "ok", "misses", "no"
_PACKAGES = (
    "kerazoo",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "litert-quantizer",
    "numpy",
)
_LONGEST_REASON = 160
_CUT = " [...]"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model in one format and scheme.

    Args:
        state: ``"ok"``; ``"misses"``, if it runs and is further from Keras than its tolerance;
            ``"no"``, if there is no file.
        bytes: Size of the file.
        size_ratio: The same as a share of the float32 file of the same format.
        difference: Largest difference from Keras, as a share of the largest output.
        allowed: What that may be.
        lost: Root mean square difference of the worst column of its outputs, as a share of that
            column's standard deviation over the samples.
        latency_ratio: Median time of a run as a share of that of the float32 file.
        reason: Why it is not ``"ok"``, in one short line.
    """

    state: str
    bytes: int | None = None
    size_ratio: float | None = None
    difference: float | None = None
    allowed: float | None = None
    lost: float | None = None
    latency_ratio: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Support:
    """One row of the matrix.

    Args:
        name: The model.
        task: Its head.
        full_size: Whether it was built as it is named.
        num_params: Its parameters at the size that was exported.
        cells: By format and scheme, as ``FORMAT[:SCHEME]``.
        versions: Of the packages that decide.
        machine: Processor and cores.
        calibration_rows: Drawn inputs that ranges were measured on.
    """

    name: str
    task: str | None
    full_size: bool
    num_params: int | None
    cells: Mapping[str, Cell]
    versions: Mapping[str, str]
    machine: str
    calibration_rows: int = CALIBRATION_ROWS

    @property
    def case(self) -> Case:
        """What the row is about."""
        return Case(self.name, self.task, self.full_size)

    @property
    def is_current(self) -> bool:
        """Whether it has every format and scheme, measured as it would be now."""
        now = columns(), versions(), CALIBRATION_ROWS
        is_same = ([*self.cells], self.versions, self.calibration_rows) == now
        return is_same and self.has_losses

    @property
    def has_losses(self) -> bool:
        """Whether its files were compared with Keras column by column."""
        return all(cell.lost is not None for cell in self.cells.values() if cell.state == OK)


@dataclass(frozen=True)
class Matrix:
    """All rows that were measured."""

    rows: tuple[Support, ...] = field(default=())

    def with_row(self, row: Support) -> Matrix:
        """Return the matrix with a row added, or in the place of an older one.

        A row of some columns leaves the others of the older one as they are, and one without times
        the times.
        """
        by_case = {old.case: old for old in self.rows}
        older = by_case[row.case].cells if row.case in by_case else {}
        timed = any(cell.latency_ratio for cell in row.cells.values())
        new = row.cells if timed else {n: _timed_as(c, older.get(n)) for n, c in row.cells.items()}
        cells = {name: new.get(name, older.get(name)) for name in columns()}
        known = {name: cell for name, cell in cells.items() if cell is not None}
        by_case[row.case] = replace(row, cells=known)
        order = sorted(by_case, key=lambda case: (case.full_size, case.name, case.task or ""))
        return Matrix(tuple(by_case[case] for case in order))


def _timed_as(cell: Cell, older: Cell | None) -> Cell:
    if older is None or cell.state != OK:
        return cell
    return replace(cell, latency_ratio=older.latency_ratio)


def columns() -> list[str]:
    """Return every built-in format, each before its schemes.

    Example:
        >>> columns()[:2]
        ['tflite', 'tflite:float16']
    """
    return [
        name
        for row in FORMATS.values()
        for name in (row.name, *(f"{row.name}:{scheme.name}" for scheme in row.schemes))
    ]


def versions() -> dict[str, str]:
    """Return the installed versions of what decides whether a model converts."""
    return installed_versions(_PACKAGES)


def short(reason: str) -> str:
    r"""Return the first line of a reason, not too long for a table.

    Example:
        >>> short("its process was killed by SIGABRT. Its last words:\n  Aborted")
        'its process was killed by SIGABRT'
        >>> short("a long story " * 100)[-18:]
        'story a long [...]'
    """
    line = " ".join(reason.strip().partition("\n")[0].split())
    line = line.removesuffix(". Its last words:").rstrip(".:")
    if len(line) <= _LONGEST_REASON:
        return line
    return line[: _LONGEST_REASON - len(_CUT)].rpartition(" ")[0] + _CUT


def read(path: Path) -> Matrix:
    """Read a matrix; one that is not there yet has no rows.

    Raises:
        UsageError: A file that holds something else.
    """
    if not path.exists():
        return Matrix()
    try:
        return schema.read(Matrix, json.loads(path.read_text(encoding="utf-8")), f"'{path}'")
    except ValueError as error:
        raise UsageError(f"'{path}' is not complete JSON: {error}.") from error


def to_json(value: Matrix | Support | Sequence[Support]) -> str:
    """Return rows as JSON text."""
    data: Any = [asdict(v) for v in value] if isinstance(value, Sequence) else asdict(value)
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
