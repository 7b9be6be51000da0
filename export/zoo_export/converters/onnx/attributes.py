"""Attributes of ONNX operators: what the standard knows, by name, type and word.

Names and types are in the schemas of the onnx package. Which words an attribute may say stands
there in prose alone; ONNX Runtime takes others too, of older versions of the standard or of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo_export.converters.onnx.graph import all_nodes
from zoo_export.converters.tracing import layer_of
from zoo_runtime.errors import Blame, ExportError

# The domain of the standard, by both of its names.
STANDARD = frozenset({"", "ai.onnx"})
# Attributes that name a data type, and those that may say anything.
_DTYPES = frozenset({"to", "dtype", "output_dtype"})
FREE_TEXT = frozenset({
    "delimiter", "equation", "locale", "pattern", "pool_strings", "stopwords", "value_string",
    "value_strings",
})  # fmt: skip
# What other attributes that are words may say at opset 20: of one operator, or of all that have it.
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
    """Return what an attribute of an operator may say.

    Example:
        >>> words_of("Pad", "mode"), words_of("Conv", "auto_pad")[0]
        (['constant', 'edge', 'reflect', 'wrap'], 'NOTSET')
    """
    return WORDS.get(f"{operator}.{attribute}", WORDS.get(attribute, "")).split()


def _fault(attribute: Any, schema: Any) -> str:
    """Return what a schema says against an attribute, or nothing."""
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
        may_say = words_of(schema.name, name)
        unknown = (word for word in map(bytes.decode, words) if word not in may_say)
        return next((f"'{name}' is '{word}'" for word in unknown), "")
    if name in _DTYPES and value not in onnx.TensorProto.DataType.values():
        return f"'{name}' is {value}, which is no data type"
    return ""
