"""A trace of a Keras model whose weights are inputs, for the ONNX converter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_export.converters import inference
from zoo_export.converters.compositions import ONNX, composed
from zoo_export.converters.einsum import einsum_as_products
from zoo_export.converters.exportable import exportable_operations
from zoo_export.converters.onnx.rnn import recurrent_operators
from zoo_export.converters.tracing import Conversion, as_a_graph, tensor_specs
from zoo_runtime.tensors import Array


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
    """Trace the model as a pure function of its weights and inputs."""
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
        outputs = inference.call(model, by_name, stateless)
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
