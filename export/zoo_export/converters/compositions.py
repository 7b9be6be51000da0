"""Operators that a format lacks, or computes worse than TensorFlow, made of those that it has.

A table has for a type of operator what replaces it. It applies to whatever is traced,
by Keras, TensorFlow or a layer of the user's own, and to every dtype and attribute that an entry
takes; for others it gives ``None``, and the operator stays as it is.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo_export.converters import formulas


@dataclass(frozen=True)
class Node:
    """An operator that is about to be made.

    Args:
        type: As TensorFlow calls it.
        inputs: Its tensors.
        attributes: Its attributes, as protocol buffers.
    """

    type: str
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """Its attributes as its maker takes them; dtypes are those of the inputs."""
        kinds = {key: value.WhichOneof("value") for key, value in self.attributes.items()}
        return {key: _value(self.attributes[key]) for key, kind in kinds.items() if kind != "type"}

    @property
    def data_format(self) -> str:
        """The order of its axes, such as ``"NHWC"``."""
        return str(self.attributes["data_format"].s.decode())


Composition = Callable[[Node], Any]


@contextmanager
def composed(table: Mapping[str, Composition]) -> Iterator[None]:
    """Replace operators in graphs traced inside by what a table gives for their types."""
    from tensorflow.python.framework.func_graph import FuncGraph

    before = FuncGraph._create_op_internal

    def create(graph: Any, op_type: str, inputs: Sequence[Any], *rest: Any, **named: Any) -> Any:
        compose = table.get(op_type)
        if compose is not None:
            result = compose(Node(op_type, tuple(inputs), named.get("attrs") or {}))
            if result is not None:
                return tf.identity(result).op  # one operator with one output, as it would be
        return before(graph, op_type, inputs, *rest, **named)

    FuncGraph._create_op_internal = create
    try:
        yield
    finally:
        FuncGraph._create_op_internal = before


def _outside_of_gelu(formula: Callable[..., Any]) -> Composition:
    # LiteRT's converter makes one operator of what tf.nn.gelu gives, this one in it.
    def compose(node: Node) -> Any:
        scope = tf.compat.v1.get_default_graph().get_name_scope()
        is_gelu = re.search(r"(^|/)Gelu(_\d+)?/", scope)
        return None if is_gelu else _of_floats(formula)(node)

    return compose


# -- integers -------------------------------------------------------------------------------------


def _widened(node: Node) -> Any:
    wide = _WIDER.get(node.inputs[0].dtype)
    if wide is None:
        return None
    own = node.inputs[0].dtype
    inputs = [tf.cast(x, wide) if x.dtype == own else x for x in node.inputs]
    result = _again(node, inputs, node.options)
    return tf.cast(result, own) if result.dtype == wide else result


def _chosen(node: Node) -> Any:
    own = node.inputs[1].dtype
    if own not in _WIDER:
        return None
    wide = [tf.cast(x, _WIDER[own]) for x in node.inputs[1:]]
    return tf.cast(tf.where(node.inputs[0], *wide), own)


def _again(node: Node, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return what an operator of the same type gives for other inputs."""
    make = getattr(tf.raw_ops, node.type)
    names = [*inspect.signature(make).parameters][: len(inputs)]
    return make(**dict(zip(names, inputs, strict=True)), **options)


def _value(attribute: Any) -> Any:
    kind = attribute.WhichOneof("value")
    if kind == "list":
        return list(attribute.list.i)
    return attribute.s.decode() if kind == "s" else getattr(attribute, kind)


_WIDER = {
    tf.uint8: tf.int32,
    tf.int8: tf.int32,
    tf.uint16: tf.int32,
    tf.int16: tf.int32,
    tf.uint32: tf.int64,
}
_ARITHMETIC = (
    "Add",
    "AddV2",
    "Sub",
    "Mul",
    "Maximum",
    "Minimum",
    "FloorDiv",
    "FloorMod",
    "Square",
    "SquaredDifference",
    "Neg",
    "Abs",
    "Sign",
    "Pow",
    "Less",
    "LessEqual",
    "Greater",
    "GreaterEqual",
    "Equal",
    "NotEqual",
    "Sum",
    "Prod",
    "Max",
    "Min",
    "Mean",
    "Cumsum",
    "ReverseV2",
)


