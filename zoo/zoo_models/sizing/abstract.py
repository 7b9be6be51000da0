"""A model's graph without its weights: nothing is allocated, whatever the size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo_models.build import get_model
from zoo_models.memory import without_weights
from zoo_registry import ModelSpec


def abstract_model(spec: ModelSpec, task: str | None, **overrides: Any) -> Any:
    """Return the ``keras.Model`` with variables that have a shape and no value.

    Args:
        spec: The model.
        task: The head; the first by default.
        overrides: Arguments of the builder.
    """
    with without_weights():
        return get_model(spec, task=task, **overrides)


def trace(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
    """Return the outputs of one inference in a graph; weights and inputs are its placeholders.

    Args:
        model: From :func:`abstract_model`.
        shapes: Of the inputs by name, batch first.
    """
    specs = [tf.TensorSpec(variable.shape, variable.dtype) for variable in model.variables]
    wanted = {
        tensor.name: tf.TensorSpec(shapes[tensor.name], tensor.dtype) for tensor in model.inputs
    }

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # Any
    def infer(values: list[Any], inputs: dict[str, Any]) -> list[Any]:
        given = zip(model.variables, values, strict=True)
        fed = keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)
        with keras.StatelessScope(state_mapping=given, initialize_variables=False):
            return list(keras.tree.flatten(model(fed, training=False)))

    return list(infer.get_concrete_function(specs, wanted).graph.outputs)
