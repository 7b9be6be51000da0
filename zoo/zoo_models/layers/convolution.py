"""The pieces that convolutional families share."""

from __future__ import annotations

from typing import Any, Literal

import keras

Activation = Literal["relu", "relu6", "hard_silu"]


def conv_norm(
    x: Any,
    filters: int | None,
    kernel_size: int | tuple[int, int] = 3,
    *,
    strides: int | tuple[int, int] = 1,
    activation: Activation | None = None,
    symmetric: bool = False,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    name: str,
    number: int | None = None,
) -> Any:
    """Return a convolution without bias, batch normalization and activation applied to ``x``.

    Args:
        x: float (batch, height, width, channels).
        filters: Output channels; ``None`` is a depthwise convolution.
        kernel_size: Height and width of the kernel; odd, and one number, for ``symmetric``.
        strides: Factor by which height and width shrink; one number for ``symmetric``.
        activation: After the normalization.
        symmetric: Where to put the zeros that a stride needs: equally on all sides, as PyTorch
            does, or rather at the end, as TensorFlow does (``"same"``). They differ for strides
            over 1 only.
        epsilon: Of the normalization.
        momentum: Fraction of the running statistics that each step keeps.
        name: Prefix of the layers' names: ``NAME_conv``, ``NAME_norm`` and ``NAME_activation``.
        number: Of the convolution within its block, put behind the names.
    """
    suffix = "" if number is None else f"_{number}"
    explicit = symmetric and strides != 1 and kernel_size != 1
    if explicit and isinstance(kernel_size, int):
        x = keras.layers.ZeroPadding2D(
            kernel_size // 2, data_format="channels_last", name=f"{name}_pad{suffix}"
        )(x)
    arguments: dict[str, Any] = {
        "strides": strides,
        "padding": "valid" if explicit else "same",
        "use_bias": False,
        "data_format": "channels_last",
        "name": f"{name}_conv{suffix}",
    }
    if filters is None:
        convolve = keras.layers.DepthwiseConv2D(
            kernel_size, depthwise_initializer=_he(), **arguments
        )
    else:
        convolve = keras.layers.Conv2D(filters, kernel_size, kernel_initializer=_he(), **arguments)
    x = keras.layers.BatchNormalization(
        epsilon=epsilon, momentum=momentum, name=f"{name}_norm{suffix}"
    )(convolve(x))
    if activation is None:
        return x
    return keras.layers.Activation(activation, name=f"{name}_activation{suffix}")(x)


def _he() -> Any:
    # https://arxiv.org/abs/1502.01852, as the reference implementations have it.
    return keras.initializers.VarianceScaling(
        2.0, mode="fan_out", distribution="untruncated_normal"
    )


def inverted_residual(
    x: Any,
    filters: int,
    *,
    expanded: int,
    kernel_size: int = 3,
    strides: int = 1,
    activation: Activation = "relu6",
    squeezed: int | None = None,
    symmetric: bool = False,
    epsilon: float = 1e-3,
    shortcut: bool = True,
    name: str,
) -> Any:
    """Return MobileNetV2's block: expand, depthwise, project; add the input where it fits.

    Args:
        x: float (batch, height, width, channels).
        filters: Output channels.
        expanded: Channels of the depthwise convolution; no expansion if ``x`` has as many.
        kernel_size: Of the depthwise convolution.
        strides: Of the depthwise convolution.
        activation: After the first two convolutions; the projection is linear.
        squeezed: Channels of squeeze-and-excitation; ``None`` leaves it out.
        symmetric: As for :func:`conv_norm`.
        epsilon: Of the normalizations.
        shortcut: Whether the input is added where it fits.
        name: Prefix of the layers' names.
    """
    common: dict[str, Any] = {"epsilon": epsilon, "symmetric": symmetric, "name": name}
    start = x
    if expanded != x.shape[-1]:
        x = conv_norm(x, expanded, 1, activation=activation, number=1, **common)
    x = conv_norm(x, None, kernel_size, strides=strides, activation=activation, number=2, **common)
    if squeezed is not None:
        x = squeeze_excite(x, squeezed, name=name)
    x = conv_norm(x, filters, 1, number=3, **common)
    # Not by the shapes: an image of any size has None before and after a stride.
    if shortcut and strides == 1 and filters == start.shape[-1]:
        x = keras.layers.Add(name=f"{name}_add")([x, start])
    return x


def squeeze_excite(x: Any, squeezed: int, *, name: str) -> Any:
    """Return ``x`` with each channel scaled by what all channels' means say.

    Squeeze-and-excitation (https://arxiv.org/abs/1709.01507) with the hard sigmoid of
    MobileNetV3.

    Args:
        x: float (batch, height, width, channels).
        squeezed: Channels of the bottleneck.
        name: Prefix of the layers' names.
    """
    channels = x.shape[-1]
    scale = keras.layers.GlobalAveragePooling2D(
        keepdims=True, data_format="channels_last", name=f"{name}_squeeze"
    )(x)
    scale = keras.layers.Conv2D(
        squeezed, 1, activation="relu", data_format="channels_last", name=f"{name}_squeeze_conv"
    )(scale)
    scale = keras.layers.Conv2D(
        channels,
        1,
        activation="hard_sigmoid",
        data_format="channels_last",
        name=f"{name}_excite_conv",
    )(scale)
    return keras.layers.Multiply(name=f"{name}_scale")([x, scale])


def divisible(channels: float, divisor: int = 8) -> int:
    """Return the multiple of ``divisor`` next to ``channels``, at least nine tenths of it.

    Example:
        >>> divisible(16 * 0.75), divisible(24 * 0.35)
        (16, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
