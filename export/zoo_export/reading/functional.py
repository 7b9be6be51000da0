"""Any Keras model as a functional one, with a name for each of its inputs and outputs.

A model of a class of its own tells what it takes by what it was called with, or by samples. What
a stateful model keeps from one call to the next (a streaming LSTM) goes in and out of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo_export.reading.signature import clean, signature_of
from zoo_registry import UsageError

STATE = "{}_state_{}"
NEXT = "next_{}"
_SHAPE = "_shape"
_NARROWED = {"float64": "float32", "int64": "int32"}


def functional(model: Any, samples: Mapping[str, Any] | None = None) -> Any:
    """Return a model with symbolic inputs and no hidden state: itself, or one around it.

    Args:
        model: Any ``keras.Model``.
        samples: Inputs by name, which tell the signature of a model that was never called, and
            the dtypes of one that was.

    Raises:
        UsageError: A model of whose inputs nothing is known, or that fails on symbolic ones.

    Example:
        >>> class Doubled(keras.Model):
        ...     def call(self, x):
        ...         return 2 * x
        >>> model = functional(Doubled(name="doubled"), {"x": np.zeros((2, 3), "float32")})
        >>> [tensor.shape for tensor in model.inputs], list(model.output)
        ([(None, 3)], ['output'])
    """
    if not getattr(model, "inputs", None):
        model = _called(model, samples or {})
    states = _states(model)
    return _streaming(model, states) if states else model


def zero_states(model: Any, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return a beginning for the states of a streaming model that a caller's rows leave out."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, Streaming)]
    count = max((len(array) for array in rows.values()), default=1)
    return {
        name: np.zeros((count, *variable.shape[1:]), str(variable.dtype))
        for layer in layers
        for name, variable in layer.states.items()
        if name not in rows
    }


class Streaming(keras.layers.Layer):  # type: ignore[misc]
    """A stateful model as a function of its inputs and its states.

    Args:
        model: The model; its own states are neither read nor changed.
        states: The variables that it keeps from call to call, by name.
    """

    def __init__(self, model: Any, states: Mapping[str, Any]) -> None:
        super().__init__(name=f"streaming_{model.name}")
        self.model = model
        self.states = dict(states)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by name, and each state after the call as ``next_STATE``."""
        known = dict(_of_outer_scope(self.model))
        known |= {id(v): (v, tensors[name]) for name, v in self.states.items()}
        with keras.StatelessScope(state_mapping=list(known.values())) as scope:
            outputs = signature_of(self.model).call(tensors)
            after = {
                NEXT.format(name): scope.get_current_value(variable)
                for name, variable in self.states.items()
            }
        return {**outputs, **after}


def _of_outer_scope(model: Any) -> list[tuple[int, tuple[Any, Any]]]:
    # A scope inside another does not see the values that were given to that.
    from keras.src.backend.common import stateless_scope

    if not stateless_scope.in_stateless_scope():
        return []
    scope = stateless_scope.get_stateless_scope()
    values = [(v, scope.get_current_value(v)) for v in model.variables]
    return [(id(v), (v, value)) for v, value in values if value is not None]


class _Recording(keras.StatelessScope):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.updated: dict[int, Any] = {}

    def add_update(self, update: tuple[Any, Any]) -> None:
        if not _is_seed(update[0]):
            self.updated[id(update[0])] = update[0]
        super().add_update(update)


def _states(model: Any) -> dict[str, Any]:
    """Return the variables that a call outside of training changes, by readable names."""
    import tensorflow as tf

    owners = [layer for layer in model._flatten_layers() if _may_keep(layer)]
    if not owners:
        return {}
    found: dict[int, Any] = {}
    signature = signature_of(model)

    def run(arrays: Mapping[str, Any]) -> None:
        with _Recording() as scope:
            model(signature.in_structure(arrays), training=False)
        found.update(scope.updated)

    specs = {n: tf.TensorSpec(t.shape, t.dtype) for n, t in signature.inputs.items()}
    try:
        tf.function(run, autograph=False).get_concrete_function(specs)
    except Exception:  # whatever it is, the export meets it again where it can say it better
        return {}
    return _named_states(owners, found)


def _may_keep(layer: Any) -> bool:
    if getattr(layer, "stateful", False):
        return True
    own = type(layer).__module__.partition(".")[0] != "keras"
    return own and not all(map(_is_seed, layer.non_trainable_variables))


def _is_seed(variable: Any) -> bool:
    # Of what draws random numbers; it changes at every call and is no memory.
    return bool(variable.path.endswith("seed_generator_state"))


