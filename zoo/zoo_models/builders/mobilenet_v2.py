r"""MobileNetV2.

Inverted residuals with linear bottlenecks: 1x1 from C to tC channels, depthwise 3x3, 1x1 to C'
without an activation, plus the input where shapes agree; ReLU6 elsewhere. (H, W, 3) -> 3x3,
stride 2: (H/2, W/2, 32) -> 17 blocks -> (H/32, W/32, 320) -> 1x1: 1280 -> mean -> logits.

Paper: https://arxiv.org/abs/1801.04381. No difference from TensorFlow's reference by default;
``symmetric=True`` and ``epsilon=1e-5`` are torchvision's.
"""

from __future__ import annotations

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
# Expansion t, channels c, blocks n, stride of the first s: table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    width: float = 1.0,
    stages: tuple[tuple[int, int, int, int], ...] = STAGES,
    symmetric: bool = False,
    epsilon: float = 1e-3,
    first_shortcut: bool = True,
    num_classes: int = 1000,
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.2,
    mean: tuple[float, ...] = (0.5, 0.5, 0.5),
    std: tuple[float, ...] = (0.5, 0.5, 0.5),
    task: Task = "image-classification",
    name: str = "mobilenet_v2",
) -> keras.Model:
    """Build MobileNetV2 (https://arxiv.org/abs/1801.04381).

    Args:
        input_shape: Height, width and channels; height and width may be ``None``.
        width: Factor on all channels; the last 1x1 convolution never has fewer than 1280.
        stages: Expansion, channels, blocks and stride of each stage.
        symmetric: Padding of strided convolutions as PyTorch has it, not as TensorFlow.
        epsilon: Of the normalizations.
        first_shortcut: Whether the first block adds its input where it fits, which is at widths
            of a quarter or so; Hugging Face transformers leaves it out.
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
        >>> model = mobilenet_v2(input_shape=(32, 32, 3), width=0.35, num_classes=5)
        >>> model.output_shape
        (None, 5)
    """
    check_task("mobilenet-v2", task, get_args(Task))
    image, x = normalized_image_input(input_shape, mean, std)
    common: dict[str, Any] = {"symmetric": symmetric, "epsilon": epsilon}
    x = conv_norm(x, divisible(32 * width), strides=2, activation="relu6", name="stem", **common)
    maps = {}
    stride = 2
    for stage, (expansion, channels, blocks, first) in enumerate(stages):
        stride *= first
        for block in range(blocks):
            x = inverted_residual(
                x,
                divisible(channels * width),
                expanded=expansion * x.shape[-1],
                strides=1 if block else first,
                shortcut=first_shortcut or stage > 0 or block > 0,
                name=f"stage_{stage}_block_{block}",
                **common,
            )
        maps[f"stride_{stride}"] = x
    x = conv_norm(x, divisible(1280 * max(1.0, width)), 1, activation="relu6", name="top", **common)
    head = image_head(x, maps, task=task, pooling=pooling, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)
