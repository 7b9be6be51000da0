"""Keras operations that no exporter takes, in a form that all of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def exportable_operations() -> Iterator[None]:
    """Let models traced inside use plain TensorFlow operators for ``argmax`` and ``argmin``.

    Keras looks at the sign bit of every number, to tell a negative zero from a positive one; that
    takes a Bitcast, which neither LiteRT nor ONNX has. Zeros of both signs are equal here.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import numpy as backend

    before = backend.argmax, backend.argmin
    backend.argmax, backend.argmin = _plain(tf.argmax), _plain(tf.argmin)
    try:
        yield
    finally:
        backend.argmax, backend.argmin = before


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
