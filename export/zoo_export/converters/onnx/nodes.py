"""Nodes of the graph that tf2onnx is making: what handlers of its operators are written with."""

from __future__ import annotations

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


def by_tf2onnx(context: Any, node: Any) -> None:
    """Write a node as tf2onnx itself does, where a handler of ours has changed its inputs."""
    from tf2onnx.constants import ONNX_DOMAIN
    from tf2onnx.handler import tf_op

    versions = tf_op.get_opsets()[ONNX_DOMAIN][: context.opset + 1]
    write, options = next(row[node.type] for row in reversed(versions) if node.type in row)
    operator = node.type
    node.type = options.get("onnx_op", operator)
    write(context, node, **{**options, "tf_op": operator})
