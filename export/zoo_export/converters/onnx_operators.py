"""TensorFlow operators that tf2onnx does not know, written in operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """Write the complementary error function of exact GELU as ``1 - Erf``."""
    one = _one(context, node, name)
    node.type = "Erf"
    _append(context, node, "Sub", [one, node.output[0]])


def expm1(context: Any, node: Any, name: str, _: Any) -> None:
    """Write the exponential less one of CELU as ``Exp - 1``."""
    one = _one(context, node, name)
    node.type = "Exp"
    _append(context, node, "Sub", [node.output[0], one])


def bucketize(context: Any, node: Any, name: str, _: Any) -> None:
    """Write Discretization as how many boundaries a number has reached."""
    from onnx import TensorProto
    from tf2onnx import utils

    boundaries = np.array(node.get_attr_value("boundaries"), np.float32)
    limits = context.make_const(utils.make_name(f"{name}/boundaries"), boundaries).output[0]
    last = context.make_const(utils.make_name(f"{name}/axis"), np.array([-1])).output[0]
    output, shape = node.output[0], context.get_shape(node.output[0])
    number = context.make_node("Cast", [node.input[0]], attr={"to": TensorProto.FLOAT})
    column = context.make_node("Unsqueeze", [number.output[0], last])
    reached = context.make_node("GreaterOrEqual", [column.output[0], limits])
    counted = context.make_node("Cast", [reached.output[0]], attr={"to": TensorProto.INT32})
    dtype = context.get_dtype(output)
    context.remove_node(node.name)
    context.make_node(
        "ReduceSum",
        [counted.output[0], last],
        attr={"keepdims": 0},
        name=name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
    )


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "Erfc": (erfc, []),
    "Expm1": (expm1, []),
    "Bucketize": (bucketize, []),
}


def _one(context: Any, node: Any, name: str) -> str:
    from tf2onnx import utils

    dtype = utils.map_onnx_to_numpy_type(context.get_dtype(node.output[0]))
    constant: str = context.make_const(utils.make_name(f"{name}/one"), np.array(1, dtype)).output[0]
    return constant


def _append(context: Any, node: Any, operator: str, inputs: list[str]) -> None:
    """Put an operator after a node, between it and whatever read it."""
    output = node.output[0]
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    made = context.make_node(operator, inputs, shapes=[shape], dtypes=[dtype])
    readers = [n for n in context.find_output_consumers(output) if n.name != made.name]
    context.replace_all_inputs(output, made.output[0], ops=readers)
