"""Changes of a model that is built: corrections added up, quantization faked and taken out again.

Keras itself is imported only where there is something to change.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from zoo_registry.specs import load_target

# The room that knows Keras: named here as the registries name their tables.
WITHOUT_WEIGHTS = "zoo_models.sizing.abstract:without_weights"
MERGE_LORA = "zoo_models.finetuning:merge_lora"
QUANTIZATION_AWARE = "zoo_models.quantization:quantization_aware"
WITH_SCALE = "zoo_models.regression:with_scale"
WITHOUT_FAKE_QUANTIZATION = "zoo_models.quantization:without_fake_quantization"


def without_weights() -> AbstractContextManager[None]:
    """Let models be built in a ``with`` whose variables have a shape and no value."""
    scope: AbstractContextManager[None] = load_target(WITHOUT_WEIGHTS)()
    return scope


def merge_lora(model: Any) -> Any:
    """Return ``model``, with corrections that ``trainable="lora:8"`` trained added up.

    Args:
        model: A functional ``keras.Model``.

    Returns:
        The model itself if it has no such corrections, else a new one of the plain
        architecture, all of it trainable, with the same outputs.
    """
    if any(getattr(layer, "lora_enabled", False) for layer in model._flatten_layers()):
        return load_target(MERGE_LORA)(model)
    return model


def with_scale(model: Any, mean: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return a model whose output is the logits of another, multiplied and moved.

    Args:
        model: A functional ``keras.Model`` with one output.
        mean: Of the targets.
        scale: Their standard deviation.
    """
    return load_target(WITH_SCALE)(model, mean, scale)


def quantization_aware(model: Any) -> Any:
    """Return a model on the same weights that trains as if it were int8.

    Args:
        model: A functional ``keras.Model``.

    Raises:
        UsageError: It has no dense or convolutional layers.
    """
    return load_target(QUANTIZATION_AWARE)(model)


def know_fake_quantization() -> None:
    """Make the layers of quantization-aware training known to Keras, which loads them by name."""
    load_target(QUANTIZATION_AWARE)


def is_quantization_aware(model: Any) -> bool:
    """Return whether :func:`quantization_aware` made a model."""
    layers = model._flatten_layers()
    return any(getattr(layer, "is_fake_quantization", False) for layer in layers)


def without_fake_quantization(model: Any) -> Any:
    """Return the float model, on the same weights, that :func:`quantization_aware` got."""
    if is_quantization_aware(model):
        return load_target(WITHOUT_FAKE_QUANTIZATION)(model)
    return model
