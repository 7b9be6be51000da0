"""A Keras model as a function of named arrays: float32, ``training=False``, readable names."""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from zoo_export import pickled
from zoo_export.model_code import has_own_code
from zoo_models.finetuning import merge_lora
from zoo_registry import UsageError
from zoo_runtime.running.batching import split
from zoo_runtime.tensors import MAX_BATCH, Array, Arrays, batches, joined

_LOOKUPS = {"IntegerLookup", "StringLookup", "TextVectorization", "Hashing", "HashedCrossing"}
# Layer scales begin at 1e-4 to 1e-6: what they let pass is beneath what files may differ.
_IDLE = 1e-3
_NOT_OF_SCOPES = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def load_model(path: Any, *, compiled: bool = False) -> Any:
    """Load a ``.keras`` file in Keras' safe mode, for inference if it is not to be compiled."""
    import keras

    return keras.saving.load_model(path, compile=compiled, safe_mode=True)


def inference_clone(model: Any) -> Any:
    """Return the model in float32: itself, or a copy if any layer computes in another precision.

    What quantization-aware training rounds is not rounded in it.

    Raises:
        UsageError: Layers that Keras has quantized, as the file is quantized instead, that look up
            words and numbers, or whose names TensorFlow does not take.
    """
    from zoo_models.quantization import without_fake_quantization

    model = without_fake_quantization(merge_lora(model))
    quantized = [layer.name for layer in model._flatten_layers() if _quantized(layer)]
    if quantized:
        raise UsageError(
            f"Layer '{quantized[0]}' of model '{model.name}' is quantized by Keras, which no "
            "exporter gets right: export the float model and quantize the file."
        )
    lookups = [layer.name for layer in model._flatten_layers() if type(layer).__name__ in _LOOKUPS]
    if lookups:
        raise UsageError(
            f"Layer '{lookups[0]}' of model '{model.name}' looks its input up in a table, which "
            "no runtime has: do that in preprocessing, and let the model begin with numbers."
        )
    _check_scopes(model)
    if all(_is_float32(layer) for layer in model._flatten_layers()):
        return model
    if has_own_code(model):  # its configuration may not be all of it
        return pickled.in_float32(model)
    return load_config(model, _in_float32(model.get_config()))


def computes_in_float64(model: Any) -> bool:
    """Return whether any layer computes in float64, which becomes float32 in every file.

    Inputs, and what only holds other layers, compute nothing: their policy is the global one.
    """
    import keras
    from keras.src.models.functional import Functional

    holding = (keras.layers.InputLayer, Functional, keras.Sequential)
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, holding)]
    policies = [getattr(layer, "dtype_policy", None) for layer in layers]
    return any("float64" in {p.compute_dtype, p.variable_dtype} for p in policies if p is not None)


def _check_scopes(model: Any) -> None:
    import keras

    for layer in model._flatten_layers(include_self=False):
        # An input is not called: it opens no scope.
        if not isinstance(layer, keras.layers.InputLayer) and _NOT_OF_SCOPES.search(layer.name):
            raise UsageError(
                f"Layer '{layer.name}' of model '{model.name}' has a name that TensorFlow does not "
                "take: call it by letters a to z, digits, '_', '-' and '.' (name=...)."
            )


def named_for_scopes(name: str) -> str:
    """Return a model's name as TensorFlow takes it for the scope that is around all others.

    Example:
        >>> named_for_scopes("digits-1.5"), named_for_scopes("my möbel"), named_for_scopes("_net")
        ('digits-1.5', 'my_m_bel', 'model_net')
    """
    taken = _NOT_OF_SCOPES.sub("_", name)
    return taken if re.match("[A-Za-z0-9.]", taken) else f"model{taken}"


def load_config(model: Any, config: dict[str, Any]) -> Any:
    """Return a model made anew from a changed configuration, with the weights of ``model``."""
    clone = type(model).from_config(config)
    clone.set_weights(model.get_weights())
    return clone


def named_inputs(model: Any) -> dict[str, Any]:
    """Return the symbolic inputs by the name they have in every format.

    A name is the key of a dictionary, with those of the dictionaries around it, or the name of
    the input's layer. One that formats cannot hold, or that another input has but for its case,
    is changed.

    Raises:
        UsageError: A model without symbolic inputs, or a name of which nothing is left.
    """
    if not getattr(model, "inputs", None):
        raise UsageError(
            f"Model '{model.name}' has no symbolic inputs. Build it from them: "
            "inputs = keras.Input(...); keras.Model(inputs, model(inputs))."
        )
    return _unique(model, "input", list(leaves(_struct(model, "_inputs_struct"))))


