"""Attributions from the gradients and layers of a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo_models.saved import fed
from zoo_recipes.explanation.target import (
    Array,
    Arrays,
    AttributionTarget,
    Features,
    SpanTarget,
    answer_in,
)
from zoo_registry import UsageError, ZooError, did_you_mean

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)
_CHUNK = 32


def integrated_gradients(
    model: Any, features: Features, target: AttributionTarget | SpanTarget, steps: int
) -> tuple[Array, float]:
    """Integrate the gradient on the way from nothing to the input (https://arxiv.org/abs/1703.01365).

    The path of token ids is that of their vectors, between the outputs of the model's
    embedding layer. The integral is taken at the points of Gauss and Legendre.

    Args:
        model: A Keras model that ends in logits.
        features: The input, and nothing.
        target: The class.
        steps: Points on the way.

    Returns:
        Attributions, of the shape of the input, or (tokens, width) for token ids, and the
        completeness gap: what their sum lacks of the logit's change on the way.

    Raises:
        UsageError: A model that reads token ids and has no embedding layer.
    """
    start, end = features.blank[features.name], features.inputs[features.name]

    def logit(rows: Any) -> Any:
        others = {name: np.repeat(array, len(rows), 0) for name, array in features.inputs.items()}
        return target.logit(_logits(model, {**others, features.name: rows}))

    if end.dtype.kind not in "iu":
        return _integral(logit, start, end, steps)
    layer = embedding_of(model, features)

    def logit_of_vectors(points: Any) -> Any:
        # The layer may also be called the other way round, with vectors.
        def put(output: Any, given: Any) -> Any:
            return tf.cast(points, output.dtype) if _are_ids(given) else output

        with _changed(layer, put):
            return logit(np.repeat(end, len(points), 0))

    first, last = (tf.cast(layer(ids), tf.float32) for ids in (start, end))
    return _integral(logit_of_vectors, first, last, steps)


def embedding_of(model: Any, features: Features) -> Any:
    """Return the layer that makes vectors of the token ids.

    Raises:
        UsageError: There is none.
    """
    ids = features.inputs[features.name]
    embeddings = [
        layer for layer in _inner_layers(model) if isinstance(layer, keras.layers.Embedding)
    ]
    found = [
        layer
        for layer, given, _ in _calls(model, embeddings, features.inputs)
        if _are_ids(given) and np.array_equal(np.asarray(given), ids)
    ]
    if not found:
        raise UsageError(
            f"Model '{model.name}' has no Embedding layer that reads '{features.name}': "
            "integrated gradients of tokens go along its vectors. Use occlusion, shap or lime."
        )
    return found[0]


def grad_cam(
    model: Any, features: Features, target: AttributionTarget | SpanTarget, layer: str | None = None
) -> tuple[Array, str]:
    """Weight the maps of a convolution by their mean gradients (https://arxiv.org/abs/1610.02391).

    Args:
        model: A Keras model that ends in logits.
        features: An image.
        target: The class.
        layer: Name of the layer whose maps are taken; the last one with the size of the last
            convolution by default.

    Returns:
        What speaks for the class, float (height, width) of the image, and the layer's name.

    Raises:
        UsageError: No convolution, or no such layer.
        ZooError: Nothing in the maps speaks for the class.
    """
    chosen = _map_layer(model, features.inputs, layer)
    maps: list[Any] = []
    with tf.GradientTape() as tape:

        def watch(output: Any, given: Any) -> Any:
            tape.watch(output)
            maps.append(output)
            return output

        with _changed(chosen, watch):
            logit = target.logit(_logits(model, features.inputs))
    gradients = tape.gradient(logit, maps[0])
    weights = tf.reduce_mean(gradients[0], axis=(0, 1))
    coarse = tf.nn.relu(tf.tensordot(maps[0][0], weights, axes=1))
    if not np.any(coarse):
        raise ZooError(
            f"Nothing in the maps of layer '{chosen.name}' speaks for '{target.label}' on the "
            "whole, so Grad-CAM shows nothing: name another layer (--layer), or use another method."
        )
    height, width = features.members.shape
    fine = tf.image.resize(tf.cast(coarse, tf.float32)[..., tf.newaxis], (height, width))
    return np.asarray(fine)[..., 0], str(chosen.name)


def _logits(model: Any, inputs: Any) -> Any:
    outputs = model(fed(model, inputs), training=False)
    if isinstance(outputs, dict):
        outputs = answer_in(outputs, tf.stack)
    return tf.cast(outputs, tf.float32)


def _integral(
    forward: Callable[[Any], Any], start: Any, end: Any, steps: int
) -> tuple[Array, float]:
    positions, weights = np.polynomial.legendre.leggauss(steps)
    start, end = (np.asarray(point, np.float64) for point in (start, end))
    total = np.zeros(end.shape[1:])
    for first in range(0, steps, _CHUNK):
        chunk = slice(first, first + _CHUNK)
        fractions = ((positions[chunk] + 1) / 2).reshape(-1, *[1] * (end.ndim - 1))
        points = tf.constant(start + fractions * (end - start), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = forward(points)
        gradients = np.asarray(tape.gradient(values, points), np.float64)
        total += np.tensordot(weights[chunk] / 2, gradients, axes=1)
    attributions = (end - start)[0] * total
    ends = forward(tf.constant(np.concatenate([start, end]), tf.float32))
    return attributions, float(ends[1] - ends[0]) - float(attributions.sum())


def _map_layer(model: Any, inputs: Arrays, wanted: str | None) -> Any:
    calls = [
        (layer, output.shape)
        for layer, _, output in _calls(model, _inner_layers(model), inputs)
        if len(getattr(output, "shape", ())) == 4 and min(output.shape[1:3]) > 1
    ]
    if wanted is not None:
        return _named(model, [layer for layer, _ in calls], wanted)
    convolved = [at for at, (layer, _) in enumerate(calls) if isinstance(layer, _CONVOLUTIONS)]
    if not convolved:
        raise UsageError(
            f"Model '{model.name}' has no convolution: Grad-CAM weights its maps. Use "
            "integrated-gradients, occlusion, shap or lime."
        )
    # What follows at the same size belongs to it: normalization, activation, a residual sum.
    last, shape = calls[convolved[-1]]
    for layer, other in calls[convolved[-1] :]:
        if other != shape:
            break
        last = layer
    return last


def _named(model: Any, layers: Sequence[Any], wanted: str) -> Any:
    by_name = {layer.name: layer for layer in layers}
    if wanted not in by_name:
        raise UsageError(
            f"Model '{model.name}' has no layer '{wanted}' that gives maps."
            f"{did_you_mean(wanted, by_name)} There are: {', '.join(by_name) or 'none'}."
        )
    return by_name[wanted]


def _inner_layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def _are_ids(given: Any) -> bool:
    return bool(np.dtype(keras.backend.standardize_dtype(given.dtype)).kind in "iu")


def _calls(model: Any, layers: Sequence[Any], inputs: Arrays) -> list[tuple[Any, Any, Any]]:
    """Return the layers in the order in which they are called, what each is given and gives."""
    calls: list[tuple[Any, Any, Any]] = []

    def noted(layer: Any) -> Callable[[Any, Any], Any]:
        def note(output: Any, given: Any) -> Any:
            calls.append((layer, given, output))
            return output

        return note

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_changed(layer, noted(layer)))
        _logits(model, inputs)
    return calls


@contextmanager
def _changed(layer: Any, change: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Let what a layer gives, at any depth of a model, go through ``change(output, given)``."""
    original = layer.call

    def call(*given: Any, **named: Any) -> Any:
        return change(original(*given, **named), [*given, *named.values()][0])

    layer.call = call
    try:
        yield
    finally:
        del layer.call
