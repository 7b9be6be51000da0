r"""CenterNet: objects as points.

A backbone gives maps at strides 4 to 32; a top-down path (https://arxiv.org/abs/1612.03144) brings
them together at stride 4, where every cell predicts for each class whether the centre of an object
is in it, how large that object is, and where in the cell its centre lies. No anchors, no
suppression of overlapping boxes: an object is a peak of ``heatmap``.

(H, W, 3) -> maps at 4, 8, 16, 32 -> (H/4, W/4, neck) -> heatmap, size, offset.

Paper: https://arxiv.org/abs/1904.07850. Differences: the top-down path in place of transposed
convolutions, which is smaller and as it converts to bilinear resizing that every runtime has; and
heads of any width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import keras

from zoo_models.builders.mobilenet_v3 import mobilenet_v3
from zoo_models.builders.resnet import resnet
from zoo_models.layers import check_choice, check_task, conv_norm
from zoo_models.layers.inputs import IMAGENET_MEAN, IMAGENET_STD
from zoo_registry import UsageError

Task = Literal["object-detection"]
BACKBONES: Mapping[str, Callable[..., keras.Model]] = {
    "resnet": resnet,
    "mobilenet-v3": mobilenet_v3,
}
STRIDE = 4
# How probable a thing is before anything is learned: https://arxiv.org/abs/1708.02002.
PRIOR = 0.1


def centernet(
    *,
    input_shape: tuple[int, int, int] = (512, 512, 3),
    backbone: Literal["resnet", "mobilenet-v3"] = "resnet",
    backbone_sizes: Mapping[str, Any] | None = None,
    neck_filters: int = 64,
    head_filters: int = 64,
    num_classes: int = 80,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    task: Task = "object-detection",
    name: str = "centernet",
) -> keras.Model:
    """Build CenterNet (https://arxiv.org/abs/1904.07850).

    Args:
        input_shape: Height, width and channels; the first two are multiples of the backbone's
            largest stride, which is 32 unless it has fewer stages.
        backbone: The family that the maps come from.
        backbone_sizes: Arguments of its builder, such as ``num_blocks``.
        neck_filters: Channels of the top-down path.
        head_filters: Channels between that and each output.
        num_classes: Channels of ``heatmap``.
        mean: Subtracted from each channel, in 0..1.
        std: Each channel is divided by it.
        task: There is one.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives three
        maps, float32 (batch, height / 4, width / 4, ...): ``heatmap`` (num_classes), logits of the
        centre of an object being in a cell; ``size`` (2), its height and width in cells; ``offset``
        (2), how far down and to the right in the cell its centre is, in 0..1.

    Raises:
        UsageError: An unknown backbone, an argument that it does not take, or an image whose sides
            are no multiples of its largest stride.

    Example:
        >>> sizes = {"num_blocks": (1, 1), "filters": (8, 16), "bottleneck": False}
        >>> model = centernet(input_shape=(64, 96, 1), backbone_sizes=sizes, num_classes=3)
        >>> {name: output.shape for name, output in model.output.items()}["heatmap"]
        (None, 16, 24, 3)
    """
    check_task("centernet", task, get_args(Task))
    check_choice("centernet", backbone=(backbone, tuple(BACKBONES)))
    body = _body(backbone, backbone_sizes or {}, input_shape=input_shape, mean=mean, std=std)
    strides = {int(key.removeprefix("stride_")): key for key in body.output if "stride" in key}
    maps = {stride: body.output[key] for stride, key in strides.items() if stride >= STRIDE}
    if any(size % max(maps) for size in input_shape[:2]):
        raise UsageError(
            f"centernet: input_shape={tuple(input_shape)} must be a multiple of {max(maps)} in "
            f"height and width, the largest stride of its {backbone}."
        )
    x = _top_down(maps, neck_filters)
    outputs = {
        "heatmap": _head(x, head_filters, num_classes, "heatmap", -math.log(1 / PRIOR - 1)),
        "size": _head(x, head_filters, 2, "size"),
        "offset": _head(x, head_filters, 2, "offset"),
    }
    return keras.Model(body.input, outputs, name=name)


def _body(backbone: str, sizes: Mapping[str, Any], **arguments: Any) -> keras.Model:
    try:
        return BACKBONES[backbone](task="features", **arguments, **sizes)
    except TypeError as error:
        raise UsageError(f"centernet: backbone_sizes of {backbone}: {error}") from error


def _top_down(maps: Mapping[int, Any], filters: int) -> Any:
    """Return the map of the smallest stride, with what those of larger ones know added."""
    x = None
    for stride in sorted(maps, reverse=True):
        prefix = f"neck_stride_{stride}"
        side = conv_norm(maps[stride], filters, 1, name=f"{prefix}_side")
        if x is not None:
            x = keras.layers.UpSampling2D(
                interpolation="bilinear", data_format="channels_last", name=f"{prefix}_resize"
            )(x)
            side = keras.layers.Add(name=f"{prefix}_add")([side, x])
        x = conv_norm(side, filters, activation="relu", name=prefix)
    return x


def _head(x: Any, filters: int, channels: int, name: str, bias: float = 0.0) -> Any:
    x = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation="relu",
        data_format="channels_last",
        name=f"head_{name}_conv",
    )(x)
    # The losses need float32 under a mixed precision policy too.
    return keras.layers.Conv2D(
        channels,
        1,
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        data_format="channels_last",
        name=name,
    )(x)
