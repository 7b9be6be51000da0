"""Keras to LiteRT (TensorFlow Lite), built-in operators only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoo_export.converters.compositions import LITERT, composed
from zoo_export.converters.litert import edits
from zoo_export.converters.litert.delegation import xnnpack_share
from zoo_export.converters.litert.memory import Content, mapped, with_little_memory
from zoo_export.converters.litert.merging import merge_products
from zoo_export.converters.litert.recurrent import recurrent_layers
from zoo_export.converters.tracing import (
    Conversion,
    blame,
    holder,
    trace,
    trace_function,
    with_batch,
)
from zoo_export.options import INT8
from zoo_export.reading.signature import layer_of
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.running.sessions import SIGNATURE
from zoo_runtime.tensors import BATCH, Tensor

# Which its operators take; some take fewer.
_MOST_AXES = 4
# How the converter's messages name what it has no kernel for.
_REFUSED = (r"'tf\.(\w+)' op is neither", r"TF Select ops: ([\w, ]+)", r"Custom ops: ([\w, ]+)")


def convert(
    conversion: Conversion,
    configure: Callable[[Any], None] = lambda converter: None,
    *,
    change: Callable[[bytes], bytes | bytearray] = lambda content: content,
    integer: bool = False,
    loops: bool = True,
) -> dict[str, Any]:
    """Write a flatbuffer with a named signature for each batch and return what it holds.

    Args:
        conversion: What is converted.
        configure: Sets further options of the ``TFLiteConverter``.
        change: Corrects what it made.
        integer: Whether the file is to take and give int8 where the model has floats.
        loops: Whether recurrent layers may be loops, which need a fixed batch too.

    Raises:
        ExportError: An operator that LiteRT has no built-in kernel for.
    """
    loops = loops and None not in conversion.signatures.values()
    recurrent = recurrent_layers(conversion.model, conversion.options.rnn, loops=loops)
    with recurrent as layers, composed(LITERT):
        traced = [trace(conversion, signature) for signature in conversion.signatures]
        traced += [trace_function(conversion.model, f) for f in conversion.functions]
    content = from_graphs(traced, conversion.model, configure)
    if conversion.functions:
        content = merge_products(content)
        if conversion.options.cache_dtype == INT8:
            content = edits.dequantize_inputs(content)
    edits.write(conversion.path, change(content))
    del content
    facts = inspect(conversion, integer=integer)
    return {**facts, "rnn": layers} if layers else facts


def from_graphs(
    traced: Sequence[tuple[Any, Any]],
    model: Any,
    configure: Callable[[Any], None] = lambda converter: None,
) -> bytes:
    """Return the flatbuffer of some graphs, each as a signature; weights are stored once.

    Args:
        traced: Each graph as a ``tf.function`` and its concrete function, after which the
            signature is called. The first has all of the weights.
        model: The Keras model that they are of.
        configure: Sets further options of the ``TFLiteConverter``.

    Raises:
        ExportError: An operator that LiteRT has no built-in kernel for.
    """
    import tensorflow as tf

    concretes = [concrete for _, concrete in traced]
    # It has the variables alone: functions in it are traced once more to be saved.
    module = holder(concretes[0])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(concretes, module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    # It would make the largest float of a constant infinity, to which nothing infinite is equal.
    converter.canonicalizing_inf_as_min_max_float = False
    converter.exclude_conversion_metadata = True  # adding it takes a copy of the file apart
    configure(converter)
    try:
        with with_little_memory(module):
            content: bytes = converter.convert()
    except Exception as error:  # ConverterError, or whatever its MLIR passes let through
        raise refused(model, concretes[0].graph, error) from error
    return content


def inspect(
    conversion: Conversion, *, signature: str = SIGNATURE, integer: bool = False
) -> dict[str, Any]:
    """Read the written file back, check it and return what it holds.

    Args:
        conversion: What was converted.
        signature: The signature that has the model's inputs and outputs, at the first batch.
        integer: Whether it must take and give int8 where the model has floats.

    Raises:
        ExportError: Operators outside LiteRT, or inputs and outputs that are not the model's.
    """
    content = mapped(conversion.path)
    operators = operators_in(content)
    (_, batch), *others = conversion.signatures.items()
    inputs, outputs = _signature(conversion, signature, batch, integer)
    facts: dict[str, Any] = {
        "signature": signature,
        "operators": operators,
        "weights": weights_in(content),
        "xnnpack": xnnpack_share(conversion.path, signature),
    }
    for name, size in others:
        _signature(conversion, name, size, integer)
        share = xnnpack_share(conversion.path, name)
        facts.setdefault("signatures", {})[name] = {"batch": size, "xnnpack": share}
    if integer:
        facts["quantization"] = _affine(inputs) | _affine(outputs)
        facts["layers"] = _layers(content, conversion.model)
    return facts


def refused(model: Any, graph: Any, error: Exception) -> ExportError:
    """Return what the converter's exception means, with the layers at fault.

    Args:
        model: The Keras model.
        graph: The traced graph that was converted.
        error: What the converter raised.
    """
    text = str(error)
    groups = [group for pattern in _REFUSED for group in re.findall(pattern, text)]
    names = sorted({name.strip() for group in groups for name in group.split(",")} - {""})
    blames = blame(graph, model, names)
    if blames:
        axes = max((shape.count("x") for shape in re.findall(r"tensor<([\dx?]*)", text)), default=0)
        what = f" of tensors of {axes} axes" if axes > _MOST_AXES else ""
        what += " in bfloat16" if "xbf16>" in text else ""
        return ExportError(f"LiteRT has no built-in operator for {_join(blames)}{what}", blames)
    lines = [line for line in text.splitlines() if line.strip()]
    return ExportError(
        f"the LiteRT converter failed: {lines[0] if lines else type(error).__name__}"
    )


def operators_in(content: Content) -> dict[str, int]:
    """Count the operators of a file.

    Raises:
        ExportError: Operators outside LiteRT, Flex ones among them.
    """
    found = dict(sorted(Counter(name for name, _ in _nodes(content)).items()))
    custom = [Blame(name.removeprefix("custom:")) for name in found if name[:7] == "custom:"]
    if custom:
        raise ExportError(f"the file needs operators outside LiteRT: {_join(custom)}", custom)
    return found


def _layers(content: Content, model: Any) -> dict[str, list[str]]:
    """Return the layers that each kind of operator came from, as far as tensors' names show."""
    found: dict[str, set[str]] = {}
    for operator, tensors in _nodes(content):
        layers = (layer_of(model, part) for name in tensors for part in name.split(";"))
        found.setdefault(operator, set()).update(filter(None, layers))
    return {operator: sorted(layers) for operator, layers in sorted(found.items())}


