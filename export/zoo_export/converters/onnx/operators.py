"""TensorFlow operators that tf2onnx does not know, or gets wrong, in operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def cast(context: Any, name: str, dtype: Any) -> str:
    """Return the tensor in a dtype of NumPy: itself where it has it."""
    from tf2onnx import utils

    if numpy_dtype(context, name) == dtype:
        return name
    return make(context, "Cast", name, to=utils.map_numpy_to_onnx_dtype(np.dtype(dtype)))


def numpy_dtype(context: Any, name: str) -> np.dtype[Any]:
    """Return the dtype of a tensor."""
    from tf2onnx import utils

    dtype: np.dtype[Any] = np.dtype(utils.map_onnx_to_numpy_type(context.get_dtype(name)))
    return dtype


def like(context: Any, name: str, number: float) -> str:
    """Return a constant number of the dtype that a tensor has."""
    return constant(context, np.array(number, numpy_dtype(context, name)))


def constant(context: Any, array: Any) -> str:
    """Return a constant tensor."""
    from tf2onnx import utils

    made: str = context.make_const(utils.make_name("constant"), array).output[0]
    return made


def make(context: Any, operator: str, *inputs: str, **attributes: Any) -> str:
    """Return what a new operator of one output gives."""
    made: str = context.make_node(operator, list(inputs), attr=attributes).output[0]
    return made


def finish(context: Any, node: Any, operator: str, *inputs: str, **attributes: Any) -> None:
    """Replace a node by an operator."""
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


def by_tf2onnx(context: Any, node: Any) -> None:
    """Write a node as tf2onnx itself does, where a handler of ours has changed its inputs."""
    from tf2onnx.constants import ONNX_DOMAIN
    from tf2onnx.handler import tf_op

    versions = tf_op.get_opsets()[ONNX_DOMAIN][: context.opset + 1]
    write, options = next(row[node.type] for row in reversed(versions) if node.type in row)
    operator = node.type
    node.type = options.get("onnx_op", operator)
    write(context, node, **{**options, "tf_op": operator})


def erfc(context: Any, node: Any, *_: Any) -> None:
    """Write the complementary error function of exact GELU as ``1 - Erf``."""
    one = like(context, node.input[0], 1)
    finish(context, node, "Sub", one, make(context, "Erf", node.input[0]))


def expm1(context: Any, node: Any, *_: Any) -> None:
    """Write the exponential less one as ``tanh(x / 2) * (exp(x) + 1)``, exact near zero too."""
    x = node.input[0]
    half = make(context, "Tanh", make(context, "Mul", x, like(context, x, 0.5)))
    more = make(context, "Add", make(context, "Exp", x), like(context, x, 1))
    finish(context, node, "Mul", half, more)


def log1p(context: Any, node: Any, *_: Any) -> None:
    """Write the logarithm of one more, exact near zero too: Kahan's form.

    With ``u`` what ``1 + x`` is rounded to, ``log(u) * x / (u - 1)`` takes the rounding back.
    """
    x = node.input[0]
    one = like(context, x, 1)
    more = make(context, "Add", x, one)
    logarithm = make(context, "Log", more)
    ratio = make(context, "Div", x, make(context, "Sub", more, one))
    exact = make(context, "Mul", logarithm, ratio)
    # Where u is one or x itself there is nothing to take back, and the ratio is NaN.
    exact = make(context, "Where", make(context, "Equal", more, x), logarithm, exact)
    finish(context, node, "Where", make(context, "Equal", more, one), x, exact)


def zero_where_zero(context: Any, node: Any, *_: Any) -> None:
    """Write ``Xlogy``, ``Xlog1py`` and ``Xdivy``: zero where x is, whatever y is."""
    x, y = node.input
    zero = like(context, x, 0)
    if node.type == "Xdivy":
        value = make(context, "Div", x, y)
    else:
        y = make(context, "Add", y, like(context, y, 1)) if node.type == "Xlog1py" else y
        value = make(context, "Mul", x, make(context, "Log", y))
    finish(context, node, "Where", make(context, "Equal", x, zero), zero, value)


def div_no_nan(context: Any, node: Any, *_: Any) -> None:
    """Write a quotient that is zero where the divisor is."""
    x, y = node.input
    none = make(context, "Equal", y, like(context, y, 0))
    quotient = make(context, "Div", x, make(context, "Where", none, like(context, y, 1), y))
    finish(context, node, "Where", none, like(context, x, 0), quotient)


def select(context: Any, node: Any, *_: Any) -> None:
    """Write a choice as one: tf2onnx adds products, and NaN times zero is NaN."""
    condition, *choices = node.input
    dtype = numpy_dtype(context, choices[0])
    rank = len(context.get_shape(choices[0]) or ())
    if node.type == "Select" and len(context.get_shape(condition) or ()) == 1 < rank:
        condition = make(context, "Unsqueeze", condition, constant(context, np.arange(1, rank)))
    wide = dtype if dtype.name in _CHOSEN else _wide(dtype)
    choices = [cast(context, name, wide) for name in choices]
    if wide == dtype:
        finish(context, node, "Where", condition, *choices)
        return
    chosen = make(context, "Where", condition, *choices)
    finish(context, node, "Cast", chosen, to=context.get_dtype(node.output[0]))


def in_wide_integers(context: Any, node: Any, *_: Any) -> None:
    """Let tf2onnx write arithmetic of small integers in int64: the runtime has none for them.

    What comes of it is cut to the width that it had, as TensorFlow's own is.
    """
    from tf2onnx import utils

    dtype = numpy_dtype(context, node.output[0])
    for at, name in enumerate(list(node.input)):
        # Axes and other sizes are integers that the runtime reads as they are.
        if numpy_dtype(context, name).name in _NARROW:
            context.replace_input(node, name, cast(context, name, np.dtype(np.int64)), at)
    if dtype.name in _NARROW:
        output, shape = node.output[0], context.get_shape(node.output[0])
        context.set_dtype(output, _tensor_dtype(np.dtype(np.int64)))
        back = context.insert_new_node_on_output(
            "Cast", output, name=utils.make_name(node.name), to=_tensor_dtype(dtype)
        )
        context.set_dtype(back.output[0], _tensor_dtype(dtype))
        context.set_shape(back.output[0], shape)
    by_tf2onnx(context, node)


def update_slice(context: Any, node: Any, *_: Any) -> None:
    """Write a tensor of which a part is another: each position takes its own value or a new one."""
    x, update, starts = node.input
    starts = cast(context, starts, np.dtype(np.int64))
    sizes, parts = (_shape(context, name) for name in (x, update))
    rank = len(context.get_shape(x))
    inside, values = constant(context, np.array(True)), update
    for axis in range(rank):
        size, part, start = (_at(context, name, axis) for name in (sizes, parts, starts))
        zero, one = (constant(context, np.array(number)) for number in (0, 1))
        # As in XLA the part always lies within, whatever start is asked for.
        last = make(context, "Sub", size, part)
        start = make(context, "Max", make(context, "Min", start, last), zero)
        positions = make(context, "Sub", make(context, "Range", zero, size, one), start)
        within = make(
            context,
            "And",
            make(context, "GreaterOrEqual", positions, zero),
            make(context, "Less", positions, part),
        )
        taken = make(context, "Max", positions, zero)
        taken = make(context, "Min", taken, make(context, "Sub", part, one))
        values = make(context, "Gather", values, taken, axis=axis)
        if axis < rank - 1:
            behind = constant(context, np.arange(1, rank - axis))
            within = make(context, "Unsqueeze", within, behind)
        inside = make(context, "And", inside, within)
    finish(context, node, "Where", inside, values, x)


def _shape(context: Any, name: str) -> str:
    return make(context, "Shape", name)


def _at(context: Any, vector: str, index: int) -> str:
    return make(context, "Gather", vector, constant(context, np.array(index)), axis=0)


def bucketize(context: Any, node: Any, *_: Any) -> None:
    """Write Discretization as how many boundaries a number has reached."""
    limits = constant(context, np.array(node.get_attr_value("boundaries"), np.float32))
    last = constant(context, np.array([-1]))
    column = make(context, "Unsqueeze", cast(context, node.input[0], np.float32), last)
    reached = make(context, "GreaterOrEqual", column, limits)
    finish(context, node, "ReduceSum", cast(context, reached, np.int32), last, keepdims=0)


def floor_div(context: Any, node: Any, *_: Any) -> None:
    """Write a quotient that is rounded down: Div rounds that of integers towards zero."""
    x, y = _computable(context, node)
    quotient = make(context, "Div", x, y)
    if numpy_dtype(context, x).kind == "f":
        finish(context, node, "Floor", quotient)
        return
    product, remainder = make(context, "Mul", quotient, y), make(context, "Mod", x, y)
    is_down = make(context, "Equal", make(context, "Add", product, remainder), x)
    excess = cast(context, make(context, "Not", is_down), numpy_dtype(context, x))
    down = make(context, "Sub", quotient, excess)
    finish(context, node, "Cast", down, to=context.get_dtype(node.output[0]))


def floor_mod(context: Any, node: Any, *_: Any) -> None:
    """Write a remainder that has the sign of the divisor, as Mod gives for integers alone."""
    x, y = _computable(context, node)
    if numpy_dtype(context, x).kind != "f":
        remainder = make(context, "Mod", x, y)
        finish(context, node, "Cast", remainder, to=context.get_dtype(node.output[0]))
        return
    remainder, zero = make(context, "Mod", x, y, fmod=1), like(context, x, 0)
    signs = [make(context, "Less", number, zero) for number in (remainder, y)]
    some = make(context, "Not", make(context, "Equal", remainder, zero))
    wrong = make(context, "And", some, make(context, "Xor", *signs))
    finish(context, node, "Where", wrong, make(context, "Add", remainder, y), remainder)


def one_hot(context: Any, node: Any, *_: Any) -> None:
    """Write OneHot with nothing set for negative numbers, which ONNX counts from the end."""
    dtype = numpy_dtype(context, node.output[0])
    held = np.dtype(np.float32 if dtype.kind == "f" else np.int64)
    first = constant(context, np.array([0]))
    index, depth = (cast(context, name, np.int64) for name in node.input[:2])
    negative = make(context, "Less", index, like(context, index, 0))
    index = make(context, "Where", negative, depth, index)
    on, off = (
        make(context, "Unsqueeze", cast(context, name, held), first) for name in node.input[2:4]
    )
    values, axis = make(context, "Concat", off, on, axis=0), node.get_attr_value("axis")
    marks = make(context, "OneHot", index, depth, values, axis=axis)
    finish(context, node, "Cast", marks, to=context.get_dtype(node.output[0]))


def cumprod(context: Any, node: Any, *_: Any) -> None:
    """Write a running product: tf2onnx counts its axis from the front alone."""
    from tf2onnx.onnx_opset.math import CumProd

    axis = node.inputs[1].get_tensor_value() % len(context.get_shape(node.input[0]))
    context.replace_input(node, node.input[1], constant(context, np.array(axis)), 1)
    CumProd.version_10(context, node)


def compare(context: Any, node: Any, *_: Any) -> None:
    """Write a comparison of integers as one: float32 cannot distinguish those beyond 2**24."""
    finish(context, node, node.type.replace("Equal", "OrEqual"), *_computable(context, node))


def bias_add(context: Any, node: Any, *_: Any) -> None:
    """Write the sum of a tensor and one number a channel: tf2onnx knows four axes alone."""
    bias, rank = node.input[1], len(context.get_shape(node.input[0]))
    if node.get_attr_value("data_format") == b"NCHW" and rank > 2:
        axes = constant(context, np.arange(1, rank - 1))
        bias = make(context, "Unsqueeze", bias, axes)
    finish(context, node, "Add", node.input[0], bias)


# What the runtime chooses between; arithmetic of what is narrow it has not.
_CHOSEN = {"float32", "float64", "int32", "int64", "uint8"}
_NARROW = {"uint8", "int8", "uint16", "int16", "uint32"}
_ARITHMETIC_OF_ANY = (
    "Abs", "Add", "AddN", "AddV2", "ArgMax", "ArgMin", "Cumsum", "Equal", "Max", "Maximum", "Mean",
    "Min", "Minimum", "Mul", "Neg", "NotEqual", "Pow", "Prod", "Sign", "Square",
    "SquaredDifference", "Sub", "Sum",
)  # fmt: skip


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "BiasAdd": (bias_add, []),
    "DivNoNan": (div_no_nan, []),
    "Erfc": (erfc, []),
    "Expm1": (expm1, []),
    "Bucketize": (bucketize, []),
    "Cumprod": (cumprod, []),
    "FloorDiv": (floor_div, []),
    "FloorMod": (floor_mod, []),
    "Log1p": (log1p, []),
    "OneHot": (one_hot, []),
    "XlaDynamicUpdateSlice": (update_slice, []),
    **dict.fromkeys(_ARITHMETIC_OF_ANY, (in_wide_integers, [])),
    **dict.fromkeys(("Select", "SelectV2"), (select, [])),
    **dict.fromkeys(("Xdivy", "Xlog1py", "Xlogy"), (zero_where_zero, [])),
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual"), (compare, [])),
}


def _computable(context: Any, node: Any) -> list[str]:
    """Return the inputs in a dtype that ONNX Runtime computes in: of integers the widest.

    What counts the steps of a loop becomes an int64, whatever its declared dtype.
    """
    wide = _wide(numpy_dtype(context, node.input[0]))
    return [cast(context, name, wide) for name in node.input]


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.int64)


def _tensor_dtype(dtype: Any) -> int:
    from tf2onnx import utils

    return int(utils.map_numpy_to_onnx_dtype(dtype))
