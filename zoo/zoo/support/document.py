"""The matrix as a Markdown document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.support.cases import every_case
from zoo.support.matrix import OK, Cell, Matrix, Support, to_json
from zoo_export.formats import FORMATS, Format
from zoo_registry.durable import write_text

COMMAND = "nice -n 15 python -m zoo.support"

_HEAD = """\
# Support matrix

Every built-in model and head, exported to every format and scheme, each file run in its own \
runtime and compared with Keras. Written by `{command}`, which continues where it stopped, from \
[support-matrix.json](support-matrix.json); `zoo bench NAME --all-schemes` measures one model, \
also one of your own.

{versions}

How to read it:

- `1.7e-06` under float32 is the largest difference from Keras, as a share of the column's spread \
over the samples.
- `0.27 / 1.1e-02 / 0.62` under a scheme: size as a share of the float32 file of the same format; \
what the worst column of the outputs loses, its root mean square difference from Keras as a share \
of its own standard deviation ({losses}; more where samples are few); time of a run as a share of \
float32's, one thread. `-` is what was not measured.
- `misses` is a file that runs and is refused: a column loses more than that, or a value is \
further off than `2.0e-01 > 0.1` of the largest.
- `no` says that there is no such file; the number leads to the reason below.

**Weights are drawn at random**, with batch normalization filled from random images, and ranges \
are calibrated on drawn inputs. So this tells what converts and how far the numbers move, not what \
accuracy is lost: export a trained run for that. **Times are indicative**: they were taken on a \
busy machine, the formats of one model in turns, and some in an earlier measurement of the same \
model (`--no-times`); at reduced size a run takes microseconds, and most of that is the cost of \
calling the runtime.
"""


# To go when these columns are measured anew.
_CHANGED = """\
The columns float16 and int16x8 were measured before masks and other constants that float16 does \
not hold stayed in float32, and before int16x8 attended past masks: `{command} --redo --no-times \
--formats '*float16' --formats '*int16x8'`.
"""
_OLDER = """\
**{older} of the {rows} rows are of an earlier version**, which held a scheme against the largest \
value of an output alone: they have `-` for what a column loses, and a file may be refused today \
that they call good.
"""


def render(matrix: Matrix) -> str:
    """Return the document of a matrix.

    Example:
        >>> render(Matrix()).splitlines()[0]
        '# Support matrix'
    """
    reasons = _Reasons()
    sections = [*_sections(matrix, reasons)]
    head = _HEAD.format(command=COMMAND, versions=_versions(matrix.rows), losses=_losses())
    older = sum(not row.has_losses for row in matrix.rows)
    parts = [
        head,
        _CHANGED.format(command=COMMAND),
        *([_OLDER.format(older=older, rows=len(matrix.rows))] if older else ()),
        *sections,
    ]
    parts += [reasons.section(), _stand_ins()]
    return "\n".join(part for part in parts if part)


def save(file: Path, matrix: Matrix) -> None:
    """Write a matrix, and the document beside it.

    Args:
        file: The .json file; the document is the .md of the same name.
        matrix: All rows.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_json(matrix))
    write_text(file.with_suffix(".md"), render(matrix))


class _Reasons:
    """Reasons by number; one that many cells share is written once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def section(self) -> str:
        if not self._numbers:
            return ""
        lines = [f"{number}. {_escaped(reason)}" for reason, number in self._numbers.items()]
        return "\n".join(["## Reasons", "", *lines, ""])


def _losses() -> str:
    """Say what schemes may lose."""
    by_loss: dict[float, list[str]] = {}
    for scheme in (scheme for row in FORMATS.values() for scheme in row.schemes):
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


def _sections(matrix: Matrix, reasons: _Reasons) -> Iterator[str]:
    for full_size, title in ((False, "reduced size"), (True, "full size")):
        rows = [row for row in matrix.rows if row.full_size == full_size]
        for row in FORMATS.values() if rows else ():
            yield _table(row, rows, f"## {row.name}, {title}", reasons)


def _table(form: Format, rows: Sequence[Support], title: str, reasons: _Reasons) -> str:
    names = [form.name, *(f"{form.name}:{scheme.name}" for scheme in form.schemes)]
    header = ["model", "head", "float32", *(scheme.name for scheme in form.schemes)]
    lines = [title, "", _line(header), _line(["---"] * len(header))]
    for row in rows:
        cells = [_cell(row.cells.get(name), reasons) for name in names]
        lines.append(_line([row.name, row.task or "", *cells]))
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell | None, reasons: _Reasons) -> str:
    if cell is None:
        return ""
    if cell.state == OK:
        return figures(cell)
    if cell.difference is not None:
        return f"misses: {cell.difference:.1e} > {cell.allowed:g}"
    return f"{cell.state} ([{reasons.number(cell.reason)}](#reasons))"


def figures(cell: Cell) -> str:
    """Return what a cell that is ok says.

    Example:
        >>> figures(Cell(state="ok", size_ratio=0.27, lost=0.011, latency_ratio=0.62))
        '0.27 / 1.1e-02 / 0.62'
        >>> figures(Cell(state="ok", size_ratio=1.0, difference=0.0, latency_ratio=1.0))
        '0'
    """
    if cell.size_ratio in (None, 1.0):
        return f"{cell.difference:.1e}" if cell.difference else "0"
    lost = "-" if cell.lost is None else f"{cell.lost:.1e}" if cell.lost else "0"
    time = "-" if cell.latency_ratio is None else f"{cell.latency_ratio:.2f}"
    return f"{cell.size_ratio:.2f} / {lost} / {time}"


def _stand_ins() -> str:
    """List the models that are the same as another at reduced size."""
    names: dict[str, list[str]] = {}
    for case, first in every_case().items():
        if case.name != first.name and case.name not in names.get(first.name, []):
            names.setdefault(first.name, []).append(case.name)
    lines = [
        f"- `{first}` stands for {', '.join(f'`{n}`' for n in same)}"
        for first, same in names.items()
    ]
    return "\n".join(["## Models that are alike at reduced size", "", *lines, ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