def _bitwise_and(a: Any, b: Any) -> Any:
    # Both bits are set where the sum and the exclusive or differ; in 16-bit parts sums do not
    # overflow.
    high, low = (
        (x + y - tf.bitwise.bitwise_xor(x, y)) // 2
        for x, y in zip(_parts(a), _parts(b), strict=True)
    )
    return high * _HALF + low


def _bitwise_or(a: Any, b: Any) -> Any:
    return tf.bitwise.bitwise_xor(a, b) + _bitwise_and(a, b)


def _parts(x: Any) -> tuple[Any, Any]:
    low = tf.math.floormod(x, _HALF)
    return (x - low) // _HALF, low


_HALF = 1 << 16


def _left_shift(x: Any, count: Any) -> Any:
    # TensorFlow moves by none at least, and by all bits but one at most.
    return x * tf.pow(tf.constant(2, x.dtype), tf.minimum(tf.maximum(count, 0), 31))


def _truncated_mod(x: Any, y: Any) -> Any:
    return tf.sign(x) * tf.math.floormod(tf.abs(x), tf.abs(y))


def _cast_by_integers(node: Node) -> Any:
    # Beyond the range of the narrow dtype TensorFlow takes the last bits, LiteRT the nearest.
    (x,) = node.inputs
    narrow = tf.as_dtype(node.attributes["DstT"].type)
    is_narrow = narrow in _WIDER and narrow != tf.uint32
    return tf.cast(tf.cast(x, tf.int32), narrow) if x.dtype.is_floating and is_narrow else None


# -- masks ----------------------------------------------------------------------------------------

# From here on a factor is that of a mask.
_MASKS = 1e3


def _mask_added(node: Node) -> Any:
    """Return ``x - mask * 1e9`` as ``x + mask * -1e9``, which is the same to the last bit.

    The ranges of int8 end at such masks where they are added.
    """
    x, subtracted = node.inputs
    product = _maker(subtracted)
    found = _mask(*product.inputs) if product.type == "Mul" else None
    if found is None:
        return _widened(node)
    mask, factor = found
    mask, factor = (mask, -factor) if factor > 0 else (_negated(mask), factor)
    return None if mask is None else x + mask * factor


def _mask_below(node: Node) -> Any:
    """Return ``(mask - 1) * 1e9`` as ``(1 - mask) * -1e9``."""
    mask, factor = _mask(*node.inputs) or (None, 0.0)
    mask = _negated(mask) if factor > 0 else None
    return _widened(node) if mask is None else mask * -factor


def _mask(a: Any, b: Any) -> tuple[Any, Any] | None:
    """Return what is multiplied by a mask's constant, and that, if one of two factors is such."""
    for x, factor in ((a, b), (b, a)):
        is_number = factor.dtype.is_floating and factor.shape.rank == 0
        value = tf.get_static_value(factor) if is_number else None
        if value is not None and abs(value) >= _MASKS:
            return x, value
    return None


def _negated(x: Any) -> Any:
    """Return a difference the other way round, ``None`` of anything else."""
    difference = _maker(x)
    if difference.type != "Sub":
        return None
    a, b = difference.inputs
    return b - a


def _maker(x: Any) -> Any:
    operator = x.op
    while operator.type == "Identity":  # as around what was composed
        operator = operator.inputs[0].op
    return operator


# -- tied embeddings ------------------------------------------------------------------------------


def _beside_scale(node: Node) -> Any:
    """Return a product with a tied embedding that leaves its table as it is.

    LiteRT's converter multiplies what it finds before a product, the scale of a norm in a vector,
    into the kernel: a table that is looked up too would be stored twice.
    """
    x, kernel = node.inputs
    scaled = _scaled_by_rows(x) if _is_read_twice(kernel) else None
    return None if scaled is None else _again(node, (scaled, kernel), node.options)


def _scaled_by_rows(x: Any) -> Any:
    """Return a product with a vector as one with a tensor of more axes; ``None`` of others."""
    maker = _maker(x)
    if maker.type == "Reshape":
        scaled = _scaled_by_rows(maker.inputs[0])
        return None if scaled is None else tf.reshape(scaled, maker.inputs[1])
    if maker.type != "Mul":
        return None
    scale, other = sorted(maker.inputs, key=lambda factor: factor.shape.rank or 0)
    if scale.shape.rank != 1 or other.shape.rank in {None, 1}:
        return None
    return other * tf.reshape(scale, [1] * (other.shape.rank - 1) + [-1])


