"""A trace of a Keras model whose weights are inputs, and the graph that tf2onnx makes of it.

tf2onnx is used as far as it is right: without its faults, and with the layer it fails at named.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_export.converters.compositions import ONNX, composed
from zoo_export.converters.onnx import file as onnx_file
from zoo_export.converters.onnx import images as onnx_images
from zoo_export.converters.onnx import operators as onnx_operators
from zoo_export.converters.onnx import rnn as onnx_rnn
from zoo_export.converters.onnx.einsum import einsum_as_products
from zoo_export.converters.onnx.rnn import recurrent_operators
from zoo_export.converters.tracing import Conversion, as_a_graph, exportable_operations
from zoo_export.reading.signature import layer_of, signature_of, tensor_specs
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.tensors import Array
from zoo_system.errors import plain

# The highest that it writes.
_OPSET = 18
# An operator with a dtype and a shape, and a value that is not there before it runs.
_UNREAD = "ImmutableConst"
# Its own for transposes is slow and leaves most of them: see layout.channels_first.
_LEFT_OUT = {"optimize_transpose"}
_HANDLERS = {
    **onnx_images.HANDLERS,
    **onnx_operators.HANDLERS,
    **onnx_rnn.HANDLERS,
}


@dataclass(frozen=True)
class Traced:
    """A concrete function, how its tensors are called in the file, and what it captured.

    Args:
        concrete: Takes the weights and the model's inputs.
        inputs: Name in the file of every input tensor.
        outputs: Name in the file of every output tensor.
        constants: Values of weights and captured constants by their name in the file.
    """

    concrete: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    constants: Mapping[str, Array]


def trace(conversion: Conversion) -> Traced:
    """Trace the model, or a function of it, as a pure function of its weights and inputs."""
    import keras
    import tensorflow as tf

    model = conversion.model
    trainable = len(model.trainable_variables)
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    fixed = _constant_variables(model)
    free = {f"w{i}": v for i, v in enumerate(variables) if id(v) not in fixed}
    known = {f"w{i}": v.numpy() for i, v in enumerate(variables) if id(v) in fixed}

    def serve(weights: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        by_key = {**weights, **{key: tf.constant(array) for key, array in known.items()}}
        values = [by_key[f"w{i}"] for i in range(len(variables))]

        def stateless(inputs: Any) -> Any:
            return model.stateless_call(
                values[:trainable], values[trainable:], inputs, training=False
            )[0]

        by_name = {t.name: arrays[f"x{i}"] for i, t in enumerate(conversion.inputs)}
        outputs: Mapping[str, Any]
        if conversion.function is None:
            outputs = signature_of(model).call(by_name, stateless)
        else:
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                outputs = conversion.function.call(by_name)
        return {t.name: tf.identity(outputs[t.name]) for t in conversion.outputs}

    specs = tensor_specs(conversion.inputs).values()
    function = tf.function(serve, autograph=False)
    operations = (
        _inlined,
        exportable_operations,
        _of_onnx,
        einsum_as_products,
        recurrent_operators,
    )
    with ExitStack() as stack:
        stack.enter_context(as_a_graph(model))
        for operation in operations:
            stack.enter_context(operation())
        concrete = function.get_concrete_function(
            {name: _spec(variable, name) for name, variable in free.items()},
            {f"x{i}": _spec(spec, f"x{i}") for i, spec in enumerate(specs)},
        )
    names = dict(zip(free, _weight_names(free.values()), strict=True))
    captured = _captured(concrete)
    inputs = {f"{placeholder}:0": name for placeholder, name in names.items()}
    inputs |= {f"x{i}:0": t.name for i, t in enumerate(conversion.inputs)}
    return Traced(
        concrete,
        {**inputs, **{name: name for name in captured}},
        {tensor.name: name for name, tensor in concrete.structured_outputs.items()},
        {**{names[key]: _shared(v) for key, v in free.items()}, **captured},
    )


@contextmanager
def _inlined() -> Iterator[None]:
    # Keras compiles grouped convolutions with XLA; tf2onnx cannot look inside that call.
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _of_onnx() -> AbstractContextManager[None]:
    return composed(ONNX)


def _constant_variables(model: Any) -> set[int]:
    # Those of LSTM and GRU are put in another order; tf2onnx makes an operator of a loop only if
    # it can read the weights.
    import keras

    layers = [la for la in model._flatten_layers() if isinstance(la, keras.layers.RNN)]
    return {id(variable) for layer in layers for variable in layer.variables}


def _spec(like: Any, name: str) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(like.shape, like.dtype, name)


def _captured(concrete: Any) -> dict[str, Array]:
    # Constants made outside the trace, such as the mean of a Normalization layer: left alone
    # they would become inputs that every caller has to feed. Variables are frozen by tf2onnx.
    return {
        placeholder.name: value.numpy()
        for value, placeholder in concrete.graph.captures
        if hasattr(value, "numpy") and value.dtype != "resource"
    }


def _shared(variable: Any) -> Array:
    # The tensor's own memory: numpy() would copy all weights.
    import tensorflow as tf

    return np.asarray(memoryview(tf.convert_to_tensor(variable)))


def _weight_names(variables: Iterable[Any]) -> list[str]:
    names: list[str] = []
    for index, variable in enumerate(variables):
        path = variable.path
        names.append(f"{path}_{index}" if path in names else path)
    return names


# tf2onnx as far as it is right: its graph, without its faults, and its errors.


def to_onnx(traced: Traced, model: Any) -> Any:
    """Return the ONNX model of a trace, whose weights are inputs.

    Raises:
        ExportError: An operator that ONNX does not have, or that cannot be written, with its layer.
    """
    definition = _definition(traced)
    _refuse_bfloat16(definition, model)
    with _naming_operators(definition, model):
        proto = _converted(definition, traced)
    onnx_file.refuse_foreign(proto, model)
    return proto


def _converted(definition: Any, traced: Traced) -> Any:
    import tensorflow as tf
    from tf2onnx import optimizer, tfonnx

    inputs, outputs = list(traced.inputs), list(traced.outputs)
    with tf.Graph().as_default() as graph, _without_faults():
        tf.import_graph_def(definition, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=_OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename={**traced.inputs, **traced.outputs},
            custom_op_handlers=_HANDLERS,
        )
        # Errors in an optimizer are raised: catching them means copying the graph each time.
        rest = {k: v for k, v in optimizer._get_optimizers().items() if k not in _LEFT_OUT}
        optimized = optimizer.optimize_graph(converted, catch_errors=False, optimizers=rest)
        return optimized.make_model("kerazoo")


def _definition(traced: Traced) -> Any:
    """Return the traced graph, with what TensorFlow can compute beforehand computed."""
    import tensorflow as tf
    from tf2onnx import tf_loader

    concrete, inputs, outputs = traced.concrete, list(traced.inputs), list(traced.outputs)
    definition = concrete.graph.as_graph_def(add_shapes=True)
    if concrete.graph.variables or definition.library.function:
        # Loops, and state that is no weight, need freezing, which takes as much memory again.
        try:
            return tf_loader.from_function(concrete, inputs, outputs)
        except tf.errors.OpError as error:
            cause = plain(error.message).partition(" Previous ")[0].strip()
            raise ExportError(
                f"TensorFlow cannot make one graph of its loops and weights: {cause}"
            ) from error
    weights = {tensor[:-2] for tensor, name in traced.inputs.items() if name in traced.constants}
    # TensorFlow's optimizer makes up a value for every placeholder: as much memory as the model.
    _retype(definition, weights, "Placeholder", _UNREAD)
    with tf.Graph().as_default():
        optimized = tf_loader.tf_optimize(inputs, outputs, definition)
    _retype(optimized, weights, _UNREAD, "Placeholder")
    return optimized


def _refuse_bfloat16(definition: Any, model: Any) -> None:
    """Refuse what tf2onnx would write as float16, which has other values."""
    from tensorflow.core.framework import types_pb2

    functions = definition.library.function
    nodes = [*definition.node, *(node for function in functions for node in function.node_def)]
    found = {
        Blame(node.op, layer_of(model, node.name))
        for node in nodes
        if any(value.type == types_pb2.DT_BFLOAT16 for value in node.attr.values())
    }
    if found:
        blames = sorted(found, key=str)
        raise ExportError(
            f"it computes in bfloat16, which this file cannot hold: {', '.join(map(str, blames))}. "
            "Compute in float32 there",
            blames,
        )


def _retype(definition: Any, names: set[str], old: str, new: str) -> None:
    for node in definition.node:
        if node.name in names and node.op == old:
            node.op = new
            if new == _UNREAD:
                node.attr["memory_region_name"].s = b"weights"
            else:
                del node.attr["memory_region_name"]


@contextmanager
def _without_faults() -> Iterator[None]:
    """Let tf2onnx leave out what changes results.

    Of two Reshapes it drops the first, although the second may have sizes of its input (0). Of two
    Casts it drops the first, although that may round. And it gives a convolution that has a bias a
    second one; biases are added to weights by
    :mod:`zoo_export.converters.onnx.convolutions`.
    """
    from tf2onnx import tfonnx
    from tf2onnx.optimizer import back_to_back_optimizer

    merges, rewrite = back_to_back_optimizer._func_map, tfonnx.rewrite_biasadd_with_conv2d
    before = dict(merges)
    merges.pop(("Reshape",), None)
    merges["Cast",] = _of_exact_casts(before["Cast",])
    tfonnx.rewrite_biasadd_with_conv2d = lambda graph, operators: operators
    try:
        yield
    finally:
        tfonnx.rewrite_biasadd_with_conv2d = rewrite
        merges.update(before)


def _of_exact_casts(merge: Callable[..., Any]) -> Callable[..., Any]:
    from onnx.helper import tensor_dtype_to_np_dtype

    def merge_exact(graph: Any, first: Any, following: Any) -> Any:
        kinds = graph.get_dtype(first.input[0]), first.get_attr("to").i
        before, between = (tensor_dtype_to_np_dtype(kind) for kind in kinds)
        # Sizes of tensors are counted in int64 and in int32.
        is_size = {before.name, between.name} <= {"int32", "int64"}
        is_exact = is_size or np.can_cast(before, between, "safe")
        return merge(graph, first, following) if is_exact else []

    return merge_exact


class _Failures(logging.Handler):
    # tf2onnx raises what a handler of an operator raised, and logs which operator it was.
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failed: list[tuple[str, str]] = []
        self.unknown: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if str(record.msg).startswith("Failed to convert node"):
            operator = re.search(r"OP=(\w+)", str(arguments[2]))
            self.failed.append((str(arguments[0]), operator.group(1) if operator else ""))
        elif str(record.msg).startswith("Tensorflow op ["):
            self.unknown.append((str(arguments[0]), str(arguments[1])))


@contextmanager
def _naming_operators(definition: Any, model: Any) -> Iterator[None]:
    """Name the operator and the layer that tf2onnx could not write."""
    names = {node.name: node.op for node in definition.node}
    logger, failures = logging.getLogger("tf2onnx.tfonnx"), _Failures()
    logger.addHandler(failures)
    try:
        yield
    except Exception as error:  # whatever its handlers and its optimizers raise
        raise _refusal(error, failures, names, model) from error
    finally:
        logger.removeHandler(failures)


def _refusal(
    error: Exception, failures: _Failures, names: Mapping[str, str], model: Any
) -> ExportError:
    if failures.unknown:
        found = {Blame(operator, layer_of(model, name)) for name, operator in failures.unknown}
        blames = sorted(found, key=str)
        return ExportError(f"ONNX has no operator for {', '.join(map(str, blames))}", blames)
    cause = str(error) if isinstance(error, ExportError) else f"{type(error).__name__}: {error}"
    if not failures.failed:
        return ExportError(f"tf2onnx failed: {cause}")
    name, operator = failures.failed[0]
    blame = Blame(names.get(name, operator), layer_of(model, name))
    return ExportError(f"{blame} cannot be written in ONNX: {cause}", [blame])
