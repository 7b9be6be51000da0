"""TensorFlow operators that tf2onnx does not know, or gets wrong, in operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_CORNERS = ("align_corners", "half_pixel_centers")


def erfc(context: Any, node: Any, *_: Any) -> None:
    """Write the complementary error function of exact GELU as ``1 - Erf``."""
    one = _like(context, node.input[0], 1)
    _finish(context, node, "Sub", one, _make(context, "Erf", node.input[0]))


def expm1(context: Any, node: Any, *_: Any) -> None:
    """Write the exponential less one of CELU as ``Exp - 1``."""
    one = _like(context, node.input[0], 1)
    _finish(context, node, "Sub", _make(context, "Exp", node.input[0]), one)


def bucketize(context: Any, node: Any, *_: Any) -> None:
    """Write Discretization as how many boundaries a number has reached."""
    limits = _constant(context, np.array(node.get_attr_value("boundaries"), np.float32))
    last = _constant(context, np.array([-1]))
    column = _make(context, "Unsqueeze", _cast(context, node.input[0], np.float32), last)
    reached = _make(context, "GreaterOrEqual", column, limits)
    _finish(context, node, "ReduceSum", _cast(context, reached, np.int32), last, keepdims=0)


def floor_div(context: Any, node: Any, *_: Any) -> None:
    """Write a quotient that is rounded down: Div rounds that of integers towards zero."""
    x, y = _computable(context, node)
    quotient = _make(context, "Div", x, y)
    if _numpy_dtype(context, x).kind == "f":
        _finish(context, node, "Floor", quotient)
        return
    product, remainder = _make(context, "Mul", quotient, y), _make(context, "Mod", x, y)
    is_down = _make(context, "Equal", _make(context, "Add", product, remainder), x)
    excess = _cast(context, _make(context, "Not", is_down), _numpy_dtype(context, x))
    down = _make(context, "Sub", quotient, excess)
    _finish(context, node, "Cast", down, to=context.get_dtype(node.output[0]))


def floor_mod(context: Any, node: Any, *_: Any) -> None:
    """Write a remainder that has the sign of the divisor, as Mod gives for integers alone."""
    x, y = _computable(context, node)
    if _numpy_dtype(context, x).kind != "f":
        remainder = _make(context, "Mod", x, y)
        _finish(context, node, "Cast", remainder, to=context.get_dtype(node.output[0]))
        return
    remainder, zero = _make(context, "Mod", x, y, fmod=1), _like(context, x, 0)
    signs = [_make(context, "Less", number, zero) for number in (remainder, y)]
    some = _make(context, "Not", _make(context, "Equal", remainder, zero))
    wrong = _make(context, "And", some, _make(context, "Xor", *signs))
    _finish(context, node, "Where", wrong, _make(context, "Add", remainder, y), remainder)


def one_hot(context: Any, node: Any, *_: Any) -> None:
    """Write OneHot with nothing set for negative numbers, which ONNX counts from the end."""
    dtype = _numpy_dtype(context, node.output[0])
    held = np.dtype(np.float32 if dtype.kind == "f" else np.int64)
    first = _constant(context, np.array([0]))
    index, depth = (_cast(context, name, np.int64) for name in node.input[:2])
    negative = _make(context, "Less", index, _like(context, index, 0))
    index = _make(context, "Where", negative, depth, index)
    on, off = (
        _make(context, "Unsqueeze", _cast(context, name, held), first) for name in node.input[2:4]
    )
    values, axis = _make(context, "Concat", off, on, axis=0), node.get_attr_value("axis")
    marks = _make(context, "OneHot", index, depth, values, axis=axis)
    _finish(context, node, "Cast", marks, to=context.get_dtype(node.output[0]))


def cumprod(context: Any, node: Any, *_: Any) -> None:
    """Write a running product: tf2onnx counts its axis from the front alone."""
    from tf2onnx.onnx_opset.math import CumProd

    axis = node.inputs[1].get_tensor_value() % len(context.get_shape(node.input[0]))
    context.replace_input(node, node.input[1], _constant(context, np.array(axis)), 1)
    CumProd.version_10(context, node)


def compare(context: Any, node: Any, *_: Any) -> None:
    """Write a comparison of integers as one: float32 cannot tell those beyond 2**24 apart."""
    _finish(context, node, node.type.replace("Equal", "OrEqual"), *_computable(context, node))


def resize(context: Any, node: Any, *_: Any) -> None:
    """Write a resized image so that no row goes missing where the factor is no whole number.

    The nearest neighbour hangs on the last bit of a factor: there the runtime gets the sizes. Other
    kinds get the least factor that leads to the size.
    """
    from tf2onnx.onnx_opset.nn import Resize

    image, before, after = node.input[0], *_sides(context, node)
    factors = [_factor(*sides) for sides in zip(before, after, strict=True)]
    is_short = factors != [np.float32(new / old) for old, new in zip(before, after, strict=True)]
    is_nearest, shape = node.type == "ResizeNearestNeighbor", context.get_shape(image)
    if is_short and is_nearest:
        # tf2onnx writes factors wherever it knows the size of the image.
        context.set_shape(image, [shape[0], -1, -1, shape[3]])
    Resize.version_11(context, node)
    context.set_shape(image, shape)
    if is_short and not is_nearest:
        resized = context.get_node_by_output(node.output[0]).inputs[0]
        factor = _constant(context, np.array([1, 1, *factors], np.float32))
        context.replace_inputs(resized, [*resized.input[:2], factor])


def resize_cubic(context: Any, node: Any, *_: Any) -> None:
    """Write a cubic interpolation as two products: its kernel in ONNX Runtime takes no batch.

    Every row, then every column, is a weighted sum of those before.
    """
    import tensorflow as tf

    before, after = _sides(context, node)
    if -1 in (*before, *after):
        resize(context, node)
        return
    channels = context.get_shape(node.input[0])[3]
    settings = {key: bool(node.get_attr_value(key)) for key in _CORNERS}
    eyes = [np.eye(side, dtype=np.float32)[None, :, :, None] for side in before]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rows, columns = (
            session.run(tf.raw_ops.ResizeBicubic(images=eye, size=[new, old], **settings))[
                0, ..., 0
            ]
            for eye, old, new in zip(eyes, before, after, strict=True)
        )
    flat = _constant(context, np.array([-1, before[0], before[1] * channels]))
    image = _constant(context, np.array([-1, after[0], before[1], channels]))
    x = _make(context, "Reshape", _cast(context, node.input[0], np.float32), flat)
    x = _make(context, "Reshape", _make(context, "MatMul", _constant(context, rows), x), image)
    _finish(context, node, "MatMul", _constant(context, columns), x)


def bias_add(context: Any, node: Any, *_: Any) -> None:
    """Write the sum of a tensor and one number a channel: tf2onnx knows four axes alone."""
    bias, rank = node.input[1], len(context.get_shape(node.input[0]))
    if node.get_attr_value("data_format") == b"NCHW" and rank > 2:
        axes = _constant(context, np.arange(1, rank - 1))
        bias = _make(context, "Unsqueeze", bias, axes)
    _finish(context, node, "Add", node.input[0], bias)


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "BiasAdd": (bias_add, []),
    "Erfc": (erfc, []),
    "Expm1": (expm1, []),
    "Bucketize": (bucketize, []),
    "Cumprod": (cumprod, []),
    "FloorDiv": (floor_div, []),
    "FloorMod": (floor_mod, []),
    "OneHot": (one_hot, []),
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual"), (compare, [])),
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), (resize, [])),
    "ResizeBicubic": (resize_cubic, []),
}


def _sides(context: Any, node: Any) -> tuple[list[int], list[int]]:
    """Return the height and width of an image before and after, -1 where unknown."""
    after = node.inputs[1].get_tensor_value() if node.inputs[1].is_const() else [-1, -1]
    return context.get_shape(node.input[0])[1:3], after


def _factor(before: int, after: int) -> Any:
    factor = np.float32(after / before)
    while min(before, after) > 0 and int(before * float(factor)) < after:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor


def _computable(context: Any, node: Any) -> list[str]:
    """Return the inputs in a dtype that ONNX Runtime computes in: of integers the widest.

    What counts the steps of a loop becomes an int64, whatever it is said to be.
    """
    dtype = _numpy_dtype(context, node.input[0])
    wide = dtype if dtype.kind == "f" else np.dtype(np.int64)
    return [_cast(context, name, wide) for name in node.input]


def _cast(context: Any, name: str, dtype: Any) -> str:
    from tf2onnx import utils

    if _numpy_dtype(context, name) == dtype:
        return name
    return _make(context, "Cast", name, to=utils.map_numpy_to_onnx_dtype(np.dtype(dtype)))


def _numpy_dtype(context: Any, name: str) -> np.dtype[Any]:
    from tf2onnx import utils

    dtype: np.dtype[Any] = np.dtype(utils.map_onnx_to_numpy_type(context.get_dtype(name)))
    return dtype


def _like(context: Any, name: str, number: float) -> str:
    return _constant(context, np.array(number, _numpy_dtype(context, name)))


def _constant(context: Any, array: Any) -> str:
    from tf2onnx import utils

    constant: str = context.make_const(utils.make_name("constant"), array).output[0]
    return constant


def _make(context: Any, operator: str, *inputs: str, **attributes: Any) -> str:
    made: str = context.make_node(operator, list(inputs), attr=attributes).output[0]
    return made


def _finish(context: Any, node: Any, operator: str, *inputs: str, **attributes: Any) -> None:
    """Put an operator in the place of a node."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    context.make_node(
        operator,
        list(inputs),
        attr=attributes,
        name=node.name,
        outputs=node.output,
        shapes=shapes,
        dtypes=dtypes,
    )
