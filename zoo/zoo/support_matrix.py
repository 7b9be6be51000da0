"""The support matrix: what became of models in every format and scheme, as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import zoo_registry
from zoo_export.benchmarking.report import installed_versions
from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.formats import FORMATS, Format, Scheme
from zoo_system.durable import write_text

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


_INTRODUCTION = """\
# Support matrix

Models exported to every format and scheme, each file run in its own runtime and compared with \
Keras. Written by `zoo bench NAME --all-schemes --matrix {file}` from [{file}]({file}).
"""
_LEGEND = """\
How to read it:

- `1.7e-06` under float32 is the largest difference from Keras, as a fraction of the column's \
spread over the samples.
- `0.27 / 1.1e-02 / 0.62` under a scheme: size as a fraction of the float32 file of the same \
format; what the worst column of the outputs loses, its root mean square difference from Keras as \
a fraction of its own standard deviation ({losses}; more where samples are few); time of a run as \
a fraction of float32's, one thread. `-` is what was not measured.
- `misses` is a file that runs and is refused: a column loses more than that, or a value is \
further off than `2.0e-01 > 0.1` of the largest.
- `no` says that there is no such file; the number leads to the reason below.

**Weights are drawn at random**, with batch normalization filled from random images, and ranges \
are calibrated on drawn inputs. So this shows what converts and how far the values move, not what \
accuracy is lost: export a trained run for that. **Times are indicative**: the formats of one \
model were measured in turns; at reduced size a run takes microseconds, and most of that is the \
cost of calling the runtime.
"""
_OLDER = """\
**{older} of the {rows} rows are of an earlier version**, which held a scheme against the largest \
value of an output alone: they have `-` for what a column loses, and a file may be refused today \
that they call good.
"""


@dataclass(frozen=True)
class Case:
    """One model with one head.

    Args:
        name: A registered name.
        task: The head; ``None`` where the model has no choice.
        full_size: Whether it is as it is named, not with its spec's ``reduced`` sizes.
    """

    name: str
    task: str | None
    full_size: bool = False

    def __str__(self) -> str:
        size = ", full size" if self.full_size else ""
        return f"{self.name} {self.task or ''}".rstrip() + size


def heads(name: str) -> tuple[str | None, ...]:
    """Return the tasks of a model.

    Example:
        >>> heads("lenet5")
        ('image-classification', 'features')
    """
    return zoo_registry.models.get(name).tasks or (None,)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model in one format and scheme.

    Args:
        state: ``"ok"``; ``"misses"``, if it runs and is further from Keras than its tolerance;
            ``"no"``, if there is no file.
        bytes: Size of the file.
        size_ratio: The same as a fraction of the float32 file of the same format.
        difference: Largest difference from Keras, as a fraction of the largest output.
        allowed: What that may be.
        lost: Root mean square difference of the worst column of its outputs, as a fraction of that
            column's standard deviation over the samples.
        latency_ratio: Median time of a run as a fraction of that of the float32 file.
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
        for name in (row.name, *(f"{row.name}:{scheme.name}" for scheme in _schemes(row)))
    ]


def _schemes(form: Format) -> list[Scheme]:
    """Return the schemes that every model has; those of language models need trained weights."""
    return [scheme for scheme in form.schemes if not scheme.tasks]


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


def to_json(matrix: Matrix) -> str:
    """Return a matrix as JSON text."""
    return json.dumps(asdict(matrix), indent=1, ensure_ascii=False) + "\n"


def save(file: Path, matrix: Matrix, document: str | None = None) -> None:
    """Write a matrix, and the document beside it.

    Args:
        file: The .json file; the document is the .md of the same name.
        matrix: All rows.
        document: The text; by default what :func:`render` makes of the matrix.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    text = document or render(matrix, introduction=_INTRODUCTION.format(file=file.name))
    write_text(file, to_json(matrix))
    write_text(file.with_suffix(".md"), text)