def _is_read_twice(kernel: Any) -> bool:
    maker = _maker(kernel)
    while maker.type in {"Transpose", "Reshape"}:
        maker = _maker(maker.inputs[0])
    return maker.type == "ReadVariableOp" and len(maker.inputs[0].consumers()) > 1


# -- along an axis --------------------------------------------------------------------------------


def _scan(node: Node, combine: Callable[[Any, Any], Any], neutral: float) -> Any:
    """Return what is accumulated along an axis, in steps that double how far each looks."""
    x, axis = node.inputs[0], tf.get_static_value(node.inputs[1])
    if axis is None or x.shape.rank is None:
        return None
    axis = int(axis) % x.shape.rank
    count = x.shape[axis]
    if count is None:
        return None
    backwards = node.attributes["reverse"].b

    def moved(value: Any, by: int) -> Any:
        pads = [[0, 0]] * x.shape.rank
        pads[axis] = [0, by] if backwards else [by, 0]
        begin, size = [0] * x.shape.rank, [-1] * x.shape.rank
        begin[axis], size[axis] = (by if backwards else 0), count - by
        rest = tf.slice(value, begin, size)
        return tf.pad(rest, pads, constant_values=tf.constant(neutral, x.dtype))

    step = 1
    if node.attributes["exclusive"].b:
        x = moved(x, 1)
    while step < count:
        x = combine(moved(x, step), x)
        step *= 2
    return x


def _log_sum_exp(a: Any, b: Any) -> Any:
    largest = tf.maximum(a, b)
    known = tf.where(tf.math.is_inf(largest), tf.zeros_like(largest), largest)
    return known + tf.math.log(tf.exp(a - known) + tf.exp(b - known))


def _dense_bincount(node: Node) -> Any:
    numbers, size, weights = node.inputs
    depth = _least(size)
    if depth is None or numbers.shape.rank not in {1, 2}:
        return None
    kind = weights.dtype
    hot = tf.one_hot(numbers, int(depth), dtype=kind)
    if node.attributes["binary_output"].b:
        return tf.reduce_max(hot, axis=-2)
    if weights.shape != [0]:
        hot *= tf.expand_dims(weights, -1)
    return tf.reduce_sum(hot, axis=-2)


def _least(size: Any) -> int | None:
    # What is asked for, where that is the larger of it and of what the numbers need.
    value = tf.get_static_value(size)
    if value is not None or size.op.type not in {"Maximum", "Minimum"}:
        return None if value is None else int(value)
    known = [part for part in map(_least, size.op.inputs) if part is not None]
    choose = max if size.op.type == "Maximum" else min
    return choose(known, default=None)


def _euclidean_norm(node: Node) -> Any:
    x, axis = node.inputs
    kept = node.attributes["keep_dims"].b
    return tf.sqrt(tf.reduce_sum(x * x, axis=axis, keepdims=kept))


def _diagonal_part(node: Node) -> Any:
    x, *others = node.inputs
    if others and np.any(tf.get_static_value(others[0]) != 0):  # not the main one
        return None
    rows, columns = x.shape[-2:]
    if rows is None or columns is None:
        return None
    count = min(rows, columns)
    flat = tf.reshape(x, tf.concat([tf.shape(x)[:-2], [rows * columns]], 0))
    flat.set_shape([*x.shape[:-2], rows * columns])
    return flat[..., : (count - 1) * (columns + 1) + 1 : columns + 1]


def _bound(compare: Callable[[Any, Any], Any]) -> Composition:
    def compose(node: Node) -> Any:
        ordered, values = node.inputs
        kind = tf.as_dtype(node.attributes["out_type"].type)
        before = compare(ordered[:, None, :], values[:, :, None])
        return tf.reduce_sum(tf.cast(before, kind), axis=-1)

    return compose


def _cross(a: Any, b: Any) -> Any:
    (a0, a1, a2), (b0, b1, b2) = tf.unstack(a, axis=-1), tf.unstack(b, axis=-1)
    return tf.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


# -- channels first -------------------------------------------------------------------------------


