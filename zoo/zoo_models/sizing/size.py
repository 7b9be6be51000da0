"""What a model costs to hold, to run and to train."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import zoo_registry
from zoo_models.build import check_backend
from zoo_models.calling import load_builder
from zoo_registry import ModelSpec, UsageError
from zoo_system.untouched import untouched

TOKENS, PIXELS = 128, 224
BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Of a weight in training: itself, its gradient and Adam's two moments, all float32.
TRAINED_BYTES = 16


@dataclass(frozen=True)
class Size:
    """Figures of one model at one size of input; bytes are those of float32.

    Args:
        name: Of the model.
        task: Its head.
        inputs: Shapes by name, batch first.
        num_params: Trainable parameters.
        macs: Multiply-adds of the whole batch.
        result_bytes: Of all results of one pass.
        peak_bytes: Of the results that are held at once in inference.
        cache_bytes: Of all keys and values of every step, which generation keeps; 0 without.
        weight_bytes: Of all variables.
    """

    name: str
    task: str
    inputs: Mapping[str, tuple[int, ...]]
    num_params: int
    macs: int
    result_bytes: int
    peak_bytes: int
    cache_bytes: int
    weight_bytes: int

    def weights(self, dtype: str = "float32") -> int:
        """Return the bytes of the weights: the size of an exported file, nearly."""
        return self.weight_bytes * BYTES[dtype] // 4

    def inference(self, dtype: str = "float32") -> int:
        """Return the bytes that a pass needs: weights and the results held at once.

        With ``int8`` weights the results stay float32, as after dynamic quantization.
        """
        share = 4 if dtype == "int8" else BYTES[dtype]
        return self.weights(dtype) + self.peak_bytes * share // 4

    def training(self, dtype: str = "float32") -> int | None:
        """Return the bytes that a step of Adam needs, or ``None`` for ``int8``.

        Weights, gradients and moments are float32; ``float16`` means mixed precision.
        """
        if dtype == "int8":
            return None
        return self.num_params * TRAINED_BYTES + self.result_bytes * BYTES[dtype] // 4

    def cache(self, dtype: str = "float32") -> int:
        """Return the bytes of the key/value cache."""
        return self.cache_bytes * BYTES[dtype] // 4


@untouched()
def size(
    name: str | ModelSpec,
    *,
    task: str | None = None,
    batch: int = 1,
    sequence_length: int = TOKENS,
    image_size: int | None = None,
    **overrides: Any,
) -> Size:
    """Return what a model costs; no weight is allocated.

    Args:
        name: A registered name, or a spec.
        task: The head; the first one by default.
        batch: Examples.
        sequence_length: Tokens or steps of models that take any number.
        image_size: Height and width in pixels; the model's own by default.
        overrides: Arguments of the builder.

    Raises:
        UnknownNameError: No such model.
        UsageError: A size or override that the model does not take.

    Example:
        >>> bert = size("bert-base", sequence_length=128)
        >>> bert.num_params, round(bert.macs / 1e9, 1), round(bert.weights("int8") / 1e6)
        (109482240, 11.2, 109)
    """
    check_backend()
    from zoo_models.sizing.abstract import abstract_model, trace
    from zoo_models.sizing.counting import most_at_once, multiply_adds, results

    spec = zoo_registry.models.get(name) if isinstance(name, str) else name
    _check_positive(spec, batch=batch, sequence_length=sequence_length, image_size=image_size)
    if image_size is not None:
        overrides["input_shape"] = image_shape(spec, image_size, image_size)
    _check_length(spec, sequence_length, overrides)
    model = abstract_model(spec, task, **overrides)
    shapes = {
        tensor.name: (batch, *_filled(tensor.shape[1:], sequence_length, image_size or PIXELS))
        for tensor in model.inputs
    }
    outputs = trace(model, shapes)
    chosen = str(model.zoo_spec.defaults.get("task", ""))
    return Size(
        name=spec.name,
        task=chosen,
        inputs=shapes,
        num_params=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        macs=multiply_adds(outputs),
        result_bytes=results(outputs),
        peak_bytes=most_at_once(outputs),
        cache_bytes=4 * batch * _cached(model, chosen, shapes),
        weight_bytes=4 * sum(math.prod(weight.shape) for weight in model.weights),
    )


def _filled(shape: tuple[int | None, ...], steps: int, pixels: int) -> Iterator[int]:
    # What has no size of its own: both sides of an image, else the steps of a sequence.
    return ((pixels if len(shape) == 3 else steps) if s is None else s for s in shape)


def _cached(model: Any, task: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many numbers generation keeps an example: a key and a value a step and layer."""
    if task not in {"causal-lm", "seq2seq"}:
        return 0
    steps = next(shape[1] for key, shape in shapes.items() if key.endswith("token_ids"))
    layers = [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "num_kv_heads") and not layer.path.startswith("encoder")
    ]
    return sum(2 * steps * layer.num_kv_heads * layer.head_dim for layer in layers)


def image_shape(spec: ModelSpec, height: int, width: int) -> tuple[int, int, int]:
    """Return the ``input_shape`` that builds a model for images of a size.

    Raises:
        UsageError: It takes no images, or only those of its own size.

    Example:
        >>> image_shape(zoo_registry.models.get("lenet5"), 32, 48)
        (32, 48, 1)
    """
    image = next((tensor for tensor in spec.inputs if len(tensor.shape) == 3), None)
    if image is None or "input_shape" not in inspect.signature(load_builder(spec)).parameters:
        taken = ", ".join(map(str, spec.inputs)) or "something else"
        raise UsageError(f"Model '{spec.name}' takes no image of another size: {taken}.")
    return (height, width, int(image.shape[-1] or 3))


def _check_length(spec: ModelSpec, length: int, overrides: Mapping[str, Any]) -> None:
    parameters = inspect.signature(load_builder(spec)).parameters
    default = parameters["max_length"].default if "max_length" in parameters else None
    longest = {"max_length": default, **spec.defaults, **overrides}["max_length"]
    if isinstance(longest, int) and length > longest:
        raise UsageError(
            f"Model '{spec.name}' has positions for {longest} tokens, not {length}: choose a "
            f"shorter sequence, or max_length={length}."
        )


def _check_positive(spec: ModelSpec, **sizes: int | None) -> None:
    for key, value in sizes.items():
        if value is not None and value < 1:
            raise UsageError(f"Model '{spec.name}': {key}={value} must be 1 or more.")
