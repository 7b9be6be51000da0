"""What a user may ask of a LiteRT file: its batches, and how recurrent layers are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo_export.targets import Target
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.formats import Format, find

DYNAMIC = "dynamic"
LOOP, UNROLL = "loop", "unroll"


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


def check_rnn(
    given: str | None, rows: Sequence[Format], batch_sizes: Sequence[int] | None, model: Any
) -> None:
    """Refuse a way to write recurrent layers that cannot be had.

    Args:
        given: ``"loop"`` or ``"unroll"``; ``None`` where nothing was asked for.
        rows: The formats to export to.
        batch_sizes: As :func:`read_batch_sizes` gave them.
        model: The Keras model.

    Raises:
        UsageError: Another word, no recurrent layer, or a format or scheme that has no such way.
    """
    if given is None:
        return
    if given not in {LOOP, UNROLL}:
        hint = did_you_mean(given, [LOOP, UNROLL])
        raise UsageError(f"There is no rnn='{given}'.{hint} There are: {LOOP}, {UNROLL}.")
    fixed = [row for row in rows if row.static]
    if not fixed:
        names = ", ".join(row.name for row in rows)
        raise UsageError(f"rnn='{given}' is for tflite, not for {names}. Leave it out.")
    if not _is_recurrent(model):
        raise UsageError(f"Model '{model.name}' has no recurrent layer: leave rnn='{given}' out.")
    needy = [row.name for row in fixed if row.scheme is not None and row.scheme.calibrated]
    if given == LOOP and needy:
        raise UsageError(
            f"rnn='{LOOP}': {needy[0]} measures the ranges of activations, which LiteRT cannot do "
            f"in a loop. Leave it out, or say '{UNROLL}'."
        )
    if given == LOOP and batch_sizes == ():
        raise UsageError(
            f"rnn='{LOOP}': LiteRT has no loop of any batch. Leave it out, or give batch_sizes as "
            "numbers."
        )


def _is_recurrent(model: Any) -> bool:
    import keras

    return any(isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers())


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