def _channels_last(node: Node) -> Any:
    """Return what an operator gives whose channels come first, computed with them last."""
    order = node.data_format
    if order not in _LAST:
        return None
    rank = len(order)
    to_last = _orders(rank)[0]
    data = _DATA.get(node.type, 0)
    inputs, options = list(node.inputs), {**node.options, "data_format": _LAST[order]}
    is_flat = inputs[data].shape[2] == 1  # rows of a sequence: images of height one
    inputs[data] = _with_channels_last(inputs[data], is_flat)
    if data:
        inputs[0] = tf.gather(inputs[0], to_last)  # the sizes of what was the input
    for name in {"strides", "dilations", "ksize"} & options.keys():
        options[name] = [options[name][axis] for axis in to_last]
    pads = options.get("explicit_paddings")
    if pads:
        options["explicit_paddings"] = [pads[2 * axis + end] for axis in to_last for end in (0, 1)]
    return _with_channels_first(_again(node, inputs, options), is_flat)


def _orders(rank: int) -> tuple[list[int], list[int]]:
    return [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]


def _with_channels_last(x: Any, is_flat: bool) -> Any:
    rank = x.shape.rank
    if rank != 4 or not is_flat:
        return tf.transpose(x, _orders(rank)[0])
    # LiteRT's converter fails on a transpose of an axis of one that is then taken away.
    return tf.expand_dims(tf.transpose(tf.squeeze(x, 2), [0, 2, 1]), 1)


def _with_channels_first(x: Any, is_flat: bool) -> Any:
    rank = x.shape.rank
    if rank != 4 or not (is_flat and x.shape[1] == 1):
        return tf.transpose(x, _orders(rank)[1])
    return tf.expand_dims(tf.transpose(tf.squeeze(x, 1), [0, 2, 1]), 2)


def _blocks_last(node: Node) -> Any:
    # A dilated convolution of channels that come first takes blocks of them too, of one each.
    x, blocks, pads = node.inputs
    sizes, edges = tf.get_static_value(blocks), tf.get_static_value(pads)
    rank = x.shape.rank
    if sizes is None or edges is None or len(sizes) + 1 != rank:
        return None
    if rank not in {3, 4} or sizes[0] != 1 or edges[0].any():
        return None
    to_last, to_first = _orders(rank)
    inner = tf.transpose(x, to_last)
    if node.type == "SpaceToBatchND":
        made = tf.space_to_batch(inner, sizes[1:], edges[1:])
    else:
        made = tf.batch_to_space(inner, sizes[1:], edges[1:])
    return tf.transpose(made, to_first)


_LAST = {"NCHW": "NHWC", "NCDHW": "NDHWC"}
# Which input has channels, where it is not the first.
_DATA = {"Conv2DBackpropInput": 2, "Conv3DBackpropInputV2": 2}


def _pool_3d(node: Node) -> Any:
    """Return images of three dimensions pooled over planes first, then over depth."""
    if node.data_format != "NDHWC":
        return _channels_last(node)
    (x,) = node.inputs
    depth, height, width, channels = x.shape[1:]
    if None in (depth, height, width, channels):
        return None
    size, strides = (list(node.attributes[key].list.i) for key in ("ksize", "strides"))
    pool = tf.nn.max_pool2d if node.type == "MaxPool3D" else tf.nn.avg_pool2d
    padding = node.attributes["padding"].s.decode()
    planes = tf.reshape(x, [-1, height, width, channels])
    planes = pool(planes, size[2:4], strides[2:4], padding)
    height, width = planes.shape[1:3]
    columns = tf.reshape(planes, [-1, depth, height * width, channels])
    columns = pool(columns, [size[1], 1], [strides[1], 1], padding)
    return tf.reshape(columns, [-1, columns.shape[1], height, width, channels])


def _transposed_convolution(node: Node) -> Any:
    for made in (_kernel_of_a_stride, _undilated, _channels_last):
        found = made(node)
        if found is not None:
            return found
    return None


def _undilated(node: Node) -> Any:
    """Return a transposed convolution with the zeros of its dilation in the kernel itself."""
    sizes, kernel, images = node.inputs
    rates = dict(zip(node.data_format, node.attributes["dilations"].list.i, strict=True))
    steps = [rates[axis] for axis in node.data_format if axis in "DHW"]
    if set(steps) == {1}:
        return None
    wide = kernel
    for axis, step in enumerate(steps):
        count, shape = wide.shape[axis], list(wide.shape)
        pads = [[0, 0]] * (axis + 1) + [[0, step - 1]] + [[0, 0]] * (len(shape) - axis - 1)
        spread = tf.pad(tf.expand_dims(wide, axis + 1), pads)
        shape[axis] = count * step
        wide = tf.gather(tf.reshape(spread, shape), range((count - 1) * step + 1), axis=axis)
    options = {**node.options, "dilations": [1] * len(node.data_format)}
    return _again(node, [sizes, wide, images], options)


