r"""MobileNetV3.

MobileNetV2's inverted residuals with sizes found by search, squeeze-and-excitation in some, and
``hard_silu(x) = x * relu6(x + 3) / 6`` in the deeper half. (H, W, 3) -> 3x3, stride 2: 16 -> blocks
-> (H/32, W/32, 96 or 160) -> 1x1: 576 or 960 -> mean -> dense 1024 or 1280 -> logits.

Paper: https://arxiv.org/abs/1905.02244. Sizes as in torchvision, whose counts these are; padding
as in TensorFlow's reference (``symmetric=True`` is torchvision's). Of another width than 1
torchvision multiplies the tables' expanded channels, TensorFlow's reference and timm expand each
block's own input (``expand_input=True``).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras

from zoo_models.layers import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_choice,
    check_task,
    conv_norm,
    divisible,
    image_head,
    inverted_residual,
    normalized_image_input,
    vector_head,
)

Task = Literal["image-classification", "features"]
# Kernel, expanded, channels, squeeze-and-excitation, hard_silu, stride: tables 1 and 2.
BLOCKS: dict[str, tuple[tuple[int, int, int, bool, bool, int], ...]] = {
    "small": (
        (3, 16, 16, True, False, 2),
        (3, 72, 24, False, False, 2),
        (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1),
        (5, 576, 96, True, True, 1),
    ),
    "large": (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    ),
}
STEM = 16
TOP = {"small": (576, 1024), "large": (960, 1280)}


def mobilenet_v3(
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    size: Literal["small", "large"] = "small",
    width: float = 1.0,
    stem_filters: int | None = None,
    expand_input: bool = False,
    symmetric: bool = False,
    epsilon: float = 1e-3,
    num_classes: int = 1000,
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.2,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    task: Task = "image-classification",
    name: str = "mobilenet_v3",
) -> keras.Model:
    """Build MobileNetV3 (https://arxiv.org/abs/1905.02244).

    Args:
        input_shape: Height, width and channels; height and width may be ``None``.
        size: ``"small"`` or ``"large"``.
        width: Factor on all channels of convolutions.
        stem_filters: Channels of the first convolution; 16 times the width by default.
        expand_input: Whether a block's expanded channels follow from its input's, not from the
            width; they differ where the width is not 1.
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
        UsageError: An unknown task, size or pooling.

    Example:
        >>> mobilenet_v3(input_shape=(32, 32, 3), width=0.5, num_classes=5).output_shape
        (None, 5)
    """
    check_task("mobilenet-v3", task, get_args(Task))
    check_choice("mobilenet-v3", size=(size, tuple(BLOCKS)))
    image, x = normalized_image_input(input_shape, mean, std)
    common: dict[str, Any] = {"symmetric": symmetric, "epsilon": epsilon}
    stem = divisible(STEM * width) if stem_filters is None else stem_filters
    x = conv_norm(x, stem, strides=2, activation="hard_silu", name="stem", **common)
    maps = {}
    stride, before = 2, STEM
    for block, (kernel, expanded, channels, excite, hard, strides) in enumerate(BLOCKS[size]):
        stride *= strides
        factor = x.shape[-1] / before if expand_input else width
        # The first block expands nothing, however wide the stem is.
        wide = divisible(expanded * factor) if block else x.shape[-1]
        before = channels
        x = inverted_residual(
            x,
            divisible(channels * width),
            expanded=wide,
            kernel_size=kernel,
            strides=strides,
            activation="hard_silu" if hard else "relu",
            squeezed=divisible(wide / 4) if excite else None,
            name=f"block_{block}",
            **common,
        )
        maps[f"stride_{stride}"] = x
    channels, units = TOP[size]
    x = conv_norm(x, divisible(channels * width), 1, activation="hard_silu", name="top", **common)
    outputs = image_head(x, maps, task="features", pooling=pooling, num_classes=num_classes)
    if task == "features":
        return keras.Model(image, outputs, name=name)
    x = outputs["pooled_output"]
    x = keras.layers.Dense(units, activation="hard_silu", name="head_dense")(x)
    head = vector_head(x, task=task, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)
