"""Which batches a file of fixed batch is made for, as the user asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from zoo_export.formats import Format, find
from zoo_export.targets import Target
from zoo_registry import UsageError

DYNAMIC = "dynamic"


def read_batch_sizes(
    given: Sequence[int] | str | None, rows: Sequence[Format], place: Target | None = None
) -> tuple[int, ...] | None:
    """Return the batches that are asked for, smallest first; none of them means any batch.

    Args:
        given: Numbers, or ``"dynamic"``; ``None`` where nothing was asked for.
        rows: The formats to export to.
        place: What the bundle is made ready for.

    Raises:
        UsageError: Numbers that are no batches, or a format, scheme or target that has no use
            for them.

    Example:
        >>> rows = [find("tflite")]
        >>> read_batch_sizes([8, 1], rows), read_batch_sizes("dynamic", rows)
        ((1, 8), ())
    """
    if given is None:
        return None
    sizes = () if given == DYNAMIC else _numbers(given)
    _check_formats(given, rows)
    if place is not None and any(find(name).static for name in place.formats):
        raise UsageError(
            f"batch_sizes={given!r}: a file for a {place.name} takes one row at a time. "
            "Leave it out, or the target."
        )
    return sizes


def _numbers(given: Sequence[int] | str) -> tuple[int, ...]:
    sizes = () if isinstance(given, str) else tuple(given)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if not sizes or not whole or min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise UsageError(
            f"batch_sizes={given!r}: give different whole numbers from 1, such as [1, 8], or "
            f"'{DYNAMIC}'."
        )
    return tuple(sorted(sizes))


def _check_formats(given: Sequence[int] | str, rows: Sequence[Format]) -> None:
    fixed = [row for row in rows if row.static]
    if not fixed:
        names = ", ".join(row.name for row in rows)
        raise UsageError(
            f"batch_sizes={given!r} is for tflite, whose batch is fixed; {names} takes any batch. "
            "Leave it out."
        )
    for row in fixed:
        if row.scheme is not None and not row.scheme.batch_sizes:
            able = ", ".join(s.name for s in row.schemes if s.batch_sizes)
            raise UsageError(
                f"batch_sizes={given!r}: {row.name} is made for batch 1 alone. Leave it out, or "
                f"export float32 or one of: {able}."
            )
