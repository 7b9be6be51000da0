"""Metadata of an ONNX file, and what it must not hold: described, read back, refused."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

from zoo_export.converters.onnx.graph import all_nodes
from zoo_export.converters.tracing import Conversion
from zoo_export.reading.signature import layer_of
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.tensors import Tensor

# The domain of the standard, by both of its names.
STANDARD = frozenset({"", "ai.onnx"})
# Attributes that name a data type, and those of any value.
_DTYPES = frozenset({"to", "dtype", "output_dtype"})
FREE_TEXT = frozenset({
    "delimiter", "equation", "locale", "pattern", "pool_strings", "stopwords", "value_string",
    "value_strings",
})  # fmt: skip
# Values of other attributes that are words at opset 20: of one operator, or of all that have it.
WORDS = {
    "activations": "Affine Elu HardSigmoid LeakyRelu Relu ScaledTanh Sigmoid Softplus Softsign Tanh"
    " ThresholdedRelu",
    "approximate": "none tanh",
    "auto_pad": "NOTSET SAME_LOWER SAME_UPPER VALID",
    "BitShift.direction": "LEFT RIGHT",
    "case_change_action": "LOWER NONE UPPER",
    "direction": "bidirectional forward reverse",
    "keep_aspect_ratio_policy": "not_larger not_smaller stretch",
    "DepthToSpace.mode": "CRD DCR",
    "GridSample.mode": "cubic linear nearest",
    "Pad.mode": "constant edge reflect wrap",
    "Resize.mode": "cubic linear nearest",
    "RoiAlign.mode": "avg max",
    "TfIdfVectorizer.mode": "IDF TF TFIDF",
    "Upsample.mode": "linear nearest",
    "nearest_mode": "ceil floor round_prefer_ceil round_prefer_floor",
    "padding_mode": "border reflection zeros",
    "pixel_format": "BGR Grayscale RGB",
    "reduction": "mean none sum",
    "Resize.coordinate_transformation_mode": "align_corners asymmetric half_pixel"
    " half_pixel_symmetric pytorch_half_pixel tf_crop_and_resize",
    "RoiAlign.coordinate_transformation_mode": "half_pixel output_half_pixel",
    "ScatterElements.reduction": "add max min mul none",
    "ScatterND.reduction": "add max min mul none",
}


def describe(proto: Any, conversion: Conversion) -> None:
    """Name inputs, outputs and their sizes in order, and write the metadata of the model.

    Sizes that a converter made up, and domains that nothing uses, are dropped.
    """
    from onnx import helper

    drop_domains(proto)
    graph = proto.graph
    for values, tensors in ((graph.input, conversion.inputs), (graph.output, conversion.outputs)):
        described = {value.name: value for value in values}
        extra = sorted(described.keys() - {tensor.name for tensor in tensors})
        missing = [tensor.name for tensor in tensors if tensor.name not in described]
        if extra or missing:
            raise ExportError(f"the graph has extra tensors {extra} and lacks {missing}")
        ordered = [
            helper.make_tensor_value_info(
                tensor.name, described[tensor.name].type.tensor_type.elem_type, tensor.shape
            )
            for tensor in tensors
        ]
        del values[:]
        values.extend(ordered)
    del graph.value_info[:]
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in conversion.about.items()}
    helper.set_model_props(proto, texts)


def drop_domains(proto: Any) -> None:
    """Drop the domains that no node belongs to; ONNX Runtime names all that it knows."""
    domains = {node.domain for node in all_nodes(proto.graph)} | {""}
    opsets = [entry for entry in proto.opset_import if entry.domain in domains]
    del proto.opset_import[:]
    proto.opset_import.extend(opsets)


def refuse_foreign(proto: Any, model: Any, allowed: Set[str] = frozenset()) -> None:
    """Refuse nodes that standard ONNX does not have.

    Args:
        proto: An ``onnx.ModelProto``.
        model: The Keras model.
        allowed: Other domains, all of whose operators may be there.

    Raises:
        ExportError: Such a node, with the layer it came from.
    """
    import onnx

    versions = {entry.domain: entry.version for entry in proto.opset_import}
    blames = {
        Blame(node.op_type, layer_of(model, node.name))
        for node in all_nodes(proto.graph)
        if node.domain not in allowed
        and (
            node.domain not in STANDARD or not onnx.defs.has(node.op_type, versions.get("", 1), "")
        )
    }
    if blames:
        ordered = sorted(blames, key=str)
        raise ExportError(f"ONNX has no operator for {', '.join(map(str, ordered))}", ordered)


@contextmanager
def naming_nodes(model: Any) -> Iterator[None]:
    """Name the operator and the layer that onnx finds at fault.

    Raises:
        ExportError: What onnx, or a pass over the graph, raised inside.
    """
    try:
        yield
    except (ExportError, MemoryError, OSError):
        raise
    except Exception as error:  # onnx has several kinds, and RuntimeError
        found = re.search(r"op_type:(\w+), node name: ([^)]*)\)", str(error))
        if found is None:
            raise ExportError(
                f"the ONNX graph cannot be finished: {type(error).__name__}: {error}"
            ) from error
        blame = Blame(found.group(1), layer_of(model, found.group(2)))
        cause = " ".join(str(error).split())
        raise ExportError(f"the ONNX graph is wrong at {blame}: {cause}", [blame]) from error


def inspect(conversion: Conversion, allowed: Set[str] = frozenset()) -> dict[str, Any]:
    """Read the written file back, check it and return what it holds.

    Args:
        conversion: What was converted.
        allowed: Domains other than the standard one whose operators may be there.

    Raises:
        ExportError: The checker refuses it, or its inputs or outputs are not the model's.
    """
    import onnx

    path = str(conversion.path)
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX checker refuses the file: {error}") from error
    proto = onnx.load(path, load_external_data=False)
    refuse_foreign(proto, conversion.model, allowed)
    refuse_unknown_attributes(proto, conversion.model)
    for kind, values, tensors in (
        ("inputs", proto.graph.input, conversion.inputs),
        ("outputs", proto.graph.output, conversion.outputs),
    ):
        found = [_tensor(value) for value in values]
        if found != list(tensors):
            wanted = ", ".join(map(str, tensors))
            raise ExportError(f"the file's {kind} are {', '.join(map(str, found))}, not {wanted}")
    operators = Counter(node.op_type for node in all_nodes(proto.graph))
    versions = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
    return {
        "opset": versions["ai.onnx"],
        "domains": sorted(versions),
        "operators": dict(sorted(operators.items())),
        "weights": _weights(proto.graph),
    }


def _weights(graph: Any) -> dict[str, int]:
    """Return the bytes of initializers by dtype."""
    import onnx
    from ml_dtypes import int4

    counts: Counter[str] = Counter()
    for tensor in graph.initializer:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        values = math.prod(tensor.dims)
        counts[dtype.name] += (values + 1) // 2 if dtype == int4 else values * dtype.itemsize
    return dict(sorted(counts.items()))


def _tensor(value: Any) -> Tensor:
    import onnx

    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return Tensor(value.name, dtype.name, shape)


# Of attributes, names and types are in the schemas of the onnx package. Which words an attribute
# may have is there in prose alone; ONNX Runtime takes others too, of older versions of the
# standard or of none.


def refuse_unknown_attributes(proto: Any, model: Any) -> None:
    """Refuse attributes that the standard does not know at the file's own opset.

    Args:
        proto: An ``onnx.ModelProto``.
        model: The Keras model.

    Raises:
        ExportError: The first such attribute, with its operator and layer.
    """
    import onnx

    versions = {entry.domain: entry.version for entry in proto.opset_import}
    for node in all_nodes(proto.graph):
        version = versions.get(node.domain, versions.get("", 1))
        if node.domain not in STANDARD or not onnx.defs.has(node.op_type, version, ""):
            continue
        schema = onnx.defs.get_schema(node.op_type, version, "")
        for attribute in node.attribute:
            fault = _fault(attribute, schema)
            if fault:
                blame = Blame(node.op_type, layer_of(model, node.name))
                raise ExportError(
                    f"{blame} has an attribute that ONNX of opset {version} does not know: {fault}",
                    [blame],
                )


def words_of(operator: str, attribute: str) -> Sequence[str]:
    """Return the words that an attribute of an operator may have.

    Example:
        >>> words_of("Pad", "mode"), words_of("Conv", "auto_pad")[0]
        (['constant', 'edge', 'reflect', 'wrap'], 'NOTSET')
    """
    return WORDS.get(f"{operator}.{attribute}", WORDS.get(attribute, "")).split()


def _fault(attribute: Any, schema: Any) -> str:
    """Return how an attribute violates a schema, or nothing."""
    import onnx

    name, known = attribute.name, schema.attributes.get(attribute.name)
    if known is None:
        return f"'{name}'"
    kinds = onnx.AttributeProto.AttributeType
    if attribute.type != known.type.value:
        return f"'{name}' of type {kinds.Name(attribute.type)}, not {known.type.name}"
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type in {kinds.STRING, kinds.STRINGS} and name not in FREE_TEXT:
        words = [value] if attribute.type == kinds.STRING else value
        known_words = words_of(schema.name, name)
        unknown = (word for word in map(bytes.decode, words) if word not in known_words)
        return next((f"'{name}' is '{word}'" for word in unknown), "")
    if name in _DTYPES and value not in onnx.TensorProto.DataType.values():
        return f"'{name}' is {value}, which is not a data type"
    return ""
