"""Keras operations that no exporter takes, in a form that all of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.converters.compositions import ANYWHERE, composed


@contextmanager
def exportable_operations() -> Iterator[None]:
    """Let models traced inside use plain operators for ``argmax``, and images grow by a factor.

    Keras looks at the sign bit of every number, to tell a negative zero from a positive one; that
    takes a Bitcast, which neither LiteRT nor ONNX has. Zeros of both signs are equal here. And it
    asks whether the new size of an image is positive, which in a graph may not be known yet.
    Operators that no format takes are made of others.
    """
    import keras
    import tensorflow as tf
    from keras.src.backend.tensorflow import numpy as backend
    from keras.src.ops import image

    before = backend.argmax, backend.argmin, image.resize
    backend.argmax, backend.argmin = _plain(tf.argmax), _plain(tf.argmin)
    image.resize = keras.ops.image.resize = _to_any_size(image.resize, image._resize)
    try:
        with composed(ANYWHERE):
            yield
    finally:
        backend.argmax, backend.argmin, image.resize = before
        keras.ops.image.resize = image.resize


@contextmanager
def images_scaled_by_rows() -> Iterator[None]:
    """Let Rescaling layers traced inside multiply and add whole rows of pixels.

    The numbers are the same. XNNPACK takes several times as long for factors of three neighbours,
    which in a small network is a fifth of all its time.
    """
    import keras

    before = keras.layers.Rescaling.call

    def call(layer: Any, inputs: Any) -> Any:
        scaled = _scaled_by_rows(layer, inputs)
        return before(layer, inputs) if scaled is None else scaled

    keras.layers.Rescaling.call = call
    try:
        yield
    finally:
        keras.layers.Rescaling.call = before


def _scaled_by_rows(layer: Any, inputs: Any) -> Any:
    import tensorflow as tf

    factors = [np.asarray(factor, layer.compute_dtype) for factor in (layer.scale, layer.offset)]
    sizes = inputs.shape[1:]
    by_channel = any(factor.shape == tuple(sizes[-1:]) and factor.size > 1 for factor in factors)
    if len(sizes) != 3 or None in sizes or not by_channel or max(f.ndim for f in factors) > 1:
        return None
    height, width, channels = sizes
    scale, offset = (np.tile(f, width) if f.size > 1 else f for f in factors)
    rows = tf.reshape(tf.cast(inputs, layer.compute_dtype), [-1, height, width * channels])
    return tf.reshape(rows * scale + offset, [-1, height, width, channels])


def _to_any_size(resize: Callable[..., Any], unchecked: Callable[..., Any]) -> Callable[..., Any]:
    def operation(images: Any, size: Any, *options: Any, **named: Any) -> Any:
        is_known = all(isinstance(side, int) for side in size)
        return (resize if is_known else unchecked)(images, size, *options, **named)

    return operation


def _plain(reduce: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    def operation(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        values = tf.reshape(x, [-1]) if axis is None else x
        indices = reduce(values, axis=0 if axis is None else axis, output_type=tf.int32)
        if not keepdims:
            return indices
        if axis is None:
            return tf.reshape(indices, [1] * len(x.shape))
        return tf.expand_dims(indices, axis)

    return operation
