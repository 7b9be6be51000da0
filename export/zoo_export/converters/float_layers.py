"""Layers that no quantizer may touch: they say so by holding ``float_constants``.

The front end of a speech model is one. The power of a sound spans ten orders of magnitude, of which
eight bits hold two; a logarithm of that is noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo_export.converters.worst_layers import by_layer


def float_layers(model: Any) -> dict[str, int]:
    """Return the bytes of the constants of each layer that stays in float, by its name.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
        >>> float_layers(model)
        {}
        >>> model.get_layer("head").float_constants = [np.zeros(3, "float32")]
        >>> float_layers(model)
        {'head': 12}
    """
    layers = model._flatten_layers(include_self=False)
    found = {layer.name: getattr(layer, "float_constants", ()) for layer in layers}
    return {name: sum(array.nbytes for array in held) for name, held in found.items() if held}


def float_nodes(model: Any, nodes: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the nodes of the layers that stay in float.

    Args:
        model: The Keras model.
        nodes: As for :func:`zoo_export.converters.worst_layers.by_layer`.
    """
    kept = float_layers(model)
    if not kept:
        return []
    layers = by_layer(model, nodes)
    return [node for path in layers if kept.keys() & set(path.split("/")) for node in layers[path]]


def with_float_layers(model: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a quantized file, and which layers stayed in float on purpose."""
    kept = float_layers(model)
    if not kept:
        return dict(facts)
    names = [*facts.get("float_layers", ()), *kept]
    return {**facts, "float_layers": names, "float_constants": sum(kept.values())}
