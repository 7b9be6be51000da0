"""Operators of images that tf2onnx gets wrong: resizing, and convolutions of some kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo_export.converters.onnx.graph import axes_first, axes_last
from zoo_export.converters.onnx.operators import (
    by_tf2onnx,
    cast,
    constant,
    finish,
    make,
    numpy_dtype,
)
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.tensors import Array

_CORNERS = ("align_corners", "half_pixel_centers")
# What ONNX Runtime resizes by the nearest neighbour; the rest goes through float32 or int32.
_RESIZED = {"float32", "int32", "int8", "uint8"}


def resize_nearest(context: Any, node: Any, *_: Any) -> None:
    """Write the nearest neighbour: one position decides it, so not a bit may differ.

    TensorFlow takes the position ``floor((i + .5) * old / new)``, which is that of ``half_pixel``
    rounded half up. Unless the factor is an integer, positions may lie on a border, where the last
    bit of the factor decides: there the rows are gathered that TensorFlow itself takes.
    """
    corners, centers = (bool(node.get_attr_value(key)) for key in _CORNERS)
    before, after = _sides(context, node)
    dtype = numpy_dtype(context, node.input[0])
    image = node.input[0]
    if corners or not _is_decided(before, after):
        if -1 in (*before, *after):
            raise ExportError("resizing to the nearest corner needs sizes that are known")
        for axis, (old, new) in enumerate(zip(before, after, strict=True), start=1):
            positions = constant(context, _nearest(old, new, corners, centers))
            image = make(context, "Gather", image, positions, axis=axis)
        finish(context, node, "Identity", image)
        return
    held = (
        dtype if dtype.name in _RESIZED else np.dtype("float32" if dtype.kind == "f" else "int32")
    )
    resized = _resized(
        context,
        cast(context, image, held),
        node,
        mode="nearest",
        coordinate_transformation_mode="half_pixel" if centers else "asymmetric",
        nearest_mode="round_prefer_ceil" if centers else "floor",
    )
    finish(context, node, "Cast", resized, to=context.get_dtype(node.output[0]))


def resize_bilinear(context: Any, node: Any, *_: Any) -> None:
    """Write a linear interpolation, with the least factor that leads to the size."""
    corners, centers = (bool(node.get_attr_value(key)) for key in _CORNERS)
    mode = "half_pixel" if centers else "align_corners" if corners else "asymmetric"
    image = cast(context, node.input[0], np.dtype(np.float32))
    made = _resized(context, image, node, mode="linear", coordinate_transformation_mode=mode)
    finish(context, node, "Identity", made)


def resize_cubic(context: Any, node: Any, *_: Any) -> None:
    """Write a cubic interpolation as two products: its kernel in ONNX Runtime takes no batch.

    Every row, then every column, is a weighted sum of those before.
    """
    before, after = _sides(context, node)
    if -1 in (*before, *after):
        cause = (
            "bicubic resizing of images whose size is known only when data arrive is not in ONNX "
            "Runtime: give the model a fixed size, or resize bilinearly"
        )
        raise ExportError(cause, [Blame(node.type)])
    channels = context.get_shape(node.input[0])[3]
    rows, columns = (_weights(node, *sides) for sides in zip(before, after, strict=True))
    flat = constant(context, np.array([-1, before[0], before[1] * channels]))
    image = constant(context, np.array([-1, after[0], before[1], channels]))
    x = make(context, "Reshape", cast(context, node.input[0], np.dtype(np.float32)), flat)
    x = make(context, "Reshape", make(context, "MatMul", constant(context, rows), x), image)
    finish(context, node, "MatMul", constant(context, columns), x)


def refuse_resize(context: Any, node: Any, *_: Any) -> None:
    """Refuse what is no operator of ONNX, and is composed of others where sizes are known."""
    del context
    cause = (
        "images whose size is known only when data arrive are resized there with bilinear and "
        "nearest interpolation alone, without antialias: give the model a fixed size, or take these"
    )
    raise ExportError(cause, [Blame(node.type)])


def _sides(context: Any, node: Any) -> tuple[list[int], list[int]]:
    """Return the height and width of an image before and after, -1 where unknown."""
    after = node.inputs[1].get_tensor_value() if node.inputs[1].is_const() else [-1, -1]
    return context.get_shape(node.input[0])[1:3], after


def _resized(context: Any, image: str, node: Any, **attributes: Any) -> str:
    before, after = _sides(context, node)
    x = make(context, "Transpose", image, perm=axes_first(4))
    if -1 not in (*before, *after) and attributes["mode"] == "linear":
        factors = [_factor(*sides) for sides in zip(before, after, strict=True)]
        by = ["", constant(context, np.array([1, 1, *factors], np.float32))]
    else:
        start, end = (constant(context, np.array([axis])) for axis in (0, 2))
        kept = make(context, "Slice", make(context, "Shape", x), start, end)
        sides = cast(context, node.input[1], np.dtype(np.int64))
        by = ["", "", make(context, "Concat", kept, sides, axis=0)]
    made = make(context, "Resize", x, *by, **attributes)
    context.set_dtype(made, context.get_dtype(x))
    return make(context, "Transpose", made, perm=axes_last(4))


def _factor(before: int, after: int) -> Any:
    factor = np.float32(after / before)
    while int(before * float(factor)) < after:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor


def _is_decided(before: list[int], after: list[int]) -> bool:
    # Of a size that is open nobody knows; a whole factor never comes to a border between positions.
    return all(-1 in {old, new} or new % old == 0 for old, new in zip(before, after, strict=True))


def _nearest(old: int, new: int, corners: bool, centers: bool) -> Array:
    import tensorflow as tf

    column = np.arange(old, dtype=np.int32)[None, :, None, None]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = tf.raw_ops.ResizeNearestNeighbor(
            images=column, size=[new, 1], align_corners=corners, half_pixel_centers=centers
        )
        return np.asarray(session.run(made)[0, :, 0, 0], np.int64)


def _weights(node: Any, old: int, new: int) -> Array:
    import tensorflow as tf

    settings = {key: bool(node.get_attr_value(key)) for key in _CORNERS}
    eye = np.eye(old, dtype=np.float32)[None, :, :, None]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = tf.raw_ops.ResizeBicubic(images=eye, size=[new, old], **settings)
        return np.asarray(session.run(made)[0, ..., 0])


# Convolutions that tf2onnx gets wrong: transposed ones of any padding and size, groups in 3-D.


def conv_3d(context: Any, node: Any, *_: Any) -> None:
    """Write a convolution of volumes with its groups, which tf2onnx forgets."""
    # Channels are last: see exportable.
    channels, each = (context.get_shape(node.input[at])[-1 - at] for at in (0, 1))
    by_tf2onnx(context, node)
    node.set_attr("group", channels // each)


def conv_transpose(context: Any, node: Any, *_: Any) -> None:
    """Write the gradient of a convolution, which is given the size of what comes of it.

    A convolution of that size would cover ``(steps - 1) * stride + kernel`` numbers, some of them
    padding: so many are cut off the start, and the end is cut or filled with zeros to the size.
    """
    from tf2onnx.onnx_opset.nn import get_shape_from_const_or_concat

    sizes, kernel, x = node.input
    rank = len(context.get_shape(x))
    last = not node.get_attr_value("data_format", b"NHWC").startswith(b"NC")
    spatial_axes = slice(1, -1) if last else slice(2, None)
    known = get_shape_from_const_or_concat(context, node.inputs[0]) or [-1] * rank
    # Newer graphs may give the size of an image alone.
    after = known[spatial_axes] if len(known) == rank else known
    before = context.get_shape(x)[spatial_axes]
    strides, dilations = (
        node.get_attr_value(key)[spatial_axes] for key in ("strides", "dilations")
    )
    covered = [
        (size - 1) * dilation + 1
        for size, dilation in zip(context.get_shape(kernel), dilations, strict=False)
    ]
    same = node.get_attr_value("padding") == b"SAME"
    order = [rank - 1, rank - 2, *range(rank - 2)]
    first = make(context, "Transpose", x, perm=axes_first(rank)) if last else x
    weights = make(context, "Transpose", kernel, perm=order)
    attributes = {"strides": strides, "dilations": dilations}
    if -1 in (*before, *after):
        padded = [stride - 1 for stride in strides]
        made = make(context, "ConvTranspose", first, weights, **attributes, output_padding=padded)
        wanted = _wanted(context, sizes, len(known), spatial_axes)
        made = _cut(context, made, wanted, first, (strides, covered), same=same)
    else:
        spare = [
            (steps - 1) * stride + cover - size
            for steps, stride, cover, size in zip(before, strides, covered, after, strict=True)
        ]
        start = [max(number, 0) // 2 if same else 0 for number in spare]
        end = [max(number, 0) - cut for number, cut in zip(spare, start, strict=True)]
        missing = [max(-number, 0) for number in spare]
        attributes |= {"pads": [*start, *end], "output_padding": missing}
        made = make(context, "ConvTranspose", first, weights, **attributes)
    if last:
        finish(context, node, "Transpose", made, perm=axes_last(rank))
    else:
        finish(context, node, "Identity", made)


def _wanted(context: Any, sizes: str, count: int, spatial_axes: slice) -> str:
    """Return the part of a shape that is the size of an image."""
    sizes = cast(context, sizes, np.dtype(np.int64))
    axes = (
        np.arange(count)[spatial_axes] if count > 3 or spatial_axes.start == 1 else np.arange(count)
    )
    return make(context, "Gather", sizes, constant(context, axes), axis=0)


def _cut(
    context: Any,
    made: str,
    wanted: str,
    x: str,
    steps: tuple[Sequence[int], Sequence[int]],
    *,
    same: bool,
) -> str:
    """Return the part that is wanted of all that a transposed convolution makes."""
    strides, covered = (constant(context, np.array(numbers)) for numbers in steps)
    count = len(steps[0])
    spatial = constant(context, np.arange(2, count + 2))
    start = constant(context, np.zeros(count, np.int64))
    if same:
        one, two = (constant(context, np.full(count, number)) for number in (1, 2))
        size = make(context, "Gather", make(context, "Shape", x), spatial, axis=0)
        whole = make(context, "Mul", make(context, "Sub", size, one), strides)
        spare = make(context, "Sub", make(context, "Add", whole, covered), wanted)
        start = make(context, "Div", make(context, "Max", spare, start), two)
    return make(context, "Slice", made, start, make(context, "Add", start, wanted), spatial)


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "Conv2DBackpropInput": (conv_transpose, []),
    "Conv3D": (conv_3d, []),
    "Conv3DBackpropInputV2": (conv_transpose, []),
    "ResizeArea": (refuse_resize, []),
    "ResizeBicubic": (resize_cubic, []),
    "ResizeBilinear": (resize_bilinear, []),
    "ResizeNearestNeighbor": (resize_nearest, []),
    "ScaleAndTranslate": (refuse_resize, []),
}
