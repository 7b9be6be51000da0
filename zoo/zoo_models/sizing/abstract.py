"""A model's graph without its weights: nothing is allocated, whatever the size."""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope

from zoo_models.build import call_builder, get_model
from zoo_registry import ModelSpec

# Where Keras keeps variables to make later; no public function empties it.
PENDING = "uninitialized_variables"
# What a ``.keras`` file says of its model.
_CONFIG, _MOST_CONFIG = "config.json", 1 << 26


@contextmanager
def without_weights() -> Iterator[None]:
    """Let models be built here whose variables have a shape and no value."""
    pending = global_state.get_global_attribute(PENDING, [], set_to_default=True)
    before = len(pending)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Else all of them are made when the next such scope ends.
        del pending[before:]


def abstract_model(spec: ModelSpec, task: str | None, **overrides: Any) -> Any:
    """Return the ``keras.Model`` with variables that have a shape and no value.

    Args:
        spec: The model.
        task: The head; the first by default.
        overrides: Arguments of the builder.
    """
    with without_weights():
        return get_model(spec, task=task, **overrides)


def weight_bytes(spec: ModelSpec, arguments: Mapping[str, Any]) -> int:
    """Return the bytes that the variables of a model will take; nothing is allocated.

    Where variables have no values already, as when a model is only sized, they take none.

    Args:
        spec: The model.
        arguments: Of its builder, the task among them.
    """
    if in_stateless_scope():
        return 0
    with without_weights():
        # The weights themselves are not what is counted here.
        model = call_builder(spec, {k: v for k, v in arguments.items() if k != "weights"})
    return _bytes_of(model.variables)


def file_bytes(path: Path) -> int:
    """Return the bytes that the model of a ``.keras`` file will take; nothing is allocated.

    What cannot be built counts nothing.

    Args:
        path: The file.
    """
    pending = global_state.get_global_attribute(PENDING, [], set_to_default=True)
    before = len(pending)
    with without_weights():
        # Whatever is wrong with the file, or with a layer that needs values, loading says why.
        with contextlib.suppress(Exception):
            keras.saving.deserialize_keras_object(_config(path), safe_mode=True)
        return _bytes_of(pending[before:])


def _config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG:
            raise ValueError(f"{_CONFIG} is larger than {_MOST_CONFIG:,} bytes")
        return _without_state(json.loads(archive.read(_CONFIG)))


def _without_state(config: Any) -> Any:
    """Return a configuration whose recurrent layers keep no state: that has to have a value."""
    if isinstance(config, dict):
        return {k: False if k == "stateful" else _without_state(v) for k, v in config.items()}
    return [_without_state(item) for item in config] if isinstance(config, list) else config


def _bytes_of(variables: Iterable[Any]) -> int:
    sizes = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int8": 1, "uint8": 1}
    return sum(math.prod(v.shape) * sizes.get(v.dtype, 4) for v in variables)


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
