"""Models that Keras 2 saved, as ``.keras`` or ``.h5``, rebuilt of layers of Keras 3.

Keras 3 itself reads few of them: it has other modules, arguments and numbers of nodes. What has
no equal in it is refused by layer. Weights are taken in the order in which both versions have them
within a layer, and every one must be there in its shape.
"""

from __future__ import annotations

import inspect
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_system.errors import plain

_MODELS = {"Functional", "Model", "Sequential"}
_INPUT = "InputLayer"
_CONSTANT = "_CONSTANT_VALUE"
# Arguments that Keras 3 has not, and that have no effect where they have these values.
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "batch_input_shape": (),
    "fused": (),
    "groups": (1,),
    "implementation": (),
    "input_length": (),
    "key_shape": (),
    "query_shape": (),
    "value_shape": (),
    "softmax_robust_masking": (),
}
# Functions of the same name that are others in Keras 3.
_OTHERS = {"hard_sigmoid": "it is relu6(x + 3) / 6 there and clip(x / 5 + 1/2, 0, 1) in Keras 2"}
# Functions of TensorFlow between layers, and their arguments by the names of Keras 3.
_SAME = (
    "abs add cos exp log maximum minimum multiply negative sigmoid sin sqrt square subtract tanh"
)
_FUNCTIONS = {
    **{f"math.{name}": name for name in _SAME.split()},
    **{f"__operators__.{name}": name for name in ("add", "subtract", "multiply")},
    **{f"nn.{name}": name for name in ("relu", "relu6", "sigmoid", "silu", "softmax", "gelu")},
    **{f"math.reduce_{name}": name for name in ("max", "mean", "min", "sum")},
    "math.truediv": "true_divide",
    "math.divide": "divide",
    "math.pow": "power",
    "cast": "cast",
    "concat": "concatenate",
    "expand_dims": "expand_dims",
    "reshape": "reshape",
    "squeeze": "squeeze",
    "stack": "stack",
    "tile": "tile",
    "transpose": "transpose",
}
_ARGUMENTS = {
    "perm": "axes",
    "shape": "newshape",
    "b": "x2",
    "multiples": "repeats",
    "y": "x2",
}
# What is left out has this value in TensorFlow, and another in Keras.
_DEFAULTS = {"nn.gelu": {"approximate": False}}
_OLD_GROUPS = re.compile(r"\b_layer_checkpoint_dependencies\b")


def made_anew(config: Mapping[str, Any], what: str) -> Any:
    """Return the model of a configuration of Keras 2, with fresh weights.

    Args:
        config: Of a functional or sequential model, as Keras 2 writes it.
        what: The file, for messages.

    Raises:
        UsageError: A layer or argument that Keras 3 has not, by name.
    """
    if config.get("class_name") not in _MODELS:
        raise UsageError(
            f"{what} is a '{config.get('class_name')}', a custom class, which a file does not "
            "hold: build it with Keras 3, and export the model."
        )
    return _Maker(what).model(config)


def fill_from_layers(model: Any, groups: Any, what: str) -> None:
    """Give a model the weights of an ``.h5`` file, which has them by the names of layers.

    Args:
        model: From :func:`made_anew`.
        groups: The HDF5 group whose members are layers.
        what: The file, for messages.

    Raises:
        UsageError: Weights that are missing, left over or of another shape.
    """
    left = {name for name in groups if len(groups[name].attrs.get("weight_names", ()))}
    for layer in model.layers:
        wanted = [*layer.trainable_weights, *layer.non_trainable_weights]
        if not wanted:
            continue
        left.discard(layer.name)
        arrays = _arrays(groups, layer.name)
        if [array.shape for array in arrays] != [tuple(one.shape) for one in wanted]:
            raise UsageError(_misfit(what, layer, arrays, wanted))
        for variable, array in zip(wanted, arrays, strict=True):
            variable.assign(array)
    if left:
        raise UsageError(f"{what} holds weights of layers that its model has not: {sorted(left)}.")
    _finish(model)