def _kernel_of_a_stride(node: Node) -> Any:
    """Return a transposed convolution whose kernel is not smaller than its steps.

    Between its products it gives zeros, which it does by a kernel that ends in them too. ONNX
    would have to pad by less than nothing.
    """
    sizes, kernel, images = node.inputs
    order = node.data_format
    strides = [
        node.attributes["strides"].list.i[order.index(axis)] for axis in order if axis in "DHW"
    ]
    short = [
        max(0, step - (size or step)) for step, size in zip(strides, kernel.shape, strict=False)
    ]
    if not any(short):
        return None
    padded = tf.pad(kernel, [*([0, missing] for missing in short), [0, 0], [0, 0]])
    return _again(node, [sizes, padded, images], node.options)


def _bias_second(node: Node) -> Any:
    # TensorFlow calls every order with the channels second NCHW; formats know that of images.
    x, bias = node.inputs
    if node.data_format != "NCHW" or x.shape.rank in {None, 4}:
        return None
    return x + tf.reshape(bias, [-1] + [1] * (x.shape.rank - 2))


def _bias_of_numbers(node: Node) -> Any:
    x, bias = node.inputs
    if x.dtype.is_integer and node.data_format == "NHWC":
        return x + bias
    return _bias_second(node)


# -- images ---------------------------------------------------------------------------------------


def _resized(node: Node) -> Any:
    """Return images resized by two products with what the operator itself makes of unit rows."""
    images = node.inputs[0]
    by_axis = [_known(x, images) for x in node.inputs[1:]]  # the size; scale and offset, if any
    height, width, channels = images.shape[1:]
    if None in (height, width, channels) or any(value is None for value in by_axis):
        return None

    def weights(axis: int, count: int) -> Any:
        # Along the other axis one pixel becomes one.
        rows = np.expand_dims(np.eye(count, dtype=np.float32), (0, 2 - axis))
        others = [1, 1, 0][: len(by_axis)]
        given = [
            np.full(2, other, value.dtype) for other, value in zip(others, by_axis, strict=True)
        ]
        for one, value in zip(given, by_axis, strict=True):
            one[axis] = value[axis]
        with tf.init_scope():
            made = _again(node, [rows, *given], node.options)
            return np.squeeze(made.numpy(), (0, 2 - axis))

    rows = tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels])
    resized = tf.matmul(weights(0, height), rows)
    columns = tf.reshape(resized, [-1, int(by_axis[0][0]), width, channels])
    return tf.matmul(weights(1, width), columns)


def _resized_floats(node: Node) -> Any:
    # Of integers too TensorFlow's answer is in float32.
    images, size = node.inputs
    if images.dtype == tf.float32:
        return None
    return _again(node, [tf.cast(images, tf.float32), size], node.options)


def _patches(node: Node) -> Any:
    """Return patches of images as a convolution that takes each of their values once."""
    (images,) = node.inputs
    channels = images.shape[-1]
    if images.dtype != tf.float32 or channels is None:
        return None
    sizes, strides, rates = (
        node.attributes[key].list.i[1:3] for key in ("ksizes", "strides", "rates")
    )
    count = sizes[0] * sizes[1] * channels
    kernel = np.eye(count, dtype=np.float32).reshape(*sizes, channels, count)
    padding = node.attributes["padding"].s.decode()
    return tf.nn.conv2d(images, kernel, list(strides), padding, dilations=list(rates))


def _nearest_of_floats(node: Node) -> Any:
    images, size = node.inputs
    if images.dtype not in _WIDER or images.dtype.size > 2:
        return None
    resized = _again(node, [tf.cast(images, tf.float32), size], node.options)
    return tf.cast(resized, images.dtype)


def _known(tensor: Any, images: Any) -> Any:
    """Return a value that depends on the sizes of images at most, ``None`` of any other."""
    value = tf.get_static_value(tensor)
    if value is not None or None in images.shape[1:]:
        return value
    shape = [1, *images.shape[1:]]
    feeds = [{images.name: np.full(shape, fill, images.dtype.as_numpy_dtype)} for fill in (0, 1)]
    try:
        with tf.compat.v1.Session(graph=tensor.graph) as session:
            first, second = (session.run(tensor.name, feed) for feed in feeds)
    except tf.errors.OpError:
        return None
    return first if np.array_equal(first, second) else None