def _named_states(owners: Sequence[Any], found: Mapping[int, Any]) -> dict[str, Any]:
    names = {key: clean(variable.path) for key, variable in found.items()}
    for layer in owners:  # wrappers first: what they hold is called after the layer inside
        states = keras.tree.flatten(getattr(layer, "states", None) or [])
        for index, variable in enumerate(states):
            if id(variable) in found:
                names[id(variable)] = STATE.format(clean(layer.name), index)
    return {names[key]: variable for key, variable in found.items()}


def _streaming(model: Any, states: Mapping[str, Any]) -> Any:
    given = signature_of(model).inputs
    rows = {tensor.shape[0] for tensor in given.values()}
    for variable in states.values():
        if tuple(variable.shape[:1]) not in {(size,) for size in rows}:
            raise UsageError(
                f"Model '{model.name}' keeps '{variable.path}' of shape {tuple(variable.shape)} "
                "from call to call, and not a row of it for each row of the inputs: build it with "
                "a fixed batch and a state of that many rows (keras.Input(batch_shape=...)), or "
                "change it if training=True alone."
            )
    taken = {**given, **states}
    inputs = {name: _like(name, tensor) for name, tensor in taken.items()}
    return keras.Model(inputs, Streaming(model, states)(inputs), name=model.name)


def _like(name: str, tensor: Any) -> Any:
    return keras.Input(batch_shape=tuple(tensor.shape), dtype=tensor.dtype, name=name)


def _called(model: Any, samples: Mapping[str, Any]) -> Any:
    arguments = _arguments(model, samples)
    inputs = {tensor.name: tensor for tensor in keras.tree.flatten(arguments)}
    try:
        outputs = model(**arguments)
    except Exception as error:  # whatever the author's own code raises
        shapes = {name: tensor.shape for name, tensor in inputs.items()}
        raise UsageError(
            f"Model '{model.name}' fails on symbolic inputs of shapes {shapes}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return keras.Model(inputs, _as_mapping(outputs), name=model.name)


def _as_mapping(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if isinstance(outputs, list | tuple):
        return {f"output_{index}": value for index, value in enumerate(outputs)}
    return {"output": outputs}


def _arguments(model: Any, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return symbolic inputs by the argument of ``call`` that takes them."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    names = [name for name in inspect.signature(model.call).parameters if name != "training"]
    known = {key.removesuffix(_SHAPE): shape for key, shape in shapes.items() if shape}
    if known and not known.keys() <= set(names):
        known = dict(zip(names, known.values(), strict=False))
    if not known:
        known = _from_samples(model, names, samples)
    if not known:
        kind = "has no Input" if isinstance(model, keras.Sequential) else "is of a class of its own"
        raise UsageError(
            f"Model '{model.name}' {kind} and nothing tells what it takes: call "
            "it once on an example, model(x), or give samples (samples={name: array})."
        )
    given = [*samples] if not shapes and len(known) == len(samples) == 1 else []
    # The only input of a model that was never called is named by its sample.
    return {
        name: _symbolic(shape, (given[0],) if given else (name,), samples)
        for name, shape in known.items()
    }


def _from_samples(model: Any, names: Sequence[str], samples: Mapping[str, Any]) -> dict[str, Any]:
    shapes = {name: (None, *np.shape(array)[1:]) for name, array in samples.items()}
    if not shapes or shapes.keys() <= set(names):
        return shapes
    return {names[0]: shapes if len(shapes) > 1 else next(iter(shapes.values()))}


def _symbolic(shape: Any, path: tuple[str, ...], samples: Mapping[str, Any]) -> Any:
    if isinstance(shape, Mapping):
        return {key: _symbolic(part, (*path, str(key)), samples) for key, part in shape.items()}
    if not all(size is None or isinstance(size, int) for size in shape):
        parts = [_symbolic(part, (*path, str(i)), samples) for i, part in enumerate(shape)]
        return type(shape)(parts)
    name = clean("_".join(path[1:] or path))
    sample = samples.get(name)
    if sample is None and len(samples) == 1 and len(path) == 1:
        sample = next(iter(samples.values()))
    if sample is None:
        return keras.Input(tuple(shape[1:]), name=name)
    array = np.asarray(sample)
    # A size that differs from call to call varies.
    sizes = [a if a == b else None for a, b in zip(shape[1:], array.shape[1:], strict=False)]
    dtype = _NARROWED.get(array.dtype.name, array.dtype.name)
    return keras.Input(tuple(sizes), dtype=dtype, name=name)
