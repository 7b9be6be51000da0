r"""LeNet-5.

Two 5x5 convolutions, each halved by pooling, and three dense layers: (28, 28, 1) -> (28, 28, 6) ->
(14, 14, 6) -> (10, 10, 16) -> (5, 5, 16) -> 120 -> 84 -> logits.

Paper: https://doi.org/10.1109/5.726791. Differences: the first convolution keeps the size
(``same``) instead of reading images of 32x32, the second sees all six maps, the output is a linear
layer instead of radial basis functions, and pooling is a plain mean or maximum.
"""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import check_choice, check_task, image_input, vector_head
from zoo_registry import UsageError

Task = Literal["image-classification", "features"]
# The second convolution takes off 4 pixels of half the image, and pooling needs 2 that are left.
SMALLEST = 12


def lenet5(
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    activation: Literal["tanh", "relu"] = "tanh",
    pooling: Literal["avg", "max"] = "avg",
    dropout: float = 0.0,
    rescale: float = 1 / 255,
    task: Task = "image-classification",
    name: str = "lenet5",
) -> keras.Model:
    """Build LeNet-5 (https://doi.org/10.1109/5.726791).

    Args:
        input_shape: Height, width and channels.
        num_classes: Size of the logits.
        activation: After every layer but the last; ``"tanh"`` is the paper's.
        pooling: ``"avg"`` (the paper) or ``"max"`` between the layers.
        dropout: Rate before the logits.
        rescale: Factor applied to the image in the graph.
        task: ``"features"`` ends after the layer of 84.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or ``pooled_output`` float32 (batch, 84).

    Raises:
        UsageError: An unknown task or pooling, or an image under 12 pixels.

    Example:
        >>> lenet5().count_params()
        61706
    """
    check_task("lenet", task, get_args(Task))
    pools = {"avg": keras.layers.AveragePooling2D, "max": keras.layers.MaxPooling2D}
    check_choice("lenet", pooling=(pooling, tuple(pools)))
    if min(input_shape[:2]) < SMALLEST:
        raise UsageError(
            f"lenet: input_shape={input_shape} is too small: {SMALLEST} pixels are the least."
        )
    image, x = image_input(input_shape, rescale)
    for index, (filters, padding) in enumerate(((6, "same"), (16, "valid"))):
        x = keras.layers.Conv2D(
            filters,
            5,
            padding=padding,
            activation=activation,
            data_format="channels_last",
            name=f"conv_{index}",
        )(x)
        x = pools[pooling](2, data_format="channels_last", name=f"pool_{index}")(x)
    x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    for index, units in enumerate((120, 84)):
        x = keras.layers.Dense(units, activation=activation, name=f"dense_{index}")(x)
    head = vector_head(x, task=task, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, head, name=name)