def _nodes(content: Content) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of every operator in the file and the names of the tensors it gives."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    builtin = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    names = []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        names.append(f"custom:{custom.decode()}" if custom else builtin[number])
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for node in map(graph.Operators, range(graph.OperatorsLength())):
            given = [graph.Tensors(node.Outputs(i)) for i in range(node.OutputsLength())]
            yield names[node.OpcodeIndex()], [tensor.Name().decode() for tensor in given]


def weights_in(content: Content) -> dict[str, int]:
    """Return the bytes of constant tensors by dtype; one that is shared counts once."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    dtypes = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
    found: dict[int, tuple[str, int]] = {}
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            size = buffer.DataLength() or buffer.Size()
            if size:
                found[tensor.Buffer()] = dtypes[tensor.Type()], size
    counts: Counter[str] = Counter()
    for dtype, size in found.values():
        counts[dtype] += size
    return dict(sorted(counts.items()))


def _check(kind: str, wanted: Sequence[Tensor], details: Mapping[str, Any], integer: bool) -> None:
    found = {
        Tensor(name, entry["dtype"].__name__, _shape(entry)) for name, entry in details.items()
    }
    expected = {
        replace(tensor, dtype="int8") if integer and tensor.dtype == "float32" else tensor
        for tensor in wanted
    }
    if kind == "outputs":
        by_name = {tensor.name: tensor.shape for tensor in wanted}
        for tensor in found:
            _check_sizes(tensor, by_name.get(tensor.name, tensor.shape))
    if found != expected:
        names = sorted(map(str, found))
        raise ExportError(f"the file's {kind} are {names}, not {sorted(map(str, expected))}")


def _check_sizes(output: Tensor, wanted: tuple[int | str, ...]) -> None:
    sizes = output.shape
    if BATCH in sizes[1:]:
        raise ExportError(
            f"output '{output.name}' has a size that depends on the values it is given, and LiteRT "
            "files fix all of them: give as many in every case, as keras.ops.unique(x, size=9) does"
        )
    if sizes != wanted and sizes[1:] == wanted[1:]:
        count = "any number of" if sizes[0] == BATCH else sizes[0]
        raise ExportError(
            f"output '{output.name}' has {count} rows where the inputs have {wanted[0]}, and "
            "LiteRT, which runs one batch size alone, could not assign them: give them an "
            "axis of their own behind the batch"
        )


def _shape(entry: Mapping[str, Any]) -> tuple[int | str, ...]:
    sizes = entry["shape_signature"]
    return tuple(int(size) if size >= 0 else BATCH for size in sizes)


def _affine(details: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return scale and zero point of the integer tensors: real = scale * (integer - zero point)."""
    return {
        name: {"scale": entry["quantization"][0], "zero_point": entry["quantization"][1]}
        for name, entry in details.items()
        if entry["quantization"][0]
    }


def _signature(
    conversion: Conversion, name: str, batch: int | None, integer: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a signature takes and gives, which must be what the model does."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # XNNPACK would copy all weights.
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(conversion.path), experimental_op_resolver_type=kernels)
    runner = interpreter.get_signature_runner(name)
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    _check("inputs", with_batch(conversion.inputs, batch), inputs, integer)
    _check("outputs", with_batch(conversion.outputs, batch), outputs, integer)
    return inputs, outputs


def _join(blames: list[Blame]) -> str:
    return ", ".join(map(str, blames))
