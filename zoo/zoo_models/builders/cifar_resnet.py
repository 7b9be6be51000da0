r"""ResNet for small images.

Depth 6n + 2: a 3x3 convolution, then three stages of n blocks with 16, 32 and 64 channels at
strides 1, 2 and 4, each block ``relu(x + conv(relu(conv(x))))`` with 3x3 kernels. The shortcut
has no weights (option A): where a stage begins, every second pixel is taken and the new channels
are zeros. (32, 32, 3) -> (32, 32, 16) -> (16, 16, 32) -> (8, 8, 64) -> mean -> logits.

Paper: https://arxiv.org/abs/1512.03385, section 4.2. Differences: the new zero channels stand
half before and half after the old ones, as in most implementations.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo_models.layers import check_task, conv_norm, image_head, normalized_image_input
from zoo_registry import UsageError

Task = Literal["image-classification", "features"]


def cifar_resnet(
    *,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    depth: int = 20,
    filters: tuple[int, ...] = (16, 32, 64),
    projection: bool = False,
    num_classes: int = 10,
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.0,
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465),
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616),
    task: Task = "image-classification",
    name: str = "cifar_resnet",
) -> keras.Model:
    """Build the ResNet for CIFAR (https://arxiv.org/abs/1512.03385, section 4.2).

    Args:
        input_shape: Height, width and channels; height and width may be ``None``.
        depth: Layers with weights, 2 + 2 a block and stage: 20, 32, 44, 56 or 110 in the paper.
        filters: Channels of each stage.
        projection: Whether a shortcut that has to change its shape is a 1x1 convolution (option
            B), as in many PyTorch repositories.
        num_classes: Size of the logits.
        pooling: ``"avg"`` or ``"max"`` over height and width.
        dropout: Rate before the logits.
        mean: Subtracted from each channel, in 0..1; CIFAR-10's by default.
        std: Each channel is divided by it.
        task: ``"features"`` gives the last map of each stage.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or a dict of ``stride_1``, ``stride_2``,
        ``stride_4`` float32 (batch, height / stride, width / stride, channels) and
        ``pooled_output`` float32 (batch, channels).

    Raises:
        UsageError: A depth that is not 2 more than a multiple of twice the stages.

    Example:
        >>> cifar_resnet(depth=8).output_shape
        (None, 10)
    """
    check_task("cifar-resnet", task, get_args(Task))
    blocks, rest = divmod(depth - 2, 2 * len(filters))
    if rest or blocks < 1:
        raise UsageError(
            f"cifar-resnet: depth={depth} is not 2 + {2 * len(filters)}n for {len(filters)} "
            "stages, such as 20, 32, 44, 56 or 110."
        )
    image, x = normalized_image_input(input_shape, mean, std)
    x = conv_norm(x, filters[0], activation="relu", name="stem")
    maps = {}
    for stage, channels in enumerate(filters):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            x = _residual(x, channels, strides, projection, f"stage_{stage}_block_{block}")
        maps[f"stride_{2**stage}"] = x
    head = image_head(x, maps, task=task, pooling=pooling, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)


def _residual(x: Any, channels: int, strides: int, projection: bool, name: str) -> Any:
    if projection and (strides > 1 or x.shape[-1] != channels):
        shortcut = conv_norm(x, channels, 1, strides=strides, name=f"{name}_shortcut")
    else:
        shortcut = _padded(x, channels, strides, name)
    x = conv_norm(
        x, channels, strides=strides, activation="relu", symmetric=True, name=name, number=0
    )
    x = conv_norm(x, channels, name=name, number=1)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)


def _padded(x: Any, channels: int, strides: int, name: str) -> Any:
    if strides > 1:
        x = keras.layers.MaxPooling2D(
            1, strides=strides, data_format="channels_last", name=f"{name}_subsample"
        )(x)
    new = channels - x.shape[-1]
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2))) if new else x
