"""The model that is exported: in float32 for inference, and with perturbed weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.reading import pickled
from zoo_export.reading.model_code import has_own_code
from zoo_models.finetuning import merge_lora
from zoo_registry import UsageError
from zoo_runtime.tensors import Array

_LOOKUPS = {"IntegerLookup", "StringLookup", "TextVectorization", "Hashing", "HashedCrossing"}
# Layer scales begin at 1e-4 to 1e-6: what they let pass is beneath what files may differ.
_IDLE = 1e-3
_NOT_OF_SCOPES = re.compile(r"[^A-Za-z0-9_.\\/>-]")


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
    """Return a model built from a changed configuration, with the weights of ``model``."""
    clone = type(model).from_config(config)
    clone.set_weights(model.get_weights())
    return clone


@contextmanager
def bits_moved(model: Any, generator: Any) -> Iterator[None]:
    """Let Keras compute with weights of which the last bit is another; they themselves stay."""
    with _with_weights(model, lambda array, *_: in_last_bit(generator, array)):
        yield


@contextmanager
def perturbed_weights(model: Any) -> Iterator[None]:
    """Let Keras compute with the weights of :func:`perturb_weights`; they themselves stay."""
    with _with_weights(model, perturbed):
        yield


def perturb_weights(model: Any) -> None:
    """Give a model perturbed weights, the same in every process, so that all of them matter."""
    import keras

    for at, variable in enumerate(model.variables):
        array = keras.ops.convert_to_numpy(variable)
        if array.dtype.kind == "f":
            variable.assign(perturbed(array, variable.path, at))


def perturbed(array: Array, path: str, seed: int) -> Array:
    """Return perturbed weights: about as large as they are, and not zero where they are zero.

    What is positive stays so. Heads, gammas and layer scales that begin at zero hide all that is
    before them, and zeros and ones hide that a converter leaves them out.

    Example:
        >>> bool(perturbed(np.zeros((4, 9), np.float32), "head/kernel", 0).std() > 0.1)
        True
        >>> bool((perturbed(np.ones(9, np.float32), "norm/moving_variance", 1) > 0).all())
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
    """Return floats that are one bit off, up or down; integers are exact and stay."""
    if array.dtype.kind != "f":
        return array
    drawn = np.frombuffer(generator.bytes(-(-array.size // 8)), np.uint8)
    is_up = np.unpackbits(drawn, count=array.size).view(bool).reshape(array.shape)
    one, eps = array.dtype.type(1), np.finfo(array.dtype).eps
    moved: Array = np.empty_like(array)
    np.multiply(array, np.where(is_up, one + eps, one - eps), out=moved)
    np.copyto(moved, array, where=array == np.rint(array))
    return moved


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
