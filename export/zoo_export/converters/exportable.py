"""Keras operations that no exporter takes, in a form that all of them do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from zoo_export.converters.compositions import ANYWHERE, composed

_CONVOLUTIONS = ("conv", "conv_transpose", "depthwise_conv", "separable_conv")


@contextmanager
def exportable_operations() -> Iterator[None]:
    """Let models traced inside use plain operators that every format and processor has.

    Keras looks at the sign bit of every number, to tell a negative zero from a positive one; that
    takes a Bitcast, which neither LiteRT nor ONNX has. Zeros of both signs are equal here. It asks
    whether the new size of an image is positive, which in a graph may not be known yet. It leaves
    convolutions with channels first to TensorFlow, which has them on few processors. And it maps a
    layer over a number of steps that is open, one after the other, and carries what a scan carries
    in an array: loops that no converter understands. Operators that no format has are made of
    others (``compositions``).
    """
    import keras
    import tensorflow as tf
    from keras.src.backend.tensorflow import core, nn
    from keras.src.backend.tensorflow import numpy as backend
    from keras.src.ops import image

    distributed = keras.layers.TimeDistributed
    changes = [
        (backend, "argmax", _plain(tf.argmax)),
        (backend, "argmin", _plain(tf.argmin)),
        (core, "scan", _scan),
        (distributed, "call", _at_once(distributed.call)),
        (image, "resize", resize := _to_any_size(image.resize, image._resize)),
        (keras.ops.image, "resize", resize),
        *((nn, name, _channels_last(getattr(nn, name))) for name in _CONVOLUTIONS),
    ]
    with ExitStack() as stack:
        for owner, name, change in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, change)
        with composed(ANYWHERE):
            yield


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


def _channels_last(convolve: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf
    from keras.src import backend

    signature = inspect.signature(convolve)

    def operation(inputs: Any, *arguments: Any, **named: Any) -> Any:
        given = signature.bind(inputs, *arguments, **named).arguments
        if backend.standardize_data_format(given.get("data_format")) != "channels_first":
            return convolve(**given)
        rank = len(inputs.shape)
        given["inputs"] = tf.transpose(inputs, [0, *range(2, rank), 1])
        given["data_format"] = "channels_last"
        return tf.transpose(convolve(**given), [0, rank - 1, *range(1, rank - 1)])

    return operation


def _at_once(one_by_one: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    def call(layer: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if inputs.shape[1] is not None:
            return one_by_one(layer, inputs, training=training, mask=mask)
        rows, steps = tf.unstack(tf.shape(inputs)[:2])
        named: dict[str, Any] = {"training": training} if layer.layer._call_has_training_arg else {}
        if layer.layer._call_has_mask_arg and mask is not None:
            named["mask"] = tf.reshape(mask, [-1, *tf.unstack(tf.shape(mask)[2:])])
        made = layer.layer.call(_joined(inputs), **named)
        sizes, known = tf.concat([[rows, steps], tf.shape(made)[1:]], axis=0), made.shape[1:]
        return tf.ensure_shape(tf.reshape(made, sizes), [inputs.shape[0], None, *known])

    return call


def _joined(inputs: Any) -> Any:
    import tensorflow as tf

    shape = tf.shape(inputs)
    sizes = [shape[at] if size is None else size for at, size in enumerate(inputs.shape)]
    return tf.reshape(inputs, [-1, *sizes[2:]])


def _scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: Any = None,
    *,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """Do what Keras' scan does, with what is carried as variables of the loop."""
    import tensorflow as tf
    from keras import tree

    taken = [tf.convert_to_tensor(x) for x in tree.flatten(xs)] if xs is not None else []
    count = int(length) if length is not None else taken[0].shape[0]
    count = tf.shape(taken[0])[0] if count is None else count
    taken = [tf.reverse(x[:count], [0]) if reverse else x for x in taken]
    arrays = [tf.TensorArray(x.dtype, count).unstack(x[:count]) for x in taken]
    first = [tf.convert_to_tensor(carry) for carry in tree.flatten(init)]
    made = [tf.TensorArray(c.dtype, count, element_shape=c.shape) for c in first]

    def packed(structure: Any, values: Any) -> Any:
        nested = tree.is_nested(structure)
        return tree.pack_sequence_as(structure, list(values)) if nested else values[0]

    def step(at: Any, carried: Any, given: Any) -> Any:
        x = packed(xs, [array.read(at) for array in arrays]) if arrays else None
        carry, y = f(packed(init, carried), x)
        carried = carried if carry is None else tuple(tree.flatten(carry))
        if y is not None:
            ys = zip(given, tree.flatten(y), strict=True)
            given = tuple(array.write(at, value) for array, value in ys)
        return at + 1, carried, given

    _, carried, given = tf.while_loop(
        lambda at, *_: at < count,
        step,
        (0, tuple(first), tuple(made)),
        maximum_iterations=count,
    )
    stacked = [array.stack() for array in given]
    stacked = [tf.reverse(y, [0]) if reverse else y for y in stacked]
    return packed(init, carried), packed(init, stacked)
