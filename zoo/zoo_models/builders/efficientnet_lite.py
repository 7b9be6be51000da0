r"""EfficientNet-Lite.

EfficientNet's inverted residuals without what edge devices do badly: no squeeze-and-excitation,
ReLU6 instead of SiLU. (H, W, 3) -> 3x3, stride 2: 32 -> 16 blocks -> (H/32, W/32, 320) -> 1x1: 1280
-> mean -> logits.

Papers: https://arxiv.org/abs/1905.11946, and
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Difference: no
stochastic depth in training.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import keras

from zoo_models.layers import (
    check_task,
    conv_norm,
    divisible,
    image_head,
    inverted_residual,
    normalized_image_input,
)

Task = Literal["image-classification", "features"]
# Expansion, channels, blocks, stride, kernel of EfficientNet-B0.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def efficientnet_lite(
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    width: float = 1.0,
    depth: float = 1.0,
    symmetric: bool = False,
    epsilon: float = 1e-3,
    num_classes: int = 1000,
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.2,
    mean: tuple[float, ...] = (127 / 255, 127 / 255, 127 / 255),
    std: tuple[float, ...] = (128 / 255, 128 / 255, 128 / 255),
    task: Task = "image-classification",
    name: str = "efficientnet_lite",
) -> keras.Model:
    """Build EfficientNet-Lite (https://arxiv.org/abs/1905.11946); the defaults are Lite0.

    Args:
        input_shape: Height, width and channels; height and width may be ``None``.
        width: Factor on the channels of all blocks; stem and top keep theirs.
        depth: Factor on the blocks of all stages but the first and last.
        symmetric: Padding of strided convolutions as PyTorch has it, not as TensorFlow.
        epsilon: Of the normalizations.
        num_classes: Size of the logits.
        pooling: ``"avg"`` or ``"max"`` over height and width.
        dropout: Rate before the logits.
        mean: Subtracted from each channel, in 0..1.
        std: Each channel is divided by it.
        task: ``"features"`` gives the last map of each stride.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or a dict of ``stride_2`` to ``stride_32``
        float32 (batch, height / stride, width / stride, channels) and ``pooled_output`` float32
        (batch, channels).

    Raises:
        UsageError: An unknown task or pooling.

    Example:
        >>> efficientnet_lite(input_shape=(32, 32, 3), width=0.3, num_classes=5).output_shape
        (None, 5)
    """
    check_task("efficientnet-lite", task, get_args(Task))
    image, x = normalized_image_input(input_shape, mean, std)
    common: dict[str, Any] = {"symmetric": symmetric, "epsilon": epsilon}
    x = conv_norm(x, 32, strides=2, activation="relu6", name="stem", **common)
    maps = {}
    stride = 2
    for stage, (expansion, channels, blocks, first, kernel) in enumerate(STAGES):
        stride *= first
        ends = stage in (0, len(STAGES) - 1)
        for block in range(blocks if ends else math.ceil(blocks * depth)):
            x = inverted_residual(
                x,
                divisible(channels * width),
                expanded=expansion * x.shape[-1],
                kernel_size=kernel,
                strides=1 if block else first,
                name=f"stage_{stage}_block_{block}",
                **common,
            )
        maps[f"stride_{stride}"] = x
    x = conv_norm(x, 1280, 1, activation="relu6", name="top", **common)
    head = image_head(x, maps, task=task, pooling=pooling, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)
