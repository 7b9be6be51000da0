"""Any Keras model as a functional one, with a name for each of its inputs and outputs.

What a model of a class of its own takes follows from what it was called with, or from samples. What
a stateful model keeps from one call to the next (a streaming LSTM) goes in and out of it. One that
compares every row of one input with every row of another, such as CLIP, is taken apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo_export.reading.signature import clean, leaves, signature_of
from zoo_registry import UsageError

STATE = "{}_state_{}"
NEXT = "next_{}"
_SHAPE = "_shape"
EMBEDDING = "embedding"
_NARROWED = {"float64": "float32", "int64": "int32"}


def functional(model: Any, samples: Mapping[str, Any] | None = None) -> Any:
    """Return a model with symbolic inputs and no hidden state: itself, or one around it.

    Args:
        model: Any ``keras.Model``.
        samples: Inputs by name, which give the signature of a model that was never called, and
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
    except Exception:  # whatever it is, the export meets it again where it can report it better
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
            f"Model '{model.name}' {kind} and its inputs are not known: call "
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


def encoders(model: keras.Model) -> dict[str, Any]:
    """Return the encoders of a model that gives a number for every pair of rows, as CLIP does.

    A device stores what one of them gave, and runs the other: each is exported by itself, with as
    many rows as it is given. Layers and weights are the model's own. What the model makes of the
    pairs, such as a product and a temperature, is left to the caller.

    Args:
        model: A functional ``keras.Model``.

    Returns:
        By the name of its first input, a model with the output ``embedding`` of shape
        ``(batch, ...)``.

    Raises:
        UsageError: A model in whose graph no operation compares all rows of two inputs.

    Example:
        >>> import keras
        >>> image, text = keras.Input((6,), name="image"), keras.Input((4,), name="text")
        >>> a, b = keras.layers.Dense(3)(image), keras.layers.Dense(3)(text)
        >>> model = keras.Model([image, text], keras.ops.matmul(a, keras.ops.transpose(b)))
        >>> {name: list(encoder.output) for name, encoder in encoders(model).items()}
        {'image': ['embedding'], 'text': ['embedding']}
    """
    found = compared_inputs(model)
    if not found:
        raise UsageError(
            f"Model '{model.name}' has no encoders to take apart: no operation of its graph "
            "compares every row of one input with every row of another. Build each encoder from "
            "its own layers: keras.Model(its inputs, its output)."
        )
    inputs = dict(leaves(_graph(model)._inputs_struct))
    return {
        names[0]: keras.Model(
            {name: inputs[name] for name in names},
            {EMBEDDING: tensor},
            name=f"{model.name}_{clean(names[0])}",
        )
        for names, tensor in found.items()
    }


def compared_inputs(model: Any) -> dict[tuple[str, ...], Any]:
    """Return what a model compares row by row: by the names of its inputs, the tensor made of them.

    Empty where it compares no two inputs so, or has no graph.
    """
    graph = _graph(model)
    if not hasattr(graph, "_nodes_by_depth"):
        return {}
    made_by: dict[int, Any] = {}
    depends: dict[int, tuple[str, ...]] = {
        id(tensor): (name,) for name, tensor in leaves(graph._inputs_struct)
    }
    found: dict[tuple[str, ...], Any] = {}
    for node in _nodes(graph):
        parts = [tensor for tensor in node.arguments.keras_tensors if depends.get(id(tensor))]
        names = [depends[id(tensor)] for tensor in parts]
        for tensor in node.outputs:
            made_by[id(tensor)] = node
            depends.setdefault(id(tensor), tuple(dict.fromkeys(sum(names, ()))))
        if _is_of_pairs(parts, names, node.outputs):
            towers = [_with_rows_first(tensor, made_by) for tensor in parts]
            if None not in towers:
                found |= dict(zip(names, towers, strict=True))
    return found


def _graph(model: Any) -> Any:
    # A Sequential keeps the functional model it stands for.
    return getattr(model, "_functional", None) or model


def _nodes(graph: Any) -> Iterator[Any]:
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from graph._nodes_by_depth[depth]


def _is_of_pairs(parts: list[Any], names: list[tuple[str, ...]], made: list[Any]) -> bool:
    """Return whether parts that have no input in common meet in an answer for every pair."""
    if len(parts) < 2 or len({name for row in names for name in row}) < sum(map(len, names)):
        return False
    open_sizes = max(_open(tensor) for tensor in parts)
    return any(_open(tensor) > open_sizes for tensor in made)


def _open(tensor: Any) -> int:
    return sum(size is None for size in tensor.shape)


def _with_rows_first(tensor: Any, made_by: dict[int, Any]) -> Any:
    """Return what a tensor was made of before its rows were put behind, as for a product."""
    while len(tensor.shape) and tensor.shape[0] is not None:
        node = made_by.get(id(tensor))
        if node is None or len(node.arguments.keras_tensors) != 1:
            return None
        (tensor,) = node.arguments.keras_tensors
    return tensor if len(tensor.shape) else None
