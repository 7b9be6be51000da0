"""Multiply-adds and memory of a graph, read from its operations and shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# What gives its input back under another shape: no memory of its own.
VIEWS = {"Identity", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "TensorListFromTensor"}
# Weights, inputs and constants are not results.
GIVEN = {"Placeholder", "Const"}
# Operations that run a function, by the attribute that names it.
FUNCTIONS = {
    "While": "body",
    "StatelessWhile": "body",
    "PartitionedCall": "f",
    "StatefulPartitionedCall": "f",
}


def multiply_adds(outputs: Sequence[Any]) -> int:
    """Return the multiply-adds of all matrix products and convolutions, as papers count them.

    A loop counts as often as it runs, once a step of the sequence.

    Args:
        outputs: Tensors of a ``tf.Graph`` whose shapes are all known.
    """
    return sum(map(_multiply_adds, _operations(outputs)))


def results(outputs: Sequence[Any]) -> int:
    """Return the bytes of all results, which a training keeps for the way back.

    Args:
        outputs: As for :func:`multiply_adds`.
    """
    return sum(map(_kept, _operations(outputs)))


def most_at_once(outputs: Sequence[Any]) -> int:
    """Return the bytes of results that are held at the same time, at most, in an inference.

    Operations run in their order, and a result is given back once its last reader is done.

    Args:
        outputs: As for :func:`multiply_adds`.
    """
    operations = _operations(outputs)
    end = len(operations)
    last_read = {_source(t).name: at for at, op in enumerate(operations) for t in op.inputs}
    last_read |= {_source(tensor).name: end for tensor in outputs}
    freed = [0] * (end + 1)
    held = most = 0
    for at, op in enumerate(operations):
        for tensor in _made(op):
            held += _bytes(tensor)
            freed[last_read.get(tensor.name, at)] += _bytes(tensor)
        most = max(most, held)
        held -= freed[at]
    return most


def _operations(outputs: Sequence[Any]) -> list[Any]:
    """Return the operations that the outputs follow from, in their order."""
    needed: set[str] = set()
    waiting = [tensor.op for tensor in outputs]
    while waiting:
        op = waiting.pop()
        if op.name not in needed:
            needed.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in outputs[0].graph.get_operations() if op.name in needed]


def _multiply_adds(op: Any) -> int:
    if op.type in FUNCTIONS:
        return _runs(op) * multiply_adds(_body(op))
    if op.type == "Einsum":
        return _einsum(op)
    inner = _inner_size(op)
    return inner * _count(op.outputs[0]) if inner else 0


def _kept(op: Any) -> int:
    if op.type in FUNCTIONS:
        return _runs(op) * results(_body(op))
    return sum(map(_bytes, _made(op)))


def _made(op: Any) -> list[Any]:
    return [] if op.type in VIEWS | GIVEN else list(op.outputs)


def _inner_size(op: Any) -> int:
    """Return how many products each number of the result is the sum of; 0 for other operations."""
    if op.type in {"Conv2D", "Conv3D"}:
        return _count(op.inputs[1]) // int(op.inputs[1].shape[-1])
    if op.type == "DepthwiseConv2dNative":
        return math.prod(op.inputs[1].shape[:2])
    if op.type == "MatMul":
        return int(op.inputs[0].shape[-2 if op.get_attr("transpose_a") else -1])
    if op.type in {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}:
        return int(op.inputs[0].shape[-2 if op.get_attr("adj_x") else -1])
    return 0


def _einsum(op: Any) -> int:
    terms = op.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, op.inputs, strict=True):
        sizes |= dict(zip(term, map(int, tensor.shape), strict=True))
    return math.prod(sizes.values()) if len(terms) > 1 else 0


def _runs(op: Any) -> int:
    if FUNCTIONS[op.type] != "body":
        return 1
    # What a recurrent layer goes through is a list made of a tensor, one item a step.
    lists = [t.op.inputs[0] for t in op.inputs if t.op.type == "TensorListFromTensor"]
    return max((int(tensor.shape[0]) for tensor in lists), default=1)


def _body(op: Any) -> list[Any]:
    function = op.graph._get_function(op.get_attr(FUNCTIONS[op.type]).name)
    return list(function.graph.outputs)


def _source(tensor: Any) -> Any:
    while tensor.op.type in VIEWS:
        tensor = tensor.op.inputs[0]
    return tensor


def _count(tensor: Any) -> int:
    return math.prod(map(int, tensor.shape))


def _bytes(tensor: Any) -> int:
    if not tensor.shape.is_fully_defined() or tensor.dtype.name == "variant":
        return 0  # a list of tensors is a handle
    return _count(tensor) * int(tensor.dtype.size)
