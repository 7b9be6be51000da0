"""A Keras model as another process gets it whole: the objects themselves, with their code.

Keras saves what a model was made from, and rebuilds it. That leaves out whatever custom classes do
not put into ``get_config``, and needs code that can be imported. Here the objects
are pickled as they are: a class, function or lambda that another process can import goes by its
name, any other (of the running script, of a notebook, made inside of a function) with its code.

Layers, variables and the nodes of the graph hold each other. Each is written once, by a number,
and what it holds after that: however deep a model is, nothing here is.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import cloudpickle
import numpy as np

from zoo_registry import UsageError

# Keras wraps these methods for each object; the class has them.
_WRAPPED = ("build", "quantize")
# What training leaves in a model, and what it is afterwards.
_AFTER_TRAINING: Mapping[str, Any] = {
    "compiled": False,
    "optimizer": None,
    "train_function": None,
    "test_function": None,
    "predict_function": None,
    "_compile_loss": None,
    "_compile_metrics": None,
    "_compile_config": None,
    "_loss_tracker": None,
    "_distribute_strategy": None,
    "_tracked": [],
}
_WIDE = "float32"
_FLOATS = {"float16", "bfloat16", "float64"}
# TensorFlow's notes for its checkpoints.
_OF_TENSORFLOW = "_self_"


def save(model: Any, path: Path) -> None:
    """Write a model with its weights and its code.

    Args:
        model: Any ``keras.Model`` that is built.
        path: The file.

    Raises:
        UsageError: It holds something that cannot leave this process, such as an open file.
    """
    with path.open("wb") as file:
        write(model, file)


def write(model: Any, file: IO[bytes]) -> None:
    """Do as :func:`save` with an open file."""
    with _by_value(model):
        pickler = _Pickler(file)
        try:
            pickler.write(model)
        except OSError:
            raise
        except Exception as error:  # each object has its own way to refuse
            raise UsageError(
                f"Model '{model.name}' cannot go to the process that converts it, for what "
                f"'{pickler.at}' holds cannot be pickled: {type(error).__name__}: {error}"
            ) from error


def load(path: Path) -> Any:
    """Return the model that :func:`save` wrote; whatever code is in the file runs."""
    with path.open("rb") as file:
        return _Unpickler(file).read()[0]


def in_float32(model: Any) -> Any:
    """Return a copy of a model that computes, and holds its variables, in float32.

    Args:
        model: One with layers in float16, bfloat16, float64 or mixed precision.
    """
    import keras

    file = io.BytesIO()
    write(model, file)
    file.seek(0)
    objects = _Unpickler(file).read()
    for one in objects:
        if isinstance(one, keras.Variable | keras.KerasTensor) and one._dtype in _FLOATS:
            one._dtype = _WIDE
        if isinstance(one, keras.Variable) and one._value is not None:
            value = np.asarray(one._value)
            wide = value.astype(one._dtype) if value.dtype.name in _FLOATS else value
            one._value = _variable(one, wide)
        policy = getattr(one, "_dtype_policy", None)
        if policy is not None and _FLOATS & {policy.compute_dtype, policy.variable_dtype}:
            one._dtype_policy = keras.DTypePolicy(_WIDE)
    return objects[0]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.at: str | None = None
        self._kinds = _numbered_kinds()
        self._numbers: dict[int, int] = {}
        self._waiting: list[Any] = []

    def write(self, model: Any) -> None:
        self.persistent_id(model)
        for one in self._waiting:  # it grows on the way
            self.at = getattr(one, "path", None) or getattr(one, "name", None) or self.at
            self.dump((type(one), _state(one)))
        self.dump(None)

    def persistent_id(self, one: Any) -> int | None:
        if not isinstance(one, self._kinds):
            return None
        if id(one) not in self._numbers:
            self._numbers[id(one)] = len(self._waiting)
            self._waiting.append(one)
        return self._numbers[id(one)]

    def reducer_override(self, one: Any) -> Any:
        from keras.src.utils import tracking
        from keras.src.utils.backend_utils import DynamicBackend

        if isinstance(one, DynamicBackend):  # it looks for whatever it does not hold yet
            return type(one), (one.name,)
        if isinstance(one, tracking.Tracker):
            addresses: dict[str, set[int]] = {name: set() for name in one.config}
            return object.__new__, (type(one),), {**vars(one), "stored_ids": addresses}
        if isinstance(one, tracking.TrackedList):
            return type(one), (), vars(one), iter(one)
        if isinstance(one, tracking.TrackedDict | tracking.TrackedOrderedDict):
            return type(one), (), vars(one), None, iter(one.items())
        if isinstance(one, tracking.TrackedSet):
            return type(one), (list(one),), vars(one)
        return super().reducer_override(one)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._found: dict[int, Any] = {}

    def read(self) -> list[Any]:
        number = 0
        while (one := self.load()) is not None:
            kind, state = one
            self._filled(self.persistent_load(number), kind, state)
            number += 1
        found = [self._found[index] for index in range(number)]
        for one in found:
            _know_again(one)
        return found

    def persistent_load(self, number: int) -> Any:
        # Empty, and of no kind yet: what it holds comes later.
        if number not in self._found:
            self._found[number] = object.__new__(_Empty)
        return self._found[number]

    def _filled(self, one: Any, kind: type, state: dict[str, Any]) -> None:
        object.__setattr__(one, "__class__", kind)
        vars(one).update(state)


class _Empty:
    pass


def _numbered_kinds() -> tuple[type, ...]:
    import keras
    from keras.src.ops.node import Node
    from keras.src.saving.keras_saveable import KerasSaveable

    return KerasSaveable, keras.KerasTensor, keras.Variable, Node


def _state(one: Any) -> dict[str, Any]:
    import keras

    state = {key: value for key, value in vars(one).items() if not key.startswith(_OF_TENSORFLOW)}
    for name in _WRAPPED:
        if hasattr(type(one), name):
            state.pop(name, None)
    state |= {key: value for key, value in _AFTER_TRAINING.items() if key in state}
    if isinstance(one, keras.Variable) and one._value is not None:
        state["_value"] = np.asarray(one._value)
    return state


def _know_again(one: Any) -> None:
    """Complete what was read: TensorFlow's variables, and what is identified by its address."""
    import keras

    if isinstance(one, keras.Variable) and one._value is not None:
        one._value = _variable(one, one._value)
    tracker = getattr(one, "_tracker", None)
    if tracker is not None:
        for name, (_, kept) in tracker.config.items():
            tracker.stored_ids[name] = {id(value) for value in kept}


def _variable(one: Any, value: Any) -> Any:
    import tensorflow as tf

    return tf.Variable(value, trainable=one.trainable, name=one.name)


@contextmanager
def _by_value(model: Any) -> Iterator[None]:
    # Of a module that was made by hand, or loaded from a place that is not searched for others.
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    hidden = [sys.modules[name] for name in modules & sys.modules.keys() if not _is_found(name)]
    with ExitStack() as stack:
        for module in hidden:
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _is_found(module: str) -> bool:
    top = module.partition(".")[0]
    finders = [find for finder in sys.meta_path if (find := getattr(finder, "find_spec", None))]
    return top == "__main__" or any(find(top, None) is not None for find in finders)
