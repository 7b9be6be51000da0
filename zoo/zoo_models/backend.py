"""Keras on TensorFlow, of which all exports are made, and on no other backend."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from zoo_system.errors import UsageError

# What Keras' settings may say, or it cannot be imported.
_SETTINGS = {
    "floatx": ("float32", "float16", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


class CheckedKeras:
    """Refuses to import Keras on another backend, whichever command is the first to want it."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing, having looked."""
        if fullname == "keras":
            check_backend()


def check_backend() -> None:
    """Refuse another backend of Keras than TensorFlow, of which all exports are made.

    Raises:
        UsageError: ``KERAS_BACKEND``, Keras' settings, or Keras itself where it is imported, name
            another one.
    """
    keras: Any = sys.modules.get("keras")
    if hasattr(keras, "config"):
        backend, where = keras.config.backend(), "Keras is running on it"
    elif "KERAS_BACKEND" in os.environ:
        backend, where = os.environ["KERAS_BACKEND"], "KERAS_BACKEND says so"
    else:
        settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "keras.json")
        backend, where = _backend_in(settings), f"'{settings}' says so"
    if backend and backend != "tensorflow":
        raise UsageError(
            f"Kerazoo builds, trains and exports with Keras on TensorFlow, not on '{backend}' "
            f"({where}): set KERAS_BACKEND=tensorflow before Python starts."
        )


def _backend_in(settings: Path) -> str:
    """Return the backend that Keras' settings name, if they are settings that Keras takes."""
    try:
        held = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras itself goes on without them
        return ""
    if not isinstance(held, dict):
        raise UsageError(f"'{settings}' must hold an object: correct it, or remove it.")
    for key, taken in _SETTINGS.items():
        if held.get(key, taken[0]) not in taken:
            raise UsageError(
                f"'{settings}': {key} is {held[key]!r}, and Keras takes {', '.join(taken)}: "
                "correct it, or remove the file."
            )
    return str(held.get("backend", ""))