# -- tables ---------------------------------------------------------------------------------------


def _of_floats(formula: Callable[..., Any]) -> Composition:
    return lambda node: formula(*node.inputs) if node.inputs[0].dtype == tf.float32 else None


def _of_int32(formula: Callable[..., Any]) -> Composition:
    return lambda node: formula(*node.inputs) if node.inputs[0].dtype == tf.int32 else None


def _of_all(formula: Callable[..., Any]) -> Composition:
    return lambda node: formula(*node.inputs)


# For every format.
ANYWHERE: Mapping[str, Composition] = {
    "BiasAdd": _bias_second,
    "Conv2DBackpropInput": _kernel_of_a_stride,
    "Conv3DBackpropInputV2": _kernel_of_a_stride,
    "ResizeArea": _resized,
    "ScaleAndTranslate": _resized,
}

ONNX: Mapping[str, Composition] = {
    "Cross": _of_all(_cross),
    "Erfinv": _of_floats(formulas.erfinv),
    "ExtractImagePatches": _patches,
    "LowerBound": _bound(tf.less),
    "UpperBound": _bound(tf.less_equal),
    **dict.fromkeys(_ARITHMETIC, _widened),
}

LITERT: Mapping[str, Composition] = {
    # Channels first, which custom layers may ask TensorFlow for.
    "AvgPool": _channels_last,
    "BatchToSpaceND": _blocks_last,
    "Conv2D": _channels_last,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3D": _channels_last,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "DepthToSpace": _channels_last,
    "DepthwiseConv2dNative": _channels_last,
    "MaxPool": _channels_last,
    "SpaceToBatchND": _blocks_last,
    "SpaceToDepth": _channels_last,
    "BiasAdd": _bias_of_numbers,
    "BatchMatMulV2": _beside_scale,
    "MatMul": _beside_scale,
    "Acos": _of_floats(formulas.acos),
    "Acosh": _of_floats(formulas.acosh),
    "Asin": _of_floats(formulas.asin),
    "Asinh": _of_floats(formulas.asinh),
    "Atan": _of_floats(formulas.atan),
    "Atanh": _of_floats(formulas.atanh),
    "Cosh": _of_floats(formulas.cosh),
    "Erf": _outside_of_gelu(formulas.erf),
    "Erfc": _outside_of_gelu(formulas.erfc),
    "Erfinv": _of_floats(formulas.erfinv),
    "Expm1": _of_floats(formulas.expm1),
    "Log1p": _of_floats(formulas.log1p),
    "Rsqrt": _of_floats(formulas.rsqrt),
    "Sinh": _of_floats(formulas.sinh),
    "Softplus": _of_floats(formulas.softplus),
    "Tan": _of_floats(lambda x: tf.sin(x) / tf.cos(x)),
    "BitwiseAnd": _of_int32(_bitwise_and),
    "BitwiseOr": _of_int32(_bitwise_or),
    "Invert": _of_int32(lambda x: -1 - x),
    "LeftShift": _of_int32(_left_shift),
    "Mod": _of_all(_truncated_mod),
    "TruncateMod": _of_all(_truncated_mod),
    "Cast": _cast_by_integers,
    "ClipByValue": _of_all(lambda x, low, high: tf.minimum(tf.maximum(x, low), high)),
    "Cross": _of_all(_cross),
    "Cumprod": lambda node: _scan(node, lambda a, b: a * b, 1),
    "CumulativeLogsumexp": lambda node: _scan(node, _log_sum_exp, -math.inf),
    "DenseBincount": _dense_bincount,
    "EuclideanNorm": _euclidean_norm,
    "LowerBound": _bound(tf.less),
    "MatrixDiagPart": _diagonal_part,
    "MatrixDiagPartV2": _diagonal_part,
    "MatrixDiagPartV3": _diagonal_part,
    "UpperBound": _bound(tf.less_equal),
    "AvgPool3D": _pool_3d,
    "MaxPool3D": _pool_3d,
    "ExtractImagePatches": _patches,
    "SelectV2": _chosen,
    "ResizeBicubic": _resized,
    "ResizeBilinear": _resized_floats,
    "ResizeNearestNeighbor": _nearest_of_floats,
    **dict.fromkeys(_ARITHMETIC, _widened),
    "Mul": _mask_below,
    "Sub": _mask_added,
}
