"""The document of Kerazoo's own matrix, ``docs/support-matrix.md``."""

from __future__ import annotations

from benchmarks.support.models import every_case
from zoo.support_matrix import Matrix
from zoo.support_matrix import render as render_matrix

COMMAND = "nice -n 15 python -m benchmarks.support"

_INTRODUCTION = f"""\
# Support matrix

Every built-in model and head, exported to every format and scheme, each file run in its own \
runtime and compared with Keras. Written by `{COMMAND}`, which continues where it stopped, from \
[support-matrix.json](support-matrix.json); `zoo bench NAME --all-schemes` measures one model, \
also one of your own. What quantization costs trained recipes is in \
[trained-matrix.md](trained-matrix.md).
"""
# To go when these two are measured anew.
_CHANGED = f"""\
The machine was busy, and some times are of an earlier measurement of the same model \
(`--no-times`). Of `bert-base` and `resnet50` at full size, the columns float16 and int16x8 were \
measured before masks and other constants that float16 does not hold stayed in float32, and before \
int16x8 attended past masks: \
`{COMMAND} --redo --no-times --only bert-base --only resnet50`.
"""


def render(matrix: Matrix) -> str:
    """Return the document of a matrix."""
    return render_matrix(
        matrix, introduction=_INTRODUCTION, notes=_CHANGED, appendix=_equal_models()
    )


def _equal_models() -> str:
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
