"""Models that Keras saved, our layers in them known to it."""

from __future__ import annotations

import importlib
from typing import Any


def load_saved(path: Any, *, compiled: bool = False) -> Any:
    """Load a ``.keras`` file in Keras' safe mode.

    Keras finds layers by the names that they are registered by, such as ``kerazoo>Attention``,
    wherever their modules were when the file was saved.

    Args:
        path: The file.
        compiled: Whether the model is compiled as it was; for inference it need not be.
    """
    import keras

    importlib.import_module("zoo_models.layers")
    return keras.saving.load_model(path, compile=compiled, safe_mode=True)
