"""What a model takes and gives: its tensors by the names that they have in every format."""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.tensors import MAX_BATCH, Array, Arrays, Tensor, batches, joined, split

# As many steps as take no less time one by one than it takes to make a graph of them.
_LONG = 32


@dataclass(frozen=True, eq=False)
class Signature:
    """A model with its tensors by name, asked of it once: a function of named arrays.

    A name is the key of a dictionary, with those of the dictionaries around it, or the name of
    the layer that an input is, or that makes an output. One that formats cannot hold, or that
    another has but for its case, is changed; an output that an input has too gets ``_output``
    behind it.

    Args:
        model: A functional or sequential ``keras.Model``.
        inputs: Its symbolic inputs.
        outputs: Its symbolic outputs.

    Example:
        >>> import keras
        >>> x = keras.Input((4,), name="x")
        >>> signature = signature_of(keras.Model(x, {"score-1": keras.layers.Dense(2)(x)}))
        >>> list(signature.inputs), list(signature.outputs), signature.batch
        (['x'], ['score_1'], None)
    """

    model: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    @property
    def raw_names(self) -> list[str]:
        """What the model itself calls its inputs, in the order of ``inputs``."""
        return [name for name, _ in leaves(_struct(self.model, "_inputs_struct"))]

    @property
    def batch(self) -> int | None:
        """The only batch that the model takes, ``None`` where it takes any."""
        sizes = (tensor.shape[0] for tensor in self.inputs.values())
        return next((size for size in sizes if size is not None), None)

    @property
    def varies(self) -> bool:
        """Whether the batch of every input is open."""
        return all(tensor.shape[0] is None for tensor in self.inputs.values())

    def in_structure(self, arrays: Mapping[str, Any]) -> Any:
        """Return named arrays, or tensors, in the structure that the model itself takes."""
        values = (arrays[name] for name in self.inputs)
        return _filled(_struct(self.model, "_inputs_struct"), values)

    def call(self, arrays: Mapping[str, Any], apply: Any = None) -> dict[str, Any]:
        """Call the model on named arrays, or tensors, and return its outputs by name.

        Args:
            arrays: Values by the names of ``inputs``.
            apply: What to call with the inputs in the model's own structure, instead of the model.
        """
        inputs = self.in_structure(arrays)
        result = apply(inputs) if apply else self.model(inputs, training=False)
        values = _values(_struct(self.model, "_outputs_struct"), result)
        return dict(zip(self.outputs, values, strict=True))

    def reference(self, arrays: Arrays) -> dict[str, Array]:
        """Return what Keras itself computes, as NumPy arrays.

        It is what ``predict`` gives: see :func:`as_in_a_graph`.
        """
        import keras

        def run(part: Arrays) -> dict[str, Array]:
            tensors = {name: keras.ops.convert_to_tensor(x) for name, x in part.items()}
            with as_in_a_graph():
                outputs = self.call(tensors)
            return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}

        if self.batch is None:
            return joined([run(part) for part in batches(arrays, MAX_BATCH)])
        rows = len(next(iter(arrays.values())))
        found = joined([run(part) for part in split(arrays, (self.batch,))])
        return {name: array[:rows] for name, array in found.items()}

    def consumers(self, name: str) -> list[Any]:
        """Return the layers that take an input directly, also inside nested models."""
        found = []
        for layer in self.model._flatten_layers(include_self=False, recursive=False):
            for node in layer._inbound_nodes:
                if any(taken is self.inputs[name] for taken in node.arguments.keras_tensors):
                    found.append(layer)
        return found


def signature_of(model: Any) -> Signature:
    """Ask a model what it takes and gives.

    Raises:
        UsageError: A model without symbolic inputs, or a name of which nothing is left.
    """
    inputs = _inputs(model)
    return Signature(model, inputs, _outputs(model, inputs))


