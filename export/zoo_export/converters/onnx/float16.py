"""An ONNX graph in float16, but for operators whose values it cannot hold.

There arithmetic itself is in float16. What adds a mask of -1e9, subtracts a mean of 1500 or scales
what the user gives stays in float32, and so does what follows, up to where numbers are of usual
size again: a softmax, a matrix product, a normalization.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from zoo_export.converters.mixed_precision import is_held
from zoo_export.converters.onnx.graph import all_nodes, rename, set_nodes

_COMPARES = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
_SUMS = {"Add", "Max", "Min", "Sub", "Where"}
_PRODUCTS = {"Div", "Mod", "Mul", "Pow"}
# What gives values of about the size of those that it takes.
_CARRIES = _SUMS | _PRODUCTS | {
    "Abs", "Ceil", "Clip", "Concat", "DepthToSpace", "Exp", "Expand", "Flatten", "Floor", "Gather",
    "GatherElements", "GatherND", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Neg", "Pad",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Round", "Slice", "Softplus",
    "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze",
}  # fmt: skip
# What takes values of any size, and gives small ones or integers.
_ENDS = _COMPARES | {
    "ArgMax", "ArgMin", "Cast", "Cos", "Erf", "HardSigmoid", "LayerNormalization", "Sigmoid",
    "Sign", "Sin", "Softmax", "Softsign", "Tanh",
}  # fmt: skip


def to_float16(proto: Any) -> Any:
    """Return a model with weights and arithmetic in float16, and inputs and outputs in float32.

    Args:
        proto: An ``onnx.ModelProto`` with the shapes of all tensors; it is changed.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    for at, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{at}"
    converted = convert_float_to_float16(
        proto,
        keep_io_types=True,
        disable_shape_infer=True,  # it takes no more than 2 GB
        node_block_list=sorted(_full(proto.graph)),
    )
    _drop_casts(converted.graph)
    OnnxModel(converted).topological_sort()
    return converted


def _full(graph: Any) -> set[str]:
    """Return the names of the nodes that stay in float32."""
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    waiting = [*_at_inputs(graph, readers), *_at_constants(graph, readers)]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name not in found and node.op_type not in _ENDS:
            following = (other for name in node.output for other in readers[name])
            waiting += [other for other in following if other.op_type in _CARRIES | _ENDS]
        found.add(node.name)
    return found


def _at_inputs(graph: Any, readers: Mapping[str, list[Any]]) -> Iterator[Any]:
    """Yield what takes inputs of the user, which are of any size."""
    from onnx import TensorProto

    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            known = _CARRIES | _ENDS
            yield from (node for node in readers[value.name] if node.op_type in known)


def _at_constants(graph: Any, readers: Mapping[str, list[Any]]) -> Iterator[Any]:
    """Yield what takes or holds values that float16 does not hold well."""
    for tensor in graph.initializer:
        kinds = {node.op_type for node in readers[tensor.name]}
        if _is_beyond(tensor, kinds):
            yield from readers[tensor.name]
    for node in graph.node:
        kinds = {other.op_type for name in node.output for other in readers[name]}
        if any(_is_beyond(a.t, kinds) for a in node.attribute if a.HasField("t")):
            yield node


def _is_beyond(tensor: Any, kinds: set[str]) -> bool:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return False
    summed, multiplied = bool(kinds & (_SUMS | _COMPARES)), bool(kinds & _PRODUCTS)
    return not is_held(numpy_helper.to_array(tensor), summed=summed, multiplied=multiplied)


def _drop_casts(graph: Any) -> None:
    """Let operators in float32 pass their values on as they are, and read each only once.

    ONNX Runtime's tool casts what each of them gives to float16, and back for each that takes it.
    """
    names = _other_names(graph)
    ends = {value.name for value in graph.output}
    dropped = {*names.keys(), *(ends & {*names.values()})}
    nodes = {}
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in dropped:
            node.output[:] = [names.get(name, name) for name in node.output]
            nodes[tuple(node.output)] = node
    set_nodes(graph, nodes.values())
    rename(graph, names)
    read = {name for node in all_nodes(graph) for name in node.input}
    read |= ends
    set_nodes(graph, [n for n in graph.node if n.op_type != "Cast" or n.output[0] in read])
    made = {name for node in graph.node for name in node.output}
    described = {value.name: value for value in graph.value_info if value.name in made}
    del graph.value_info[:]
    graph.value_info.extend(described.values())


def _other_names(graph: Any) -> dict[str, str]:
    """Return other names for tensors that are in float16 only on their way to float32."""
    from onnx import TensorProto

    full = {
        value.name
        for value in [*graph.input, *graph.value_info]
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    halved = dict(_casts(graph, TensorProto.FLOAT16))
    sources = {
        name: halved[half]
        for name, half in _casts(graph, TensorProto.FLOAT)
        if halved.get(half) in full
    }
    ends = sources.keys() & {value.name for value in graph.output}
    starts = {value.name for value in graph.input}
    # What the model gives keeps its name.
    names = {sources[end]: end for end in ends if sources[end] not in starts}
    inner = {name: source for name, source in sources.items() if name not in ends}
    return names | {name: names.get(source, source) for name, source in inner.items()}


def _casts(graph: Any, dtype: int) -> Iterator[tuple[str, str]]:
    """Yield what casts to a dtype give, and what they take."""
    for node in graph.node:
        if node.op_type == "Cast" and any(a.name == "to" and a.i == dtype for a in node.attribute):
            yield node.output[0], node.input[0]
