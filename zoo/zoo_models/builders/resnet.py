r"""ResNet for large images.

A block adds to its input what two or three convolutions make of it, ``y = relu(x + F(x))``, so
that gradients reach every depth. ``basic``: 3x3, 3x3 of C channels. ``bottleneck``: 1x1 to C, 3x3,
1x1 to 4C. Where shapes change, the input goes through a 1x1 convolution (option B). Image
(H, W) -> stem 7x7, stride 2, and max-pooling 3x3, stride 2: (H/4, W/4, 64) -> four stages of C =
64, 128, 256, 512 at strides 4, 8, 16, 32 -> mean over height and width -> logits.

Paper: https://arxiv.org/abs/1512.03385. Difference: a bottleneck's stride is in its 3x3
convolution, as in torchvision and in the weights of microsoft/resnet-50 ("v1.5"), not in its
first 1x1; ``downsample_in_bottleneck=True`` is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras

from zoo_models.layers import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_task,
    conv_norm,
    image_head,
    normalized_image_input,
)
from zoo_registry import UsageError

Task = Literal["image-classification", "features"]
EXPANSION = 4


def resnet(
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_blocks: tuple[int, ...] = (3, 4, 6, 3),
    bottleneck: bool = True,
    filters: tuple[int, ...] = (64, 128, 256, 512),
    stem_filters: int = 64,
    downsample_in_bottleneck: bool = False,
    num_classes: int = 1000,
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.0,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    task: Task = "image-classification",
    name: str = "resnet",
) -> keras.Model:
    """Build a ResNet (https://arxiv.org/abs/1512.03385); the defaults are ResNet-50.

    Args:
        input_shape: Height, width and channels; height and width may be ``None``.
        num_blocks: Blocks of each stage.
        bottleneck: Whether blocks have three convolutions, 1x1, 3x3, 1x1, or two of 3x3.
        filters: Channels of each stage's 3x3 convolutions.
        stem_filters: Channels of the first convolution.
        downsample_in_bottleneck: Whether the first 1x1 convolution of a bottleneck has the
            stride (the paper) or its 3x3 (torchvision).
        num_classes: Size of the logits.
        pooling: ``"avg"`` or ``"max"`` over height and width.
        dropout: Rate before the logits.
        mean: Subtracted from each channel, in 0..1.
        std: Each channel is divided by it.
        task: ``"features"`` gives the last map of each stage.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or a dict of ``stride_4``, ``stride_8``,
        ``stride_16``, ``stride_32`` float32 (batch, height / stride, width / stride, channels)
        and ``pooled_output`` float32 (batch, channels).

    Raises:
        UsageError: An unknown task or pooling.

    Example:
        >>> model = resnet(num_blocks=(1, 1), filters=(8, 16), task="features")
        >>> model.output["stride_8"].shape
        (None, 28, 28, 64)
    """
    check_task("resnet", task, get_args(Task))
    if len(num_blocks) != len(filters):
        raise UsageError(
            f"resnet: num_blocks={num_blocks} and filters={filters} must have one number a stage."
        )
    image, x = normalized_image_input(input_shape, mean, std)
    x = conv_norm(x, stem_filters, 7, strides=2, activation="relu", symmetric=True, name="stem")
    # What is padded is never negative, so that zeros change no maximum.
    x = keras.layers.ZeroPadding2D(1, data_format="channels_last", name="stem_pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, data_format="channels_last", name="stem_pool")(x)
    maps = {}
    for stage, (blocks, channels) in enumerate(zip(num_blocks, filters, strict=True)):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            prefix = f"stage_{stage}_block_{block}"
            kernels = _kernels(channels, bottleneck)
            strided = 0 if downsample_in_bottleneck or not bottleneck else 1
            x = _residual(x, kernels, strides, strided, prefix)
        maps[f"stride_{4 * 2**stage}"] = x
    head = image_head(x, maps, task=task, pooling=pooling, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)


def _kernels(channels: int, bottleneck: bool) -> list[tuple[int, int]]:
    if bottleneck:
        return [(channels, 1), (channels, 3), (EXPANSION * channels, 1)]
    return [(channels, 3), (channels, 3)]


def _residual(
    x: Any, kernels: Sequence[tuple[int, int]], strides: int, strided: int, name: str
) -> Any:
    """Apply one block; the convolution number ``strided`` has the stride."""
    shortcut = x
    if strides > 1 or x.shape[-1] != kernels[-1][0]:
        shortcut = conv_norm(x, kernels[-1][0], 1, strides=strides, name=f"{name}_shortcut")
    for number, (channels, kernel_size) in enumerate(kernels):
        x = conv_norm(
            x,
            channels,
            kernel_size,
            strides=strides if number == strided else 1,
            activation="relu" if number < len(kernels) - 1 else None,
            symmetric=True,
            name=name,
            number=number,
        )
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)