def fill_from_groups(model: Any, file: Any, what: str) -> None:
    """Give a model the weights of a ``.keras`` file, which has them by kinds of layers.

    Args:
        model: From :func:`made_anew`.
        file: The open HDF5 file of the weights.
        what: The file, for messages.

    Raises:
        UsageError: Weights that are missing or of another number or shape.
    """
    import keras
    from keras.src.saving import saving_lib

    copy, count = _as_of_keras_3(file)
    wanted = [one for one in model.variables if not one.path.endswith("seed_generator_state")]
    if count != len(wanted):
        raise UsageError(
            f"{what} holds {count} arrays, and its model in Keras 3 has {len(wanted)} weights."
        )
    failed: set[int] = set()
    errors: dict[int, tuple[Any, Exception]] = {}
    store = saving_lib.H5IOStore(copy, mode="r")
    found = {"visited_saveables": set(), "failed_saveables": failed, "error_msgs": errors}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of containers, whose layers it finds elsewhere
            saving_lib._load_state(model, store, None, "", **found)
    finally:
        store.close()
    for owner, error in errors.values():
        # Of random numbers Keras 2 keeps nothing there.
        if not isinstance(owner, keras.random.SeedGenerator):
            named = f"layer '{owner.name}' of {what}" if hasattr(owner, "name") else what
            raise UsageError(f"The weights of {named} cannot be read: {plain(str(error))}")
    _finish(model)


