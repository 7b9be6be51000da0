"""From what the user says to an open checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.weights.native import NativeFile
from zoo_registry import ModelSpec, UsageError


def open_weights(spec: ModelSpec, weights: str | Path) -> Any:
    """Return the checkpoint that ``weights`` stands for; nothing is loaded yet.

    Args:
        spec: The model that is to take them.
        weights: As for :func:`zoo.get_model`.

    Raises:
        UsageError: There is no such thing, or it is not for this model.
    """
    path = Path(weights)
    if not path.name.endswith((".keras", ".weights.h5")):
        raise UsageError(
            f"weights='{path}' of model '{spec.name}': "
            "only a local '.keras' or '.weights.h5' file can be loaded."
        )
    if not path.is_file():
        raise UsageError(f"weights='{path}' of model '{spec.name}': there is no such file.")
    return NativeFile(spec, path)
