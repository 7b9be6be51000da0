"""Mixed precision: layers of int8 files, and constants of float16 ones, that stay in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from zoo_export.reading.signature import path_of
from zoo_runtime.tensors import Array, Arrays

# Kept in float are the fewest layers that make this fraction of the whole squared error.
ERROR_FRACTION = 0.9
# And no more of them than this fraction of what would weigh as much as all that is in int8: biases,
# and what a format adds, weigh too.
FILLED = 0.75
# Rows that each layer is tried on, and layers that are tried one by one.
NUM_ROWS = 32
MAX_LAYERS = 64


def by_layer(model: Any, nodes: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """Return the nodes of each layer; of each outermost layer where there are very many.

    What a recurrent layer does in its cell is the layer's: both kernels stay in one dtype.

    Args:
        model: The Keras model.
        nodes: Each node with the names, its own or of its tensors, that contain its layer's.
    """
    cells = {layer.cell.name for layer in model._flatten_layers() if hasattr(layer, "cell")}
    found = [
        (node, _without_cell(path, cells)) for node, names in nodes if (path := _path(model, names))
    ]
    is_deep = len({path for _, path in found}) > MAX_LAYERS
    layers: dict[str, list[str]] = {}
    for node, path in found:
        layers.setdefault(path.partition("/")[0] if is_deep else path, []).append(node)
    return layers


def _without_cell(path: str, cells: Set[str]) -> str:
    layer, _, last = path.rpartition("/")
    return layer if layer and last in cells else path


def _path(model: Any, names: Sequence[str]) -> str | None:
    # A fused node bears the names of all that it does: the innermost layer, and the first to act.
    paths = [path for name in names if (path := path_of(model, name))]
    return max(reversed(paths), key=lambda path: path.count("/"), default=None)


def layer_errors(
    layers: Mapping[str, Sequence[str]], run: Callable[[Sequence[str]], Arrays]
) -> dict[str, float]:
    """Return what the outputs lose when one layer alone is computed in int8, worst first.

    Args:
        layers: The nodes of each layer.
        run: Quantizes all nodes but those that it gets, and returns the outputs of some rows.

    Returns:
        For each layer the root mean square of the difference, as a fraction of that of the outputs
        in float.

    Example:
        >>> layers = {"conv": ["c"], "logits": ["l"]}
        >>> loss = {"c": 0.5, "l": 0.1}
        >>> def run(kept):
        ...     return {"logits": np.ones(4) + sum(loss[n] for n in loss if n not in kept)}
        >>> layer_errors(layers, run)
        {'conv': 0.5, 'logits': 0.1}
    """
    nodes = [node for group in layers.values() for node in group]
    expected = run(nodes)
    errors = {
        layer: _error(expected, run([node for node in nodes if node not in set(group)]))
        for layer, group in layers.items()
    }
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def room_for_float(model: Any, layers: Iterable[str]) -> tuple[dict[str, int], float]:
    """Return how many weights each layer's kernels hold, and how many of all may stay in float.

    Args:
        model: The Keras model.
        layers: Names of those that int8 reaches, as :func:`by_layer` gives them.

    Example:
        >>> import keras
        >>> layers = [keras.layers.Dense(5, name="hidden"), keras.layers.Dense(2, name="logits")]
        >>> model = keras.Sequential([keras.Input((4,)), *layers])
        >>> room_for_float(model, ["hidden", "logits"]), room_for_float(model, ["hidden"])
        (({'hidden': 20, 'logits': 10}, 4.5), ({'hidden': 20}, 0.0))
    """
    kernels = {w.path: math.prod(w.shape) for w in model.weights if len(w.shape) > 1}
    sizes = dict.fromkeys(layers, 0)
    for name, count in kernels.items():
        # Without the model's own name, which those of a Sequential begin with.
        path = f"{path_of(model, name)}/"
        # A layer inside of another one, or of a model, has weights that do not name the outer one.
        within = {name: len(ends) for name in sizes if (ends := _end_that_begins(name, path))}
        if within:
            sizes[max(within, key=lambda name: within[name])] += count
    reached = sum(sizes.values())
    unreached = max(0, sum(kernels.values()) - reached)
    # Four bytes for each in float, one for each in int8: (reached - kept) = 4 (kept + unreached).
    return sizes, max(0.0, FILLED * (reached - 4 * unreached) / 5)


def _end_that_begins(name: str, path: str) -> str:
    """Return the longest end of a layer's name that a path begins with.

    Example:
        >>> _end_that_begins("both/forward_lstm", "forward_lstm/lstm_cell/kernel")
        'forward_lstm/'
    """
    parts = name.split("/")
    ends = (f"{'/'.join(parts[at:])}/" for at in range(len(parts)))
    return next((end for end in ends if path.startswith(end)), "")


def worst(errors: Mapping[str, float], sizes: Mapping[str, int], room: float) -> list[str]:
    """Return the layers to keep in float, worst first.

    They are the fewest that make :data:`ERROR_FRACTION` of the sum of all squared errors, without
    those for which there is no room: where every layer costs about the same, as with random
    weights, that sum takes most of the model.

    Args:
        errors: What each layer costs, as :func:`layer_errors` gives it.
        sizes: The number of weights in its kernels.
        room: How many of all of them may stay in float.

    Example:
        >>> worst({"conv": 0.3, "dense": 0.05}, {"conv": 9, "dense": 91}, 100)
        ['conv']
        >>> worst({"dense": 0.3, "conv": 0.3}, {"conv": 9, "dense": 91}, 15)
        ['conv']
        >>> worst({"conv": 0.0}, {"conv": 9}, 9)
        []
    """
    left = sum(error**2 for error in errors.values())
    enough = (1 - ERROR_FRACTION) * left
    chosen = []
    for layer, error in sorted(errors.items(), key=lambda item: -item[1]):
        if left <= enough:
            break
        if sizes[layer] <= room:
            chosen.append(layer)
            room -= sizes[layer]
            left -= error**2
    return chosen


def _error(expected: Arrays, received: Arrays) -> float:
    fractions = [
        np.sqrt(np.mean((array - received[name]) ** 2) / max(np.mean(array**2), 1e-12))
        for name, array in expected.items()
        if array.dtype.kind == "f"
    ]
    return round(float(max(fractions, default=0.0)), 6)


# Layers that no quantizer may touch: they say so by holding ``float_constants``.
#
# The front end of a speech model is one. The power of an audio clip spans ten orders of magnitude,
# of which eight bits hold two; a logarithm of that is noise.


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
        nodes: As for :func:`zoo_export.converters.mixed_precision.by_layer`.
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


_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)
# Above it the steps of float16 are a sixteenth and more: too much beside numbers around one.
_LARGEST_TERM = 100.0


def is_held(array: Array, *, summed: bool = False, multiplied: bool = False) -> bool:
    """Return whether float16 holds a constant so well that answers stay what they are.

    A weight may be rounded by its last bits. What is added to numbers of usual size, as masks and
    means are, must not be rounded by as much as they are; a fraction or an epsilon must not vanish.

    Args:
        array: Float numbers.
        summed: Whether it is added to something, or compared or chosen from beside it.
        multiplied: Whether something is multiplied or divided by it.

    Example:
        >>> is_held(np.float32([1500.3])), is_held(np.float32([1500.3]), summed=True)
        (True, False)
        >>> is_held(np.float32([-1e9])), is_held(np.float32([-np.inf]), summed=True)
        (False, True)
    """
    limit = _LARGEST_TERM if summed or multiplied else _LARGEST
    if array.size and max(array.max(), -array.min()) > limit:
        sizes = np.abs(array[np.isfinite(array)])
        if sizes.max(initial=0) > limit:
            return False
    return not multiplied or bool((np.abs(array[array != 0]) >= _SMALLEST).all())


def with_full_precision(facts: dict[str, Any]) -> dict[str, Any]:
    """Add to the facts of a float16 file how many bytes of constants have to stay in float32."""
    return {**facts, "float_constants": facts["weights"].get("float32", 0)}
