"""Models that Keras saved: our layers in them known to it, and run as an exported file is."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

import zoo_registry
from zoo_models.memory import check_file_memory
from zoo_registry import ZooError
from zoo_runtime.run_info import RunInfo
from zoo_runtime.running import Runner
from zoo_runtime.tensors import BATCH, Array, Arrays, Tensor
from zoo_system.durable import sha256
from zoo_system.folders import INFO, MODEL


def load_saved(path: Any, *, compiled: bool = False) -> Any:
    """Load a ``.keras`` file in Keras' safe mode.

    Keras finds layers by the names that they are registered by, such as ``kerazoo>Attention``,
    wherever their modules were when the file was saved.

    Args:
        path: The file.
        compiled: Whether the model is compiled as it was; for inference it need not be.
    """
    import keras

    importlib.import_module("zoo_models.layers")
    return keras.saving.load_model(path, compile=compiled, safe_mode=True)


def builder_module(model: str) -> str | None:
    """Return the module that builds a model of a run, if its name is known here.

    Example:
        >>> builder_module("lenet5")
        'zoo_models.builders.lenet'
    """
    if model not in zoo_registry.models:
        return None
    return zoo_registry.models.get(model).target.partition(":")[0]


def load_run_model(folder: Path, info: RunInfo) -> Any:
    """Load the trained ``keras.Model`` of a run.

    Args:
        folder: Of the run.
        info: What it says of itself.

    Raises:
        UsageError: Its weights are larger than the free memory.
        ZooError: The file is missing, damaged, or not the one that training left.
    """
    path = folder / MODEL
    if path.is_file() and info.model.sha256 not in {None, sha256(path)}:
        raise ZooError(f"'{path}' was changed: its sha256 is not the one in {INFO}.")
    check_file_memory(path)
    builder = builder_module(info.model.name)
    if builder is not None:  # what it registers is then known to Keras
        importlib.import_module(builder)
    try:
        return load_saved(path)
    except Exception as error:  # zip, HDF5, JSON and Keras each raise their own
        unknown = "" if builder else f" Nothing here builds its model '{info.model.name}'."
        raise ZooError(f"'{path}' cannot be loaded: {error}{unknown}") from error


def use_xla(wanted: Literal["auto"] | bool) -> Literal["auto"] | bool:
    """Return the ``jit_compile`` that ``keras.Model.compile`` is given.

    ``auto`` leaves it to Keras on a GPU. Without one Keras would use XLA too, and it is slower
    there: see ``benchmarks/training_speed.py``.
    """
    import tensorflow as tf

    return wanted if wanted != "auto" or tf.config.list_physical_devices("GPU") else False


def keras_runner(model: Any, task: str | None = None) -> Runner:
    """Return a Keras model as what an exported file of it is when it is loaded.

    Args:
        model: A functional model; it is compiled anew, but for language models.
        task: Its head. On a CPU the graph of a GPT takes twelve times as long as its layers one
            by one; that of other models is faster.

    Example:
        >>> import keras
        >>> x = keras.Input((4,), name="x")
        >>> runner = keras_runner(keras.Model(x, keras.layers.Dense(3, name="logits")(x)))
        >>> str(runner.inputs[0]), runner.run({"x": np.ones((2, 4))})["logits"].shape
        ('x: float32[batch, 4]', (2, 3))
    """
    eager = task == "causal-lm"
    if not eager:
        model.compile(jit_compile=use_xla("auto"))
    inputs, outputs = tensors_of(model)
    # Keras takes NaN, whatever it makes of it.
    names = [tensor.name for tensor in inputs]
    return Runner(_Session(model, eager), inputs, outputs, nan_inputs=names)


def tensors_of(model: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return what a functional model takes and gives."""
    inputs = ((tensor.name, tensor) for tensor in model.inputs)
    return [*_tensors(inputs)], [*_tensors(by_name(model, model.output).items())]


class _Session:
    def __init__(self, model: Any, eager: bool) -> None:
        self._model = model
        self._eager = eager

    def run(self, arrays: Arrays) -> dict[str, Array]:
        given = fed(self._model, arrays)
        made = (
            self._model(given, training=False)
            if self._eager
            else self._model.predict_on_batch(given)
        )
        return {name: _array(output) for name, output in by_name(self._model, made).items()}


def fed(model: Any, inputs: Arrays) -> Any:
    """Return inputs by name in the structure that a functional model was built with."""
    structure = model.input
    if isinstance(structure, dict):
        return inputs
    arrays = [inputs[tensor.name] for tensor in model.inputs]
    return arrays if isinstance(structure, list | tuple) else arrays[0]


def by_name(model: Any, made: Any) -> Mapping[str, Any]:
    """Return what a functional model gave by the names of its outputs."""
    if isinstance(made, dict):
        return made
    outputs = made if isinstance(made, list | tuple) else [made]
    return dict(zip(model.output_names, outputs, strict=True))


def _tensors(named: Iterable[tuple[str, Any]]) -> Iterator[Tensor]:
    for name, tensor in named:
        # What is known only when data are there need not be the same in two tensors.
        sizes = (size or f"{name}_{axis}" for axis, size in enumerate(tensor.shape[1:], 1))
        yield Tensor(name, str(tensor.dtype), (BATCH, *sizes))


def _array(output: Any) -> Array:
    array = np.asarray(output)
    # NumPy itself has no such dtype.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
