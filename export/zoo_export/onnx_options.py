"""What a user may ask of an ONNX file: who optimises its graph."""

from __future__ import annotations

from collections.abc import Sequence

from zoo_registry import UsageError, did_you_mean
from zoo_runtime.formats import FORMATS, Format


def check_optimize(given: str | None, rows: Sequence[Format]) -> None:
    """Refuse an optimizer that there is not, or that has no file to work on.

    Args:
        given: A runtime, whose own operators the file may then hold; ``None`` where nothing was
            asked for.
        rows: The formats to export to.

    Raises:
        UsageError: Another word, or formats and schemes that have no such optimizer.

    Example:
        >>> check_optimize("onnxruntime", [FORMATS["onnx"], FORMATS["tflite"]])
    """
    if given is None:
        return
    known = [name for row in FORMATS.values() for name in row.optimizers]
    if given not in known:
        hint = did_you_mean(given, known)
        raise UsageError(f"There is no optimize='{given}'.{hint} There is: {', '.join(known)}.")
    if not any(given in row.optimizers for row in rows):
        able = ", ".join(row.name for row in FORMATS.values() if given in row.optimizers)
        names = ", ".join(row.name for row in rows)
        raise UsageError(
            f"optimize='{given}' is for {able} in float32, not for {names}. Leave it out."
        )
