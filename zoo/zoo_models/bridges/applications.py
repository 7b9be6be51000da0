"""The models of ``keras.applications``, with what their pixels go through inside the graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import keras
from keras import ops

from zoo_models.layers import scaled_channels
from zoo_registry import UsageError
from zoo_system import fetching

IMAGENET_CLASSES = 1000
# What each module's `preprocess_input` does; the modules that are not named do it in the model.
PIXELS = {
    **dict.fromkeys(("resnet", "vgg16", "vgg19"), "caffe"),
    **dict.fromkeys(("resnet_v2", "inception_v3", "inception_resnet_v2", "xception"), "tf"),
    **dict.fromkeys(("mobilenet", "mobilenet_v2", "nasnet"), "tf"),
    "densenet": "torch",
}
BLUE_GREEN_RED_MEAN = (103.939, 116.779, 123.68)
MEAN, STDDEV = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def application(
    *,
    architecture: str,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = IMAGENET_CLASSES,
    task: Literal["image-classification", "features"] = "image-classification",
    weights: str | Path | None = None,
) -> keras.Model:
    """Build a model of ``keras.applications`` (https://keras.io/api/applications).

    Args:
        architecture: Its name there, such as ``"ResNet50V2"``.
        input_shape: Height, width and 3.
        num_classes: Size of the logits. With pretrained weights and another number than 1,000
            the head is new: global average and one dense layer.
        task: ``"image-classification"`` or ``"features"``.
        weights: ``"pretrained"`` (downloaded and cached by Keras), a file of such weights, or
            ``None``.

    Returns:
        A model of ``image`` float32 (batch, height, width, 3) in 0..255, as all ours are: what
        ``preprocess_input`` does is part of it. It gives ``logits`` (batch, num_classes), or
        ``feature_map`` (batch, height, width, channels).

    Raises:
        UsageError: Keras refuses the shape or the weights.

    Example:
        >>> import zoo
        >>> zoo.get_model("keras/mobilenet", num_classes=10, input_shape=(32, 32, 3)).count_params()
        3239114
    """
    make = getattr(keras.applications, architecture)
    module = make.__module__.rpartition(".")[2]
    image = keras.Input(input_shape, name="image")
    x = _pixels(image, PIXELS.get(module, "inside"))
    loaded = "imagenet" if weights == "pretrained" else weights
    if loaded == "imagenet":
        fetching.check(f"weights='pretrained' of keras.applications.{architecture}")
    own_head = loaded is None or num_classes == IMAGENET_CLASSES
    whole = task == "image-classification" and own_head
    arguments: dict[str, Any] = {"input_tensor": x, "weights": loaded, "include_top": whole}
    if whole:
        arguments |= {"classes": num_classes, "classifier_activation": None}
    try:
        with channels_last():
            backbone = make(**arguments)
    except ValueError as error:
        raise UsageError(f"keras.applications.{architecture} refuses: {error}") from error
    if task == "features":
        outputs = keras.layers.Identity(name="feature_map")(backbone.output)
    elif whole:
        # MobileNet has a convolution of that name inside.
        taken = any(operation.name == "logits" for operation in backbone.operations)
        name = "class_logits" if taken else "logits"
        outputs = keras.layers.Identity(name=name)(backbone.output)
    else:
        warnings.warn(f"The head of '{architecture}' starts fresh.", UserWarning, stacklevel=2)
        pooled = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="pool")(
            backbone.output
        )
        outputs = keras.layers.Dense(num_classes, name="logits")(pooled)
    return keras.Model(image, outputs, name=architecture.lower())


@contextmanager
def channels_last() -> Iterator[None]:
    """Have Keras build models of (batch, height, width, channels), whatever its settings say."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def _pixels(image: Any, how: str) -> Any:
    if how == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="pixels")(image)
    if how == "torch":
        scale = [1 / (255 * stddev) for stddev in STDDEV]
        offset = [-mean / stddev for mean, stddev in zip(MEAN, STDDEV, strict=True)]
        return scaled_channels(image, scale, offset, name="pixels")
    if how == "caffe":
        red, green, blue = ops.split(image, 3, axis=-1)
        swapped = ops.concatenate([blue, green, red], axis=-1)
        offset = [-mean for mean in BLUE_GREEN_RED_MEAN]
        return scaled_channels(swapped, [1.0, 1.0, 1.0], offset, name="pixels")
    return image
