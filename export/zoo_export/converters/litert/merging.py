"""Products of one input with several kernels, in a finished LiteRT file, made one product.

A step of a language model is products of a vector, which take as long as reading their kernels,
and waiting for all threads behind each. Queries, keys and values come of one vector, and so do both
halves of a gated perceptron: one product with both kernels, one above the other, waits once, and
SLICE takes apart what it gives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from zoo_export.converters.litert.edits import Editor, drop_unread, pack, sizes

_ABSENT = -1
# Kernels by the indices of their buffers, in the order of their rows in the common one.
_Group = tuple[int, ...]


def merge_products(content: bytes) -> bytes:
    """Return a file in which products of one input are one, in all of its graphs.

    Kernels are merged where every graph that reads one of them has that group of products, or a
    part of it: none is stored twice. A file whose weights lie behind its tables stays as it is.

    Args:
        content: A file in float32, or one with int8 kernels and floats between.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if any(buffer.offset for buffer in model.buffers):
        return content
    graphs = [_Graph(model, graph) for graph in model.subgraphs]
    groups = _groups(graphs)
    if not groups:
        return content
    for group in groups:
        kernel, bias, begins = _common(graphs, group)
        for graph in graphs:
            graph.merge(kernel, bias, begins)
    drop_unread(model)
    return bytes(pack(model, len(content)))


class _Graph:
    """A subgraph and those of its products that may be merged, by what they have in common."""

    def __init__(self, model: Any, graph: Any) -> None:
        self.editor, self.tensors, self._buffers = (
            Editor(model, graph),
            graph.tensors,
            model.buffers,
        )
        products: dict[Any, list[Any]] = defaultdict(list)
        for node in self.editor.nodes("FULLY_CONNECTED"):
            if self._may_merge(node):
                products[self._key(node)].append(node)
        self.siblings = list(products.values())

    def kernel(self, node: Any) -> Any:
        """Return the constant factor of a product."""
        return self.tensors[node.inputs[1]]

    def bias(self, node: Any) -> Any:
        """Return what is added to a product, or ``None``."""
        given = [index for index in node.inputs[2:3] if index != _ABSENT]
        return self.tensors[given[0]] if given else None

    def reads(self) -> Counter[int]:
        """Count the nodes that read each buffer."""
        indices = (i for _, node in self.editor.all_nodes() for i in node.inputs if i != _ABSENT)
        return Counter(self.tensors[index].buffer for index in indices)

    def _may_merge(self, node: Any) -> bool:
        kinds, kernel, bias = self.editor.schema.TensorType, self.kernel(node), self.bias(node)
        constants = [kernel] if bias is None else [kernel, bias]
        affine = kernel.quantization
        scales = 0 if affine is None or affine.scale is None else len(affine.scale)
        return (
            all(self._buffers[tensor.buffer].data is not None for tensor in constants)
            and (bias is None or bias.type == kinds.FLOAT32)
            and self.tensors[node.outputs[0]].type == kinds.FLOAT32
            and (kernel.type, scales) in {(kinds.FLOAT32, 0), (kinds.INT8, kernel.shape[0])}
        )

    def _key(self, node: Any) -> tuple[Any, ...]:
        kernel, bias, options = self.kernel(node), self.bias(node), node.builtinOptions
        how = tuple(vars(options).items())
        return node.opcodeIndex, node.inputs[0], kernel.type, kernel.shape[1], bias is None, how

    def merge(self, kernel: Any, bias: Any, begins: dict[int, int]) -> None:
        """Make those products that read some kernels one, with the common kernel.

        Where one of them is enough, the others are computed too.

        Args:
            kernel: The common kernel.
            bias: The common bias, or ``None``.
            begins: Where the rows of each kernel begin, by its buffer.
        """
        for nodes in self.siblings:
            found = [node for node in nodes if self.kernel(node).buffer in begins]
            if found:
                operators, first = self.editor.graph.operators, found[0]
                whole = self._whole(first, int(kernel.shape[0]))
                parts = [
                    self._part(whole, node, begins[self.kernel(node).buffer]) for node in found
                ]
                at = operators.index(first)
                given = _ABSENT if bias is None else self.editor.index(bias)
                first.inputs = [first.inputs[0], self.editor.index(kernel), given]
                first.outputs = [whole]
                operators[at : at + 1] = [first, *parts]
                for node in found[1:]:
                    operators.remove(node)
                nodes.clear()

    def _whole(self, node: Any, rows: int) -> int:
        given = self.tensors[node.outputs[0]]
        return self.editor.tensor(
            given.name + b"/merged", [*map(int, sizes(given)[:-1]), rows], "FLOAT32"
        )

    def _part(self, whole: int, node: Any, begin: int) -> Any:
        output, schema = node.outputs[0], self.editor.schema
        # XNNPACK takes no SLICE with a size of -1, "all", which a size that varies needs.
        name, size = self.tensors[output].name, [*map(int, sizes(self.tensors[output]))]
        ends = {b"/begin": [0] * (len(size) - 1) + [begin], b"/size": size}
        given = [
            self.editor.constant(name + end, np.array(values, np.int32), "INT32")
            for end, values in ends.items()
        ]
        part = self.editor.node("SLICE", [whole, *given], output)
        part.builtinOptionsType = schema.BuiltinOptions.SliceOptions
        part.builtinOptions = schema.SliceOptionsT()
        return part

    def data(self, tensor: Any) -> Any:
        """Return the bytes of a constant."""
        return np.asarray(self._buffers[tensor.buffer].data).view(np.uint8)


