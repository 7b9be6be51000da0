"""What belongs to the whole process, and what a plugin therefore leaves as it is."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Settings of others that a plugin has no business with.
_VARIABLES = ("KERAS_", "TF_", "CUDA_", "ZOO_", "KERAZOO_")
RANDOM = ("the state of Python's random", "the state of numpy.random")


def global_state() -> dict[str, Any]:
    """Return what belongs to the whole process, by the words of messages; nothing is imported.

    Example:
        >>> before = global_state()
        >>> random.seed(3)
        >>> changed(before, global_state())
        ["the state of Python's random"]
    """
    root = logging.getLogger()
    state = {
        "the working folder": str(Path.cwd()),
        "environment variables of TensorFlow and Keras": {
            key: value for key, value in os.environ.items() if key.startswith(_VARIABLES)
        },
        "the level of the root logger": (root.level, root.manager.disable),
        "the handlers of the root logger": list(map(id, root.handlers)),
        "sys.stdout": id(sys.stdout),
        "sys.stderr": id(sys.stderr),
        RANDOM[0]: random.getstate(),
    }
    # Of what this process has not imported there is nothing to change.
    numpy, keras = sys.modules.get("numpy"), sys.modules.get("keras")
    if numpy is not None:
        name, keys, *others = numpy.random.get_state()
        state[RANDOM[1]] = (name, keys.tolist(), *others)
    config = getattr(keras, "config", None)
    if config is not None:
        state |= {
            "Keras' dtype policy": config.dtype_policy().name,
            "Keras' floatx": config.floatx(),
            "Keras' epsilon": config.epsilon(),
            "Keras' backend": config.backend(),
            "Keras' image_data_format": config.image_data_format(),
        }
    return state


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what two states do not have in common; what only one of them knows is no change."""
    return [key for key, value in before.items() if key in after and after[key] != value]
