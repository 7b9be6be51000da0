"""Models that Keras saved: our layers in them known to it, and run as an exported file is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from zoo_runtime.running import Runner
from zoo_runtime.tensors import BATCH, Array, Arrays, Tensor


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


def keras_runner(model: Any, *, eager: bool = False, jit_compile: Any = False) -> Runner:
    """Return a Keras model as what an exported file of it is when it is loaded.

    Args:
        model: A functional model; it is compiled anew.
        eager: Whether its layers are run one by one. On a CPU the graph of a GPT takes twelve
            times as long; that of other models is faster.
        jit_compile: XLA or not, as Keras takes it.

    Example:
        >>> import keras
        >>> x = keras.Input((4,), name="x")
        >>> runner = keras_runner(keras.Model(x, keras.layers.Dense(3, name="logits")(x)))
        >>> str(runner.inputs[0]), runner.run({"x": np.ones((2, 4))})["logits"].shape
        ('x: float32[batch, 4]', (2, 3))
    """
    if not eager:
        model.compile(jit_compile=jit_compile)
    inputs = list(_tensors((tensor.name, tensor) for tensor in model.inputs))
    outputs = list(_tensors(_named_outputs(model)))
    names = [tensor.name for tensor in inputs]
    return Runner(_Session(model, eager), inputs, outputs, nan_inputs=names)


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


def _named_outputs(model: Any) -> Iterator[tuple[str, Any]]:
    yield from by_name(model, model.output).items()


def _tensors(named: Iterator[tuple[str, Any]]) -> Iterator[Tensor]:
    for name, tensor in named:
        # What is known only when data are there need not be the same in two tensors.
        sizes = (size or f"{name}_{axis}" for axis, size in enumerate(tensor.shape[1:], 1))
        yield Tensor(name, str(tensor.dtype), (BATCH, *sizes))


def _array(output: Any) -> Array:
    array = np.asarray(output)
    # NumPy itself has no such numbers.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