def _groups(graphs: Sequence[_Graph]) -> list[_Group]:
    """Return the groups of kernels that may be one wherever they are read."""
    largest: list[_Group] = []
    for group in sorted(set(_siblings(graphs)), key=lambda group: (-len(group), group)):
        if not any(set(group) <= set(other) for other in largest):
            largest.append(group)
    reads = sum((graph.reads() for graph in graphs), Counter())
    here = Counter(kernel for group in _siblings(graphs) for kernel in group)
    groups = Counter(kernel for group in largest for kernel in group)
    return [
        group
        for group in largest
        if len(group) > 1 and all(reads[k] == here[k] and groups[k] == 1 for k in group)
    ]


def _siblings(graphs: Iterable[_Graph]) -> Iterator[_Group]:
    for graph in graphs:
        for nodes in graph.siblings:
            yield tuple(graph.kernel(node).buffer for node in nodes)


def _common(graphs: Sequence[_Graph], group: _Group) -> tuple[Any, Any, dict[int, int]]:
    """Return a kernel of several, their biases as one, and where the rows of each begin."""
    graph, found = next(
        (graph, nodes)
        for graph in graphs
        for nodes in graph.siblings
        if tuple(graph.kernel(node).buffer for node in nodes) == group
    )
    kernels, biases = [graph.kernel(node) for node in found], [graph.bias(node) for node in found]
    rows = [int(kernel.shape[0]) for kernel in kernels]
    kernel = _stacked(graph, kernels, [sum(rows), int(kernels[0].shape[1])])
    bias = None if biases[0] is None else _stacked(graph, biases, [sum(rows)])
    begins = np.cumsum([0, *rows[:-1]]).tolist()
    return kernel, bias, dict(zip(group, begins, strict=True))


def _stacked(graph: _Graph, tensors: Sequence[Any], shape: list[int]) -> Any:
    """Return a new constant with the rows of several."""
    editor, affines = graph.editor, [tensor.quantization for tensor in tensors]
    kinds = {number: kind for kind, number in vars(editor.schema.TensorType).items()}
    data = np.concatenate([graph.data(tensor) for tensor in tensors])
    name = b";".join(tensor.name for tensor in tensors)
    made = graph.tensors[editor.constant(name, data, kinds[tensors[0].type])]
    made.shape = shape
    if affines[0] is not None and affines[0].scale is not None:
        made.quantization = editor.schema.QuantizationParametersT()
        made.quantization.scale = np.concatenate([affine.scale for affine in affines])
        made.quantization.zeroPoint = np.concatenate([affine.zeroPoint for affine in affines])
    return made
