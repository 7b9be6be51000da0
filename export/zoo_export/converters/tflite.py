"""Keras to LiteRT (TensorFlow Lite), built-in operators only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from zoo_export.converters.tracing import SIGNATURE, Conversion, blame, holder, trace
from zoo_export.errors import Blame, ExportError
from zoo_export.tensors import Tensor

# How the converter's messages name what it has no kernel for.
_REFUSED = (r"'tf\.(\w+)' op is neither", r"TF Select ops: ([\w, ]+)", r"Custom ops: ([\w, ]+)")


def convert(
    conversion: Conversion, configure: Callable[[Any], None] = lambda converter: None
) -> dict[str, Any]:
    """Write a flatbuffer with one named signature and return what it holds.

    Args:
        conversion: What is converted.
        configure: Sets further options of the ``TFLiteConverter``.

    Raises:
        ExportError: An operator that LiteRT has no built-in kernel for.
    """
    import tensorflow as tf

    function, concrete = trace(conversion)
    module = holder(concrete)
    module.serve = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    configure(converter)
    try:
        content = converter.convert()
    except Exception as error:  # ConverterError, or whatever its MLIR passes let through
        raise _refused(conversion, concrete, error) from error
    conversion.path.write_bytes(content)
    return inspect(conversion)


def inspect(conversion: Conversion) -> dict[str, Any]:
    """Read the written file back, check it and return what it holds.

    Raises:
        ExportError: Operators outside LiteRT, or inputs and outputs that are not the model's.
    """
    content = conversion.path.read_bytes()
    operators = _operators(content)
    _check(conversion, operators)
    return {"signature": SIGNATURE, "operators": operators, "weights": _weights(content)}


def _refused(conversion: Conversion, concrete: Any, error: Exception) -> ExportError:
    text = str(error)
    groups = [group for pattern in _REFUSED for group in re.findall(pattern, text)]
    names = sorted({name.strip() for group in groups for name in group.split(",")} - {""})
    blames = blame(concrete.graph, conversion.model, names)
    if blames:
        return ExportError(f"LiteRT has no built-in operator for {_join(blames)}", blames)
    lines = [line for line in text.splitlines() if line.strip()]
    return ExportError(
        f"the LiteRT converter failed: {lines[0] if lines else type(error).__name__}"
    )


def _operators(content: bytes) -> dict[str, int]:
    """Count the operators of the file; custom ones, Flex among them, by their own name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    builtin = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    names = []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        names.append(f"custom:{custom.decode()}" if custom else builtin[number])
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    counts = Counter(
        names[graph.Operators(i).OpcodeIndex()]
        for graph in graphs
        for i in range(graph.OperatorsLength())
    )
    return dict(sorted(counts.items()))


def _weights(content: bytes) -> dict[str, int]:
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


def _check(conversion: Conversion, operators: dict[str, int]) -> None:
    custom = [Blame(name.removeprefix("custom:")) for name in operators if name[:7] == "custom:"]
    if custom:
        raise ExportError(f"the file needs operators outside LiteRT: {_join(custom)}", custom)
    inputs, outputs = _signature(conversion)
    for kind, wanted, found in (
        ("inputs", conversion.inputs, inputs),
        ("outputs", conversion.outputs, outputs),
    ):
        if found != {_fixed(tensor) for tensor in wanted}:
            raise ExportError(
                f"the file's {kind} are {sorted(found)}, not {list(map(str, wanted))}"
            )


def _fixed(tensor: Tensor) -> tuple[str, tuple[int | str, ...], str]:
    return tensor.name, tensor.shape, tensor.dtype


def _signature(
    conversion: Conversion,
) -> tuple[set[tuple[str, tuple[int, ...], str]], set[tuple[str, tuple[int, ...], str]]]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(conversion.path)).get_signature_runner(SIGNATURE)

    def described(details: dict[str, Any]) -> set[tuple[str, tuple[int, ...], str]]:
        return {
            (name, tuple(map(int, entry["shape"])), entry["dtype"].__name__)
            for name, entry in details.items()
        }

    return described(runner.get_input_details()), described(runner.get_output_details())


def _join(blames: list[Blame]) -> str:
    return ", ".join(map(str, blames))
