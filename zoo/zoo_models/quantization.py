"""Models that train as if they were int8 already, and the way back."""

from __future__ import annotations

from typing import Any

import keras

from zoo_models.calling import carried_over
from zoo_models.layers.fake_quantization import ActivationRange, QuantizedWeights
from zoo_registry import UsageError

_QUANTIZED = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# What LiteRT computes in integers only if it knows the limits of what goes in.
_RANGED = (keras.layers.Add, keras.layers.Concatenate, keras.layers.GlobalAveragePooling2D)
# What gives values that it was given: no limits of its own.
_PASSING = (
    *(keras.layers.Flatten, keras.layers.Reshape, keras.layers.MaxPooling2D),
    *(keras.layers.Dropout, keras.layers.ZeroPadding2D),
)
# Training gives larger values after it than there will ever be: the limits are those before.
_ENLARGING = (keras.layers.Dropout,)


def quantization_aware(model: keras.Model) -> Any:
    """Return a model on the same weights whose dense and convolutional layers round as int8 does.

    Args:
        model: A functional model; layers inside its layers are left as they are.

    Returns:
        A functional model with the same inputs and outputs. Training it moves the weights of
        ``model`` and finds the limits of activations, which exports to ``tflite:int8`` and
        ``tflite:int8-io`` take.

    Raises:
        UsageError: No such layer in it.

    Example:
        >>> import zoo
        >>> model = quantization_aware(zoo.get_model("lenet5"))
        >>> [layer.name for layer in model.layers][:3]
        ['image', 'rescale', 'rescale_range']
    """
    if not any(type(layer) in _QUANTIZED for layer in model.layers):
        raise UsageError(
            f"Model '{model.name}' has no Dense, Conv2D or DepthwiseConv2D among its layers that "
            "could be trained for int8."
        )
    return carried_over(model, _Rewriter(model).run())


def is_quantization_aware(model: Any) -> bool:
    """Return whether :func:`quantization_aware` made a model."""
    return any(isinstance(layer, QuantizedWeights) for layer in model._flatten_layers())


def without_fake_quantization(model: Any) -> Any:
    """Return the float model under :func:`quantization_aware`, on the same weights.

    A model that it did not make is returned itself.

    Example:
        >>> import zoo
        >>> model = zoo.get_model("lenet5")
        >>> back = without_fake_quantization(quantization_aware(model))
        >>> [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
        True
    """
    if not is_quantization_aware(model):
        return model

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, ActivationRange) else layer(*args, **kwargs)

    return keras.models.clone_model(
        model,
        clone_function=lambda layer: layer.layer if isinstance(layer, QuantizedWeights) else layer,
        call_function=call,
    )


class _Rewriter:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._outputs = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
        self._layers: dict[int, Any] = {}
        self._ranged: dict[int, Any] = {}

    def run(self) -> Any:
        return keras.models.clone_model(
            self._model, clone_function=self._clone, call_function=self._call
        )

    def _clone(self, layer: Any) -> Any:
        if type(layer) not in _QUANTIZED:
            return layer
        name = f"{layer.name}_quantized"
        return self._layers.setdefault(id(layer), QuantizedWeights(layer, name=name))

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, (QuantizedWeights, *_RANGED, *_ENLARGING)):
            args = keras.tree.map_structure(self._in_range, args)
        result = layer(*args, **kwargs)
        if isinstance(layer, QuantizedWeights) and self._is_output(layer.layer):
            # It stands for the layer: a model's outputs are called after their layers.
            return self._range(result, layer.layer.name)
        if isinstance(layer, _PASSING) and id(args[0]) in self._ranged:
            self._ranged[id(result)] = result
        return result

    def _is_output(self, layer: Any) -> bool:
        return any(id(tensor) in self._outputs for tensor in keras.tree.flatten(layer.output))

    def _in_range(self, tensor: Any) -> Any:
        if id(tensor) not in self._ranged:
            name = tensor._keras_history.operation.name.removesuffix("_quantized")
            self._range(tensor, f"{name}_range")
        return self._ranged[id(tensor)]

    def _range(self, tensor: Any, name: str) -> Any:
        ranged = ActivationRange(name=name)(tensor)
        # What is rounded already is not rounded again.
        self._ranged[id(tensor)] = self._ranged[id(ranged)] = ranged
        return ranged
