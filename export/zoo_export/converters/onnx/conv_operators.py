"""Convolutions that tf2onnx gets wrong: transposed ones of any padding and size, groups in 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo_export.converters.onnx.graph import axes_first, axes_last
from zoo_export.converters.onnx.nodes import by_tf2onnx, cast, constant, finish, make


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
    place = slice(1, -1) if last else slice(2, None)
    known = get_shape_from_const_or_concat(context, node.inputs[0]) or [-1] * rank
    # Newer graphs may give the size of an image alone.
    after = known[place] if len(known) == rank else known
    before = context.get_shape(x)[place]
    strides, dilations = (node.get_attr_value(key)[place] for key in ("strides", "dilations"))
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
        wanted = _wanted(context, sizes, len(known), place)
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


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "Conv2DBackpropInput": (conv_transpose, []),
    "Conv3D": (conv_3d, []),
    "Conv3DBackpropInputV2": (conv_transpose, []),
}


def _wanted(context: Any, sizes: str, count: int, place: slice) -> str:
    """Return the part of a shape that is the size of an image."""
    sizes = cast(context, sizes, np.dtype(np.int64))
    places = np.arange(count)[place] if count > 3 or place.start == 1 else np.arange(count)
    return make(context, "Gather", sizes, constant(context, places), axis=0)


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