def raw_names(model: Any) -> list[str]:
    """Return what the model itself calls its inputs, in the order of :func:`named_inputs`."""
    return [name for name, _ in leaves(_struct(model, "_inputs_struct"))]


def named_outputs(model: Any) -> dict[str, Any]:
    """Return the symbolic outputs by name: keys of dictionaries, or the layers that make them.

    One that an input has too gets ``_output`` behind it.

    Raises:
        UsageError: A name of which nothing is left.
    """
    pairs = list(leaves(_struct(model, "_outputs_struct")))
    return _unique(model, "output", pairs, named_inputs(model))


def leaves(struct: Any) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested inputs or outputs with the names that their places give them.

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
        inputs: Names that :func:`named_inputs` found there, in the same order.
        outputs: Names that :func:`named_outputs` found there.
    """
    for struct, found, names in (
        ("_inputs_struct", named_inputs, inputs),
        ("_outputs_struct", named_outputs, outputs),
    ):
        paths = [path for path, _ in _paths(_struct(model, struct))]
        for path, (old, tensor), name in zip(paths, found(model).items(), names, strict=True):
            if old != name and not _has_key(path):
                history = tensor._keras_history
                history.operation.name = name.removesuffix(f"_{history.tensor_index}")


def call(model: Any, arrays: Mapping[str, Any], apply: Any = None) -> dict[str, Any]:
    """Call the model on named arrays, or tensors, and return its outputs by name.

    Args:
        model: A functional or sequential model.
        arrays: Values by the names of :func:`named_inputs`.
        apply: What to call with the inputs in the model's own structure, instead of the model.
    """
    inputs = in_structure(model, arrays)
    result = apply(inputs) if apply else model(inputs, training=False)
    values = _values(_struct(model, "_outputs_struct"), result)
    return dict(zip(named_outputs(model), values, strict=True))


def in_structure(model: Any, arrays: Mapping[str, Any]) -> Any:
    """Return named arrays, or tensors, in the structure that the model itself takes."""
    values = (arrays[name] for name in named_inputs(model))
    return _filled(_struct(model, "_inputs_struct"), values)


def up_to(model: Any, tensor: Any) -> Any:
    """Return the model from its inputs to one of its inner tensors; the layers are shared."""
    import keras

    return keras.Model(_struct(model, "_inputs_struct"), tensor)


def uses(model: Any, layer: Any) -> int:
    """Return how often a layer is called in the graph of a model."""
    depths = _struct(model, "_nodes_by_depth").values()
    return sum(node.operation is layer for nodes in depths for node in nodes)


def reference(model: Any, arrays: Arrays) -> dict[str, Array]:
    """Return what Keras itself computes, as NumPy arrays.

    It is what ``predict`` gives: see :func:`preparing_as_in_a_graph`.
    """
    import keras

    def run(part: Arrays) -> dict[str, Array]:
        tensors = {name: keras.ops.convert_to_tensor(x) for name, x in part.items()}
        with preparing_as_in_a_graph():
            outputs = call(model, tensors)
        return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}

    fixed = fixed_batch(model)
    if fixed is None:
        return joined([run(part) for part in batches(arrays, MAX_BATCH)])
    rows = len(next(iter(arrays.values())))
    found = joined([run(part) for part in split(arrays, [fixed])])
    return {name: array[:rows] for name, array in found.items()}


@contextmanager
def preparing_as_in_a_graph() -> Iterator[None]:
    """Let Keras' preprocessing layers do step by step what they do in a graph.

    In a graph, as in ``fit``, ``predict`` and every file, they bring what they are given to the
    dtype that they compute in: an image of whole numbers is resized in floats. Step by step Keras
    leaves that out, and rounds the resized image.
    """
    import keras
    from keras.src.layers.preprocessing.data_layer import DataLayer

    before = DataLayer.__call__

    def in_own_dtype(layer: Any, inputs: Any, **named: Any) -> Any:
        if not any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(inputs)):
            to_own = partial(keras.ops.convert_to_tensor, dtype=layer.compute_dtype)
            inputs = keras.tree.map_structure(to_own, inputs)
        return before(layer, inputs, **named)

    DataLayer.__call__ = in_own_dtype
    try:
        yield
    finally:
        DataLayer.__call__ = before


def fixed_batch(model: Any) -> int | None:
    """Return the only batch that a model takes, ``None`` where it takes any."""
    sizes = (tensor.shape[0] for tensor in named_inputs(model).values())
    return next((size for size in sizes if size is not None), None)


@contextmanager
def bits_moved(model: Any, generator: Any) -> Iterator[None]:
    """Let Keras compute with weights of which the last bit is another; they themselves stay."""
    with _with_weights(model, lambda array, *_: in_last_bit(generator, array)):
        yield


@contextmanager
def changed_weights(model: Any) -> Iterator[None]:
    """Let Keras compute with the weights of :func:`change_weights`; they themselves stay."""
    with _with_weights(model, changed):
        yield


def change_weights(model: Any) -> None:
    """Give a model weights with which every one of them matters, the same in every process."""
    import keras

    for at, variable in enumerate(model.variables):
        array = keras.ops.convert_to_numpy(variable)
        if array.dtype.kind == "f":
            variable.assign(changed(array, variable.path, at))


def changed(array: Array, path: str, seed: int) -> Array:
    """Return weights about as large as they are, and such as matter where they are zero.

    What is positive stays so. Heads, gammas and layer scales that begin at zero hide all that is
    before them, and zeros and ones hide that a converter leaves them out.

    Example:
        >>> bool(changed(np.zeros((4, 9), np.float32), "head/kernel", 0).std() > 0.1)
        True
        >>> bool((changed(np.ones(9, np.float32), "norm/moving_variance", 1) > 0).all())
        True
    """
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(array.shape)
    values = array * np.exp(0.1 * noise)
    if _is_idle(array, path):
        inputs = np.prod(array.shape[:-1]) if array.ndim > 1 else 10
        values = values + noise / np.sqrt(max(inputs, 1))
    elif not array.any() and "variance" not in path:
        values = values + 0.1 * noise
    return np.asarray(values, array.dtype)


def idle_weights(model: Any) -> list[str]:
    """Return the kernels, gammas and scales that are so near zero that nothing passes them."""
    import keras

    return [
        variable.path
        for variable in model.variables
        if _is_idle(keras.ops.convert_to_numpy(variable), variable.path)
    ]


def _is_idle(array: Array, path: str) -> bool:
    if array.dtype.kind != "f" or not array.size:
        return False
    name = path.rpartition("/")[2]
    adds = any(part in name for part in ("bias", "beta", "mean", "variance"))
    multiplies = array.ndim > 1 or any(part in name for part in ("gamma", "scale"))
    return multiplies and not adds and float(np.abs(array).max()) < _IDLE


def in_last_bit(generator: Any, array: Array) -> Array:
    """Return real numbers that are one bit off, up or down; whole ones are exact and stay."""
    if array.dtype.kind != "f":
        return array
    last = np.finfo(array.dtype).eps * generator.choice([-1, 1], array.shape)
    moved: Array = array * (1 + last).astype(array.dtype)
    return np.where(array == np.rint(array), array, moved)


@contextmanager
def _with_weights(model: Any, change: Callable[[Array, str, int], Array]) -> Iterator[None]:
    import keras

    mapping = []
    for at, variable in enumerate(model.variables):
        array = keras.ops.convert_to_numpy(variable)
        if array.dtype.kind == "f":
            value = keras.ops.convert_to_tensor(change(array, variable.path, at))
            mapping.append((variable, value))
    with keras.StatelessScope(state_mapping=mapping):
        yield


def clean(name: str) -> str:
    """Return a name with nothing in it that a format cannot hold.

    Example:
        >>> clean("tower-1/logits"), clean("größe")
        ('tower_1_logits', 'gr__e')
    """
    return re.sub(r"\W", "_", name, flags=re.ASCII)


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


def _quantized(layer: Any) -> bool:
    return getattr(layer, "quantization_mode", None) is not None


def _is_float32(layer: Any) -> bool:
    policy = getattr(layer, "dtype_policy", None)
    return policy is None or (
        _as_float32(policy.compute_dtype) == policy.compute_dtype
        and _as_float32(policy.variable_dtype) == policy.variable_dtype
    )


def _as_float32(dtype: str) -> str:
    return "float32" if dtype in {"float16", "bfloat16", "float64"} or "mixed" in dtype else dtype


def _in_float32(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            inner = {**config["config"], "name": _as_float32(config["config"]["name"])}
            return {**config, "config": inner}
        return {
            key: _as_float32(value)
            if key == "dtype" and isinstance(value, str)
            else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(item) for item in config)
    return config