def render(matrix: Matrix, *, introduction: str, notes: str = "", appendix: str = "") -> str:
    """Return the document of a matrix.

    Args:
        matrix: All rows.
        introduction: Its title and what it is, as Markdown.
        notes: What else is to be known before it is read.
        appendix: What follows the reasons.

    Example:
        >>> render(Matrix(), introduction="# My models").splitlines()[0]
        '# My models'
    """
    reasons = Reasons()
    sections = [*_sections(matrix, reasons)]
    older = sum(not row.has_losses for row in matrix.rows)
    parts = [
        introduction,
        _versions(matrix.rows) + "\n" if matrix.rows else "",
        _LEGEND.format(losses=_losses()),
        notes,
        _OLDER.format(older=older, rows=len(matrix.rows)) if older else "",
        *sections,
        reasons.section(),
        appendix,
    ]
    return "\n".join(part for part in parts if part)


class Reasons:
    """Reasons by number; one that many cells have is written once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        """Return the number that stands for a reason."""
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def section(self) -> str:
        """Return the numbered list of them all."""
        if not self._numbers:
            return ""
        lines = [f"{number}. {_escaped(reason)}" for reason, number in self._numbers.items()]
        return "\n".join(["## Reasons", "", *lines, ""])


def _losses() -> str:
    """Say what schemes may lose."""
    by_loss: dict[float, list[str]] = {}
    for scheme in (scheme for row in FORMATS.values() for scheme in _schemes(row)):
        names = by_loss.setdefault(scheme.max_loss, [])
        names += [scheme.name] if scheme.name not in names else []
    return ", ".join(
        f"{', '.join(names)} up to {loss:g}" for loss, names in sorted(by_loss.items())
    )


def _versions(rows: Sequence[Support]) -> str:
    lines = [
        f"Measured on {row.machine}, calibrated on {row.calibration_rows} drawn rows, with "
        + ", ".join(f"{name} {number}" for name, number in row.versions.items())
        for row in rows
    ]
    return "\n".join(f"{line}." for line in dict.fromkeys(lines))


def _sections(matrix: Matrix, reasons: Reasons) -> Iterator[str]:
    for full_size, title in ((False, "reduced size"), (True, "full size")):
        rows = [row for row in matrix.rows if row.full_size == full_size]
        for row in FORMATS.values() if rows else ():
            yield _table(row, rows, f"## {row.name}, {title}", reasons)


def _table(form: Format, rows: Sequence[Support], title: str, reasons: Reasons) -> str:
    names = [form.name, *(f"{form.name}:{scheme.name}" for scheme in _schemes(form))]
    header = ["model", "head", "float32", *(scheme.name for scheme in _schemes(form))]
    lines = [title, "", _line(header), _line(["---"] * len(header))]
    for row in rows:
        cells = [_cell(row.cells.get(name), reasons) for name in names]
        lines.append(_line([row.name, row.task or "", *cells]))
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell | None, reasons: Reasons) -> str:
    if cell is None:
        return ""
    if cell.state == OK:
        return measurements(cell)
    if cell.difference is not None:
        return f"misses: {cell.difference:.1e} > {cell.allowed:g}"
    return f"{cell.state} ([{reasons.number(cell.reason)}](#reasons))"


def measurements(cell: Cell) -> str:
    """Return what a cell that is ok says.

    Example:
        >>> measurements(Cell(state="ok", size_ratio=0.27, lost=0.011, latency_ratio=0.62))
        '0.27 / 1.1e-02 / 0.62'
        >>> measurements(Cell(state="ok", size_ratio=1.0, difference=0.0, latency_ratio=1.0))
        '0'
    """
    if cell.size_ratio in (None, 1.0):
        return f"{cell.difference:.1e}" if cell.difference else "0"
    lost = "-" if cell.lost is None else f"{cell.lost:.1e}" if cell.lost else "0"
    time = "-" if cell.latency_ratio is None else f"{cell.latency_ratio:.2f}"
    return f"{cell.size_ratio:.2f} / {lost} / {time}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
