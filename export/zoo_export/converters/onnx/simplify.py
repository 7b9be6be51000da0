"""Smaller ONNX graphs of the standard domain, which the runtime needs not to see through.

TensorFlow computes sizes while a model runs, flattens what goes into a product, wraps negative
indices, and writes normalizations and GELU as a dozen operators. Here sizes that are known, or
copied, become constants, and expressions become the one operator that stands for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zoo_export.converters.onnx.graph import Model, Pattern, View, rename, replace_nodes

Sizes = Mapping[str, list[int | str]]

_HALF_ROOT = 0.5**0.5
_ROOT_2_PI = (2 / np.pi) ** 0.5
_ERF_GELU: tuple[Pattern, ...] = (
    # tf.nn.gelu, through the complementary error function
    ("Mul", ("Mul", "x", 0.5), ("Sub", 1.0, ("Erf", ("Mul", ("Neg", "x"), _HALF_ROOT)))),
    ("Mul", ("Mul", "x", 0.5), ("Add", 1.0, ("Erf", ("Mul", "x", _HALF_ROOT)))),
    ("Mul", ("Mul", "x", 0.5), ("Add", 1.0, ("Erf", ("Div", "x", 2**0.5)))),
)
_TANH_GELU: Pattern = (
    "Mul",
    ("Mul", "x", 0.5),
    (
        "Add",
        1.0,
        ("Tanh", ("Mul", _ROOT_2_PI, ("Add", "x", ("Mul", 0.044715, ("Pow", "x", 3.0))))),
    ),
)
_CENTERED: Pattern = ("Sub", "x", ("ReduceMean", "x", "axes"))
_INVERSE: Pattern = (
    "Mul",
    ("Reciprocal", ("Sqrt", ("Add", ("ReduceMean", ("Mul", "c", "c"), "axes"), "epsilon"))),
    "gamma",
)
_LAYER_NORMS: tuple[Pattern, ...] = (
    # zoo_models.layers.LayerNorm
    (
        "Add",
        (
            "Mul",
            ("Div", "c", ("Sqrt", ("Add", ("ReduceMean", ("Pow", "c", 2.0), "axes"), "epsilon"))),
            "gamma",
        ),
        "beta",
    ),
    # keras.layers.LayerNormalization
    (
        "Add",
        ("Mul", "x", _INVERSE),
        ("Add", ("Mul", ("Neg", ("ReduceMean", "x", "axes_of_mean")), _INVERSE), "beta"),
    ),
)
_WRAPPED_INDEX: tuple[Pattern, ...] = tuple(
    ("Where", ("Less", compared, 0.0), ("Add", "index", "size"), "index")
    for compared in ("index", ("Cast", "index"))
)


def read_negative_indices(model: Model) -> bool:
    """Let Gather count negative indices from the end itself."""
    view, plain = View(model.graph), {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] in view.makers:
            matches = (view.match(pattern, node.input[1]) for pattern in _WRAPPED_INDEX)
            found = next(filter(None, matches), None)
            if found and view.number(found["size"]) is not None:
                plain[node.input[1]] = found["index"]
    rename(model.graph, plain)
    return bool(plain)


def infer_sizes(model: Model) -> bool:
    """Find the sizes of all tensors, and forget what the converter called them."""
    proto = model.proto
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")  # what the converter called its sizes
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    model.sizes = {
        value.name: [
            dim.dim_value or dim.dim_param or f"{value.name}/{axis}"
            for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }
    return False


def fix_shapes(model: Model) -> bool:
    """Give a Reshape constant sizes where all but one of them are known or those of its input."""
    graph, sizes, changed = model.graph, model.sizes, False
    view = View(graph)
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in view.constants or node.attribute:
            continue
        before, after = sizes.get(node.input[0], []), sizes.get(node.output[0], [])
        target = [_size(before[axis : axis + 1], size) for axis, size in enumerate(after)]
        if target and target.count(-1) <= 1:
            name = f"{node.output[0]}/sizes"
            graph.initializer.append(numpy_helper.from_array(np.array(target), name))
            node.input[1] = name
            changed = True
    return changed


def _size(before: Sequence[int | str], after: int | str) -> int:
    # What Reshape understands: a number, 0 for that of the input, -1 for what remains.
    if isinstance(after, int):
        return after
    return 0 if list(before) == [after] else -1


def unflatten_products(model: Model) -> bool:
    """Multiply by a matrix without going through two dimensions: MatMul takes any number."""
    graph, sizes = model.graph, model.sizes
    makers, products = View(graph).makers, {}
    for node in graph.node:
        product = makers.get(node.input[0]) if node.op_type == "Reshape" else None
        if product is None or product.op_type != "MatMul":
            continue
        flat = makers.get(product.input[0])
        if flat is None or flat.op_type != "Reshape":
            continue
        before, after = sizes.get(flat.input[0], []), sizes.get(node.output[0], [])
        rows, columns = sizes.get(product.input[1], []), sizes.get(flat.output[0], [])
        flattens = len(rows) == len(columns) == 2 and before[-1:] == columns[-1:]
        if flattens and after == [*before[:-1], rows[1]]:
            names = [flat.input[0], product.input[1]]
            products[node.output[0]] = [_node("MatMul", names, node, product.name)]
    replace_nodes(graph, products)
    return bool(products)


def fuse_normalizations(model: Model) -> bool:
    """Write GELU and LayerNormalization as the one operator that each of them is."""
    view, fused = View(model.graph), {}
    for node in model.graph.node:
        if node.op_type == "Mul":
            made = _gelu(view, node)
        else:
            made = _layer_norm(view, node, model.sizes) if node.op_type == "Add" else None
        if made is not None:
            fused[node.output[0]] = [made]
    replace_nodes(model.graph, fused)
    return bool(fused)


def _gelu(view: View, node: Any) -> Any:
    for pattern in _ERF_GELU:
        if found := view.match(pattern, node.output[0]):
            return _node("Gelu", [found["x"]], node)
    if found := view.match(_TANH_GELU, node.output[0]):
        return _node("Gelu", [found["x"]], node, approximate="tanh")
    return None


def _layer_norm(view: View, node: Any, sizes: Sizes) -> Any:
    for pattern in _LAYER_NORMS:
        found = view.match(pattern, node.output[0])
        centered = found and view.match(_CENTERED, found["c"])
        if not found or not centered:
            continue
        x, epsilon = centered["x"], view.number(found["epsilon"])
        vectors = [_vector(view, found[name], sizes) for name in ("gamma", "beta")]
        width = sizes.get(x, [])[-1:]
        axes = [found["axes"], centered["axes"], found.get("axes_of_mean", found["axes"])]
        if (
            found.get("x", x) == x
            and epsilon is not None
            and all(sizes.get(name) == width for name in vectors)
            and all(_is_last(view, name, len(sizes[x])) for name in axes)
        ):
            names = [x, *vectors]
            return _node("LayerNormalization", names, node, axis=-1, epsilon=epsilon)
    return None


def add_biases_last(model: Model) -> bool:
    """Turn ``x + (product + bias)`` into ``(product + x) + bias`` before a normalization.

    ONNX Runtime makes one operator, SkipLayerNormalization, of the first form, and its kernel
    takes several times as long as the sums and the LayerNormalization together.
    """
    graph, sizes = model.graph, model.sizes
    view, sums = View(graph), {}
    normalized = {node.input[0] for node in graph.node if node.op_type == "LayerNormalization"}
    for node in graph.node:
        for name in normalized.intersection(node.output):
            found = view.matches(("Add", "x", ("Add", "product", "bias")), name)
            for names in (names for names in found if len(sizes.get(names["bias"], [])) == 1):
                total = f"{name}/sum"
                first = helper.make_node("Add", [names["product"], names["x"]], [total], total)
                sums[name] = [first, _node("Add", [total, names["bias"]], node)]
    replace_nodes(graph, sums)
    return bool(sums)


def _vector(view: View, name: str, sizes: Sizes) -> str:
    # Keras gives scale and offset the rank of what they are applied to.
    maker = view.makers.get(name)
    if maker is None or maker.op_type not in {"Reshape", "Unsqueeze"}:
        return name
    return maker.input[0] if len(sizes.get(maker.input[0], [])) == 1 else name


def _is_last(view: View, axes: str, rank: int) -> bool:
    value = view.constants.get(axes)
    return value is not None and value.tolist() in ([-1], [rank - 1])


def _node(operator: str, inputs: list[str], old: Any, name: str = "", **attributes: Any) -> Any:
    name = name or old.name
    return helper.make_node(operator, inputs, list(old.output), name=name, **attributes)
