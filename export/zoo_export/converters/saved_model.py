"""Keras to SavedModel, each weight stored once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.converters.tracing import (
    Conversion,
    blame,
    exportable_operations,
    holder,
    trace,
    trace_function,
)
from zoo_runtime.errors import ExportError
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ImageStep
from zoo_runtime.running.compute_operators import COMPUTE
from zoo_runtime.running.sessions import SIGNATURE
from zoo_runtime.tensors import Arrays

IMAGE_SIGNATURE, IMAGE_INPUT = "serving_image_bytes", "image_bytes"
_BITS = 22
FILE = "assets.extra/tf_serving_warmup_requests"
# Numbers of the fields in prediction_log.proto, predict.proto and model.proto.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1
_REQUEST_SPEC, _REQUEST_INPUTS = 1, 2
_SPEC_NAME, _SPEC_SIGNATURE = 1, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write a SavedModel whose signature takes named tensors, and return what it holds.

    ``model.export`` stores every weight twice; a plain ``tf.Module`` stores it once. Where the
    preprocessing is one image, a second signature takes the bytes of image files. A sample
    request for TensorFlow Serving stands beside, so that a server's first answer is not slow.
    """
    import tensorflow as tf

    function, concrete = trace(conversion)
    _refuse_effects(concrete.graph, conversion.model)
    module = holder(concrete)
    more = {f.name: trace_function(conversion.model, f) for f in conversion.functions}
    module.serve = [function, *(each for each, _ in more.values())]
    with exportable_operations():  # TensorFlow traces anew what it saves
        signatures = {SIGNATURE: concrete, **_of_images(conversion, function)}
        signatures |= {name: traced for name, (_, traced) in more.items()}
        tf.saved_model.save(module, str(conversion.path), signatures=signatures)
    name = conversion.about.get("name", "")
    _write_request(conversion.path, name, SIGNATURE, conversion.first)
    return {"signature": SIGNATURE, "signatures": sorted(signatures)}


def _refuse_effects(graph: Any, model: Any) -> None:
    definition = graph.as_graph_def()
    functions = definition.library.function
    known = COMPUTE | {function.signature.name for function in functions}
    nodes = [*definition.node, *(node for function in functions for node in function.node_def)]
    foreign = sorted({node.op for node in nodes} - known)
    if foreign:
        blames = blame(graph, model, foreign)
        raise ExportError(
            f"it does more than compute: {', '.join(map(str, blames))}. No file of a bundle "
            "prints, reads, writes or calls Python",
            blames,
        )


def _of_images(conversion: Conversion, function: Any) -> dict[str, Any]:
    import tensorflow as tf

    steps = [as_step(step) for step in conversion.about.get("preprocessing", ())]
    names = [tensor.name for tensor in conversion.inputs]
    if len(steps) != 1 or not isinstance(steps[0], ImageStep) or names != [steps[0].input]:
        return {}
    step = steps[0]

    def serve(image_bytes: Any) -> Any:
        return function(**{step.input: decode_batch(step, image_bytes)})

    spec = tf.TensorSpec([None], tf.string, IMAGE_INPUT)
    serving = tf.function(serve, autograph=False)
    return {IMAGE_SIGNATURE: serving.get_concrete_function(image_bytes=spec)}


# The preprocessing step ``image`` in TensorFlow's own operators, bit for bit as Pillow does it.
#
# Coefficients of the filter are rounded to 22 bits and each of the two passes, along rows and along
# columns, ends in integers; both are exact in float64. Only deep pixels (16 bits) may
# come out one step apart. JPEG, PNG, GIF and BMP files are read, and left as the camera stored
# them: EXIF tags that ask for a rotation are not read.


def decode_batch(step: ImageStep, files: Any) -> Any:
    """Return float32 (batch, height, width, channels) for the bytes of image files (batch,)."""
    tf = _tf()
    spec = tf.TensorSpec((*step.size, step.channels), tf.float32)
    return tf.map_fn(lambda file: _decode(step, file), files, fn_output_signature=spec)


def _decode(step: ImageStep, file: Any) -> Any:
    tf = _tf()
    pixels = tf.cond(
        tf.io.is_jpeg(file),
        lambda: tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(file, expand_animations=False),
    )
    pixels = _in_mode(tf.cast(pixels, tf.int32), step.channels)
    resized = _resize(step, pixels)
    return tf.ensure_shape(tf.cast(resized, tf.float32), (*step.size, step.channels))


def _in_mode(pixels: Any, channels: int) -> Any:
    """Lay what is transparent over white, then make it grey or RGB."""
    tf = _tf()
    depth = tf.shape(pixels)[-1]
    has_alpha, is_grey = depth % 2 == 0, depth < 3
    color = tf.cond(has_alpha, lambda: _over_white(pixels), lambda: pixels)
    if channels == 3:
        return tf.cond(is_grey, lambda: tf.tile(color, (1, 1, 3)), lambda: color)
    return tf.cond(is_grey, lambda: color, lambda: _grey(color))