def _inputs(model: Any) -> dict[str, Any]:
    if not getattr(model, "inputs", None):
        raise UsageError(
            f"Model '{model.name}' has no symbolic inputs. Build it from them: "
            "inputs = keras.Input(...); keras.Model(inputs, model(inputs))."
        )
    return _unique(model, "input", list(leaves(_struct(model, "_inputs_struct"))))


def _outputs(model: Any, inputs: Iterable[str]) -> dict[str, Any]:
    from zoo_models.generation.kerashub import is_keras_hub

    found = list(leaves(_struct(model, "_outputs_struct")))
    if is_keras_hub(model):  # what a layer makes that may be called as the table of tokens
        found = [(LOGITS, tensor) for _, tensor in found]
    return _unique(model, "output", found, inputs)


@contextmanager
def as_in_a_graph() -> Iterator[None]:
    """Let Keras' preprocessing and recurrent layers do step by step what they do in a graph.

    In a graph, as in ``fit``, ``predict`` and every file, preprocessing brings what it is given to
    the dtype that it computes in: an image of integers is resized in floats. Step by step Keras
    leaves that out, and rounds the resized image. And a loop over a long sequence is one call
    there, in a fraction of the time.
    """
    import keras
    from keras.src.layers.preprocessing.data_layer import DataLayer

    prepare, loop = DataLayer.__call__, keras.layers.RNN.inner_loop

    def in_own_dtype(layer: Any, inputs: Any, **named: Any) -> Any:
        if not any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(inputs)):
            to_own = partial(keras.ops.convert_to_tensor, dtype=layer.compute_dtype)
            inputs = keras.tree.map_structure(to_own, inputs)
        return prepare(layer, inputs, **named)

    def in_one_call(
        layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        import tensorflow as tf

        run = partial(loop, layer, training=training)
        steps = sequences.shape[1]
        # A graph takes a mask that is longer than the sequence, and forgets the rest of it.
        is_whole = mask is None or mask.shape[1] == steps
        if is_whole and steps >= _LONG and not layer.unroll:
            run = tf.function(run, autograph=False)
        return run(sequences, initial_state, mask)

    DataLayer.__call__, keras.layers.RNN.inner_loop = in_own_dtype, in_one_call
    try:
        yield
    finally:
        DataLayer.__call__, keras.layers.RNN.inner_loop = prepare, loop


def leaves(struct: Any) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested inputs or outputs with the names that their paths give them.

    Args:
        struct: Symbolic tensors in dictionaries, lists and tuples.
    """
    flat = list(_paths(struct))
    by_layer = iter(_layer_names([tensor for path, tensor in flat if not _has_key(path)]))
    for path, tensor in flat:
        # A tensor without a name of its own takes its layer's when the model is loaded.
        yield "_".join(map(str, path)) if _has_key(path) else next(by_layer), tensor


def name_alike(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give inputs and outputs the names that they have in another process.

    A model that is made anew from sizes, as those of KerasHub are, counts its unnamed layers anew.

    Args:
        model: The model, changed.
        inputs: Names that :func:`signature_of` found there, in the same order.
        outputs: Names that it found there.
    """
    _rename(_struct(model, "_inputs_struct"), _inputs(model), inputs)
    _rename(_struct(model, "_outputs_struct"), _outputs(model, _inputs(model)), outputs)


def _rename(struct: Any, found: Mapping[str, Any], names: Sequence[str]) -> None:
    paths = [path for path, _ in _paths(struct)]
    for path, (old, tensor), name in zip(paths, found.items(), names, strict=True):
        if old != name and not _has_key(path):
            history = tensor._keras_history
            history.operation.name = name.removesuffix(f"_{history.tensor_index}")


def up_to(model: Any, tensor: Any) -> Any:
    """Return the model from its inputs to one of its inner tensors; the layers are shared."""
    import keras

    return keras.Model(_struct(model, "_inputs_struct"), tensor)


def uses(model: Any, layer: Any) -> int:
    """Return how often a layer is called in the graph of a model."""
    depths = _struct(model, "_nodes_by_depth").values()
    return sum(node.operation is layer for nodes in depths for node in nodes)


def clean(name: str) -> str:
    """Return a name with nothing in it that a format cannot hold.

    Example:
        >>> clean("tower-1/logits"), clean("größe")
        ('tower_1_logits', 'gr__e')
    """
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def tensor_specs(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Return ``tf.TensorSpec`` by name; a named size is ``None``."""
    import tensorflow as tf

    return {
        t.name: tf.TensorSpec([d if isinstance(d, int) else None for d in t.shape], t.dtype, t.name)
        for t in tensors
    }


def layer_of(model: Any, node_name: str) -> str | None:
    """Return the name of the innermost layer whose scope a node's name holds."""
    path = path_of(model, node_name)
    return path.rpartition("/")[2] if path else None


def path_of(model: Any, node_name: str) -> str | None:
    """Return the names of the layers whose scopes a node's name holds, such as ``block_0/norm``."""
    layers = {layer.name for layer in model._flatten_layers(include_self=False)}
    found = []
    for part in node_name.split("/")[:-1]:
        # Keras marks the second use of a name in a graph: dense becomes dense_1 in the scope.
        base, _, count = part.rpartition("_")
        if part in layers:
            found.append(part)
        elif count.isdigit() and base in layers:
            found.append(base)
    return "/".join(found) or None


def _paths(struct: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(struct, Mapping):
        for key, part in struct.items():
            yield from _paths(part, (*path, key))
    elif isinstance(struct, list | tuple):
        for index, part in enumerate(struct):
            yield from _paths(part, (*path, index))
    else:
        yield path, struct


def _filled(struct: Any, values: Iterator[Any]) -> Any:
    if isinstance(struct, Mapping):
        return {key: _filled(part, values) for key, part in struct.items()}
    if isinstance(struct, list | tuple):
        parts = [_filled(part, values) for part in struct]
        return type(struct)(*parts) if hasattr(struct, "_fields") else parts
    return next(values)


def _values(struct: Any, result: Any) -> Iterator[Any]:
    if isinstance(struct, Mapping):
        for key, part in struct.items():
            yield from _values(part, result[key])
    elif isinstance(struct, list | tuple):
        for part, value in zip(struct, result, strict=True):
            yield from _values(part, value)
    else:
        yield result


def _has_key(path: Sequence[Any]) -> bool:
    return any(isinstance(part, str) for part in path)


def _layer_names(tensors: Sequence[Any]) -> list[str]:
    histories = [tensor._keras_history for tensor in tensors]
    names = [history.operation.name for history in histories]
    return [
        f"{name}_{history.tensor_index}" if names.count(name) > 1 else name
        for name, history in zip(names, histories, strict=True)
    ]


def _unique(
    model: Any, kind: str, pairs: Sequence[tuple[str, Any]], taken: Iterable[str] = ()
) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for raw, tensor in pairs:
        name = clean(raw).lstrip("_")
        if not name:
            raise UsageError(
                f"Model '{model.name}' has the {kind} '{raw}': give it a name that begins with a "
                "letter a to z, as TensorFlow drops what is before one."
            )
        is_argument = name.isidentifier() and not keyword.iskeyword(name) and name != "self"
        if kind == "input" and not is_argument:
            name = f"input_{name}"  # a signature is a method with these arguments
        if name in taken:
            name = f"{name}_output"
        named[_free(name, {*named, *taken})] = tensor
    return named


def _free(name: str, taken: Iterable[str]) -> str:
    # TensorFlow's names of operators differ by more than the case of their letters.
    lowered = {other.lower() for other in taken}
    numbers = itertools.count(1)
    free = name
    while free.lower() in lowered:
        free = f"{name}_{next(numbers)}"
    return free


def _struct(model: Any, attribute: str) -> Any:
    # A Sequential keeps the functional model it stands for.
    return getattr(getattr(model, "_functional", None) or model, attribute)