class _Maker:
    def __init__(self, what: str) -> None:
        self._what = what

    def model(self, row: Mapping[str, Any]) -> Any:
        import keras

        config = row["config"]
        if row["class_name"] == "Sequential":
            return self._sequential(row)
        made: dict[tuple[str, int, int], Any] = {}
        layers = {each["name"]: each for each in config["layers"]}
        calls = list(self._calls(layers, made))
        while calls:
            # What is called on something that is not there yet comes later.
            waiting = [call for call in calls if not call(made)]
            if len(waiting) == len(calls):
                raise UsageError(f"{self._what} has a graph with loops or loose ends.")
            calls = waiting

        inputs, outputs = (
            _replaced(config[key], made) for key in ("input_layers", "output_layers")
        )
        return keras.Model(_single(inputs), _single(outputs), name=config["name"])

    def _sequential(self, row: Mapping[str, Any]) -> Any:
        import keras

        config = row["config"]
        rows = config["layers"] if isinstance(config, Mapping) else config
        name = config.get("name") if isinstance(config, Mapping) else None
        model = keras.Sequential(name=name)
        if rows and rows[0]["class_name"] != _INPUT:
            built = {**(row.get("build_config") or {})}.get("input_shape")
            shape = rows[0]["config"].get("batch_input_shape") or built
            shape = shape or config.get("build_input_shape")
            if shape is None:
                raise UsageError(f"{self._what} does not say what it takes: build it on inputs.")
            model.add(keras.Input(batch_shape=tuple(shape), dtype=_dtype_of(rows[0])))
        for each in rows:
            model.add(self._input(each) if each["class_name"] == _INPUT else self._layer(each))
        return model

    def _calls(
        self, layers: Mapping[str, Mapping[str, Any]], made: dict[tuple[str, int, int], Any]
    ) -> Iterator[Callable[[dict[tuple[str, int, int], Any]], bool]]:
        for name, row in layers.items():
            if row["class_name"] == _INPUT:
                made[name, 0, 0] = self._input(row)
                continue
            layer = self._callable(row)
            # A model begins with a node of its own, between its inputs and outputs.
            first = int(row["class_name"] in _MODELS)
            for index, node in enumerate(row["inbound_nodes"], first):
                yield self._call(layer, row, index, node)

    def _call(
        self, layer: Any, row: Mapping[str, Any], index: int, node: Any
    ) -> Callable[[dict[tuple[str, int, int], Any]], bool]:
        import keras

        def act(made: dict[tuple[str, int, int], Any]) -> bool:
            try:
                argument, named = _arguments_of(node, made)
            except KeyError:
                return False
            with _Naming(self, row):
                result = layer(argument, **named)
            for at, tensor in enumerate(keras.tree.flatten(result)):
                made[row["name"], index, at] = tensor
            return True

        return act

    def _callable(self, row: Mapping[str, Any]) -> Any:
        if row["class_name"] in _MODELS:
            return self.model(row)
        if row["class_name"] in {"TFOpLambda", "SlicingOpLambda", "ClassMethod"}:
            return self._function(row)
        return self._layer(row)

    def _function(self, row: Mapping[str, Any]) -> Callable[..., Any]:
        import keras

        name = str(row["config"].get("function"))
        found = getattr(keras.ops, _FUNCTIONS.get(name, ""), None)
        if found is None:
            raise self._refused(row, f"it calls TensorFlow's {name}, which is no layer")
        taken = inspect.signature(found).parameters

        def call(first: Any, **named: Any) -> Any:
            options = {_ARGUMENTS.get(k, k): v for k, v in named.items() if v is not None}
            foreign = [key for key, v in options.items() if key not in taken and v is not False]
            if foreign:
                raise ValueError(f"TensorFlow's {name} is called with {', '.join(foreign)}")
            known = {key: value for key, value in options.items() if key in taken}
            return found(first, **{**_DEFAULTS.get(name, {}), **known})

        return call

    def _input(self, row: Mapping[str, Any]) -> Any:
        import keras

        config = row["config"]
        if config.get("ragged") or config.get("sparse"):
            raise self._refused(row, "its input is ragged or sparse")
        shape = config.get("batch_input_shape") or config["batch_shape"]
        return keras.Input(batch_shape=tuple(shape), dtype=_dtype_of(row), name=config["name"])

    def _layer(self, row: Mapping[str, Any]) -> Any:
        import keras

        with _Naming(self, row):
            return keras.saving.deserialize_keras_object(self._object(row), safe_mode=True)

    def _object(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what describes a layer to Keras 3."""
        import keras

        kind = str(row["class_name"])
        found = getattr(keras.layers, kind, None)
        if found is None:
            raise self._refused(row, f"Keras 3 has no layer {kind}")
        config = {
            key: self._value(row, key, value)
            for key, value in row["config"].items()
            if self._is_taken(row, found, key, value)
        }
        if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
            (config["axis"],) = config["axis"]
        return {
            "module": "keras.layers",
            "class_name": kind,
            "config": config,
            "registered_name": None,
        }

    def _is_taken(self, row: Mapping[str, Any], kind: type, key: str, value: Any) -> bool:
        known = {name for base in kind.__mro__ for name in _parameters(base)}
        if key in known or (key == "alpha" and "negative_slope" in known):
            return True
        harmless = _HARMLESS.get(key, (None, False))
        if harmless and value not in harmless:
            raise self._refused(row, f"Keras 3 has no {key}={value!r}")
        return False

    def _value(self, row: Mapping[str, Any], key: str, value: Any) -> Any:
        if isinstance(value, str) and value in _OTHERS and "activation" in key:
            raise self._refused(row, f"its {key}='{value}' is another in Keras 3: {_OTHERS[value]}")
        if isinstance(value, list):
            return [self._value(row, key, each) for each in value]
        if not isinstance(value, Mapping) or "class_name" not in value:
            return value
        if "Policy" in value["class_name"]:
            return value["config"]["name"]
        if key in {"layer", "backward_layer", "forward_layer", "cell", "cells"}:
            return self._object(value)
        return {"module": _module_of(value), "registered_name": None, **value}

    def _refused(self, row: Mapping[str, Any], why: str) -> UsageError:
        name = row["config"].get("name") or row.get("name")
        return UsageError(
            f"{self._what} was written by Keras 2, and its layer '{name}' ({row['class_name']}) "
            f"cannot be made of Keras 3: {why}. Build the model with layers of Keras 3 instead."
        )


class _Naming:
    """Put the name of a layer before what Keras raises."""

    def __init__(self, maker: _Maker, row: Mapping[str, Any]) -> None:
        self._maker, self._row = maker, row

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, UsageError):
            cause = " ".join(plain(str(error)).split())
            raise self._maker._refused(self._row, f"{type(error).__name__}: {cause}") from error


def _parameters(kind: type) -> Sequence[str]:
    return [*inspect.signature(vars(kind).get("__init__", object.__init__)).parameters]


def _module_of(value: Mapping[str, Any]) -> str:
    import keras

    homes = (keras.initializers, keras.regularizers, keras.constraints, keras.layers)
    home = next((home for home in homes if hasattr(home, value["class_name"])), keras.initializers)
    return str(home.__name__)


def _dtype_of(row: Mapping[str, Any]) -> Any:
    if row["class_name"] != _INPUT:
        return "int32" if row["class_name"] == "Embedding" else "float32"
    return row["config"].get("dtype")


def _arguments_of(node: Any, made: Mapping[tuple[str, int, int], Any]) -> tuple[Any, Any]:
    """Return the first argument of a call and those by name.

    Raises:
        KeyError: A tensor that is not made yet.
    """
    if isinstance(node, Mapping):
        return {key: _entry(each, made)[0] for key, each in node.items()}, {}
    if node and isinstance(node[0], str):
        return _entry(node, made)
    parts = [_entry(each, made) for each in node]
    return _single([part for part, _ in parts]), parts[0][1] if parts else {}


def _entry(entry: Sequence[Any], made: Mapping[tuple[str, int, int], Any]) -> tuple[Any, Any]:
    name, index, at, *rest = entry
    named = {key: _replaced(value, made) for key, value in (rest[0] if rest else {}).items()}
    return (at if name == _CONSTANT else made[name, index, at]), named


def _replaced(struct: Any, made: Mapping[tuple[str, int, int], Any]) -> Any:
    if isinstance(struct, Mapping):
        return {key: _replaced(part, made) for key, part in struct.items()}
    if not isinstance(struct, list):
        return struct
    if len(struct) == 3 and isinstance(struct[0], str) and isinstance(struct[1], int):
        return struct[2] if struct[0] == _CONSTANT else made[(struct[0], struct[1], struct[2])]
    return [_replaced(part, made) for part in struct]


def _single(parts: Any) -> Any:
    return parts[0] if isinstance(parts, list) and len(parts) == 1 else parts


def _arrays(groups: Any, name: str) -> list[Any]:
    group = groups.get(name)
    if group is None:
        return []
    names = [
        each.decode() if isinstance(each, bytes) else each for each in group.attrs["weight_names"]
    ]
    return [_whole(group[each], groups.file.filename) for each in names]


def _whole(dataset: Any, file: str) -> Any:
    # What lies in another file would be read from wherever the link points.
    if dataset.external or dataset.is_virtual or dataset.file.filename != file:
        raise UsageError(f"'{file}': {dataset.name} is not an array of this file.")
    return np.asarray(dataset)


def _misfit(what: str, layer: Any, arrays: Sequence[Any], wanted: Sequence[Any]) -> str:
    return (
        f"{what} holds arrays of shapes {[array.shape for array in arrays]} for its layer "
        f"'{layer.name}', which in Keras 3 has {[tuple(one.shape) for one in wanted]}."
    )


def _as_of_keras_3(file: Any) -> tuple[io.BytesIO, int]:
    """Return a copy of a file's weights in the groups that Keras 3 looks for, and how many."""
    import h5py

    copy, names = io.BytesIO(), []
    with h5py.File(copy, "w") as target:

        def visit(path: str, item: Any) -> None:
            name = _OLD_GROUPS.sub("layers", path)
            if isinstance(item, h5py.Dataset) and name.startswith("layers/"):
                target.create_dataset(name, data=_whole(item, file.filename))
                names.append(name)

        file.visititems(visit)
    copy.seek(0)
    return copy, len(names)


def _finish(model: Any) -> None:
    import keras

    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # its constants follow from its variables