def _over_white(pixels: Any) -> Any:
    color, alpha = pixels[..., :-1], pixels[..., -1:]
    total = (color * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7)
    return (((total // 256) + total) // 256) // 128


def _grey(color: Any) -> Any:
    tf = _tf()
    weights = tf.constant([19595, 38470, 7471])
    return (tf.reduce_sum(color * weights, axis=-1, keepdims=True) + 0x8000) // 0x10000


def _resize(step: ImageStep, pixels: Any) -> Any:
    height, width = _sides(step, _tf().shape(pixels))
    resized = _brought_to(step.resample, pixels, height, width)
    if step.shorter_side is None and step.resized is None:
        return resized
    top, left = _first(step, height - step.size[0]), _first(step, width - step.size[1])
    return resized[top : top + step.size[0], left : left + step.size[1]]


def _first(step: ImageStep, cut: Any) -> Any:
    """Return the first row or column of the middle, where so many are cut off."""
    if step.rounding == "floor":
        return cut // 2
    # Half a pixel goes to the even neighbour.
    return cut // 2 + (cut % 2) * (cut // 2 % 2)


def _sides(step: ImageStep, before: Any) -> tuple[Any, Any]:
    """Return height and width that an image is resized to, before its middle is cropped."""
    if step.shorter_side is None:
        return step.resized or step.size
    tf = _tf()
    height, width = (tf.cast(before[axis], tf.float64) for axis in (0, 1))
    shorter = tf.minimum(height, width)
    return tuple(
        tf.cast(tf.floor(step.shorter_side * side / shorter), tf.int32) for side in (height, width)
    )


def _brought_to(resample: str, pixels: Any, height: Any, width: Any) -> Any:
    tf = _tf()
    before = tf.shape(pixels)
    if resample == "nearest":
        rows, columns = _nearest(before[0], height), _nearest(before[1], width)
        return tf.gather(tf.gather(pixels, rows), columns, axis=1)
    pixels = tf.cast(pixels, tf.float64)
    down = _coefficients(resample, before[0], height)
    across = _coefficients(resample, before[1], width)

    def rows_first() -> Any:
        return _down(_across(pixels, across), down)

    def columns_first() -> Any:
        return _across(_down(pixels, down), across)

    # Pillow's choice since version 13; each pass rounds, so the order shows.
    shorter, narrower = before[0] - height, before[1] - width
    return tf.cond(shorter > tf.maximum(0, 2 * narrower), columns_first, rows_first)


def _across(pixels: Any, coefficients: Any) -> Any:
    return _whole(_tf().einsum("hwc,ow->hoc", pixels, coefficients))


def _down(pixels: Any, coefficients: Any) -> Any:
    return _whole(_tf().einsum("hwc,oh->owc", pixels, coefficients))


def _nearest(before: Any, after: Any) -> Any:
    tf = _tf()
    scale = tf.cast(before, tf.float64) / tf.cast(after, tf.float64)
    # Summed up one after the other, with what that rounds.
    centers = tf.cumsum(tf.concat([[scale / 2], tf.fill([after - 1], scale)], axis=0))
    return tf.cast(tf.floor(centers), tf.int32)


def _coefficients(resample: str, before: Any, after: Any) -> Any:
    """Return float64 (after, before): how much each pixel gives, in whole steps of 2**-22."""
    tf = _tf()
    reach, shape = _FILTERS[resample]
    after = tf.cast(after, tf.float64)
    scale = tf.cast(before, tf.float64) / after
    stretch = tf.maximum(scale, 1)
    centers = tf.reshape((tf.range(after) + 0.5) * scale, (-1, 1))
    first = tf.maximum(tf.floor(centers - reach * stretch + 0.5), 0)
    last = tf.minimum(tf.floor(centers + reach * stretch + 0.5), tf.cast(before, tf.float64))
    positions = tf.reshape(tf.range(tf.cast(before, tf.float64), dtype=tf.float64), (1, -1))
    inside = tf.logical_and(positions >= first, positions < last)
    weights = shape(tf.abs((positions + 0.5 - centers) / stretch)) * tf.cast(inside, tf.float64)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    steps = weights * 2.0**_BITS
    return tf.sign(steps) * tf.floor(tf.abs(steps) + 0.5)


def _whole(sums: Any) -> Any:
    tf = _tf()
    return tf.clip_by_value(tf.floor((sums + 2.0 ** (_BITS - 1)) / 2.0**_BITS), 0, 255)


def _cubic(x: Any) -> Any:
    # Keys' kernel with a = -1/2.
    tf = _tf()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return tf.where(x < 1, near, tf.where(x < 2, far, tf.zeros_like(x)))


def _triangle(x: Any) -> Any:
    return _tf().maximum(1 - x, 0)


def _lanczos(x: Any) -> Any:
    return _sinc(x) * _sinc(x / 3)


def _sinc(x: Any) -> Any:
    tf = _tf()
    angle = np.pi * tf.where(x == 0, tf.ones_like(x), x)
    return tf.where(x == 0, tf.ones_like(x), tf.sin(angle) / angle)


def _tf() -> Any:
    import tensorflow

    return tensorflow


# Reach and shape of each filter, in pixels of the smaller of the two images.
_FILTERS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, _lanczos),
}


# A sample request that TensorFlow Serving runs as it loads a model.
#
# https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of ``PredictionLog``
# messages. Their definitions come with ``tensorflow-serving-api``, which pins a TensorFlow; a
# request has five fields, which are written here as protocol buffers lay them out.


def _write_request(folder: Path, name: str, signature: str, sample: Arrays) -> None:
    """Write one request into a SavedModel.

    Args:
        folder: The SavedModel.
        name: Name of the model.
        signature: The signature that is asked for.
        sample: Inputs by name.
    """
    import tensorflow as tf

    spec = _field(_SPEC_NAME, name.encode()) + _field(_SPEC_SIGNATURE, signature.encode())
    request = _field(_REQUEST_SPEC, spec)
    for key, array in sample.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(
            _REQUEST_INPUTS, _field(_MAP_KEY, key.encode()) + _field(_MAP_VALUE, tensor)
        )
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(_field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request)))


def _field(number: int, content: bytes) -> bytes:
    """Return a field of bytes: its number and kind, its length, itself."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
