"""Plain convolutional network."""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import check_task, image_input, vector_head
from zoo_registry import UsageError

Task = Literal["image-classification", "features"]


def cnn(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    filters: tuple[int, ...] = (32, 64, 64),
    kernel_size: int = 3,
    padding: Literal["valid", "same"] = "valid",
    pool_size: int = 2,
    hidden_dim: int = 64,
    num_classes: int = 10,
    activation: str = "relu",
    dropout: float = 0.0,
    rescale: float = 1 / 255,
    task: Task = "image-classification",
    name: str = "cnn",
) -> keras.Model:
    """Build convolutions with max-pooling between them, then a dense layer.

    In the manner of LeNet (https://doi.org/10.1109/5.726791), with ReLU and max-pooling as in
    TensorFlow's CIFAR-10 tutorial (https://www.tensorflow.org/tutorials/images/cnn).

    Args:
        input_shape: Height, width and channels.
        filters: Channels of each convolution.
        kernel_size: Height and width of each convolution.
        padding: ``"valid"`` shrinks the image by the kernel less one, ``"same"`` keeps its size.
        pool_size: Factor between two convolutions by which height and width shrink.
        hidden_dim: Width of the dense layer.
        num_classes: Size of the logits.
        activation: A Keras name.
        dropout: Rate before the dense layer and before the logits.
        rescale: Factor applied to the image in the graph.
        task: ``"features"`` ends after the dense layer.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or ``pooled_output`` float32 (batch, hidden_dim).

    Raises:
        UsageError: An unknown task, or an image too small for the layers.

    Example:
        >>> cnn().count_params()
        122570
    """
    check_task("cnn", task, get_args(Task))
    image, x = image_input(input_shape, rescale)
    for index, channels in enumerate(filters):
        if index:
            _check_size(x.shape, pool_size, f"pooling {index - 1} by {pool_size}", input_shape)
            x = keras.layers.MaxPooling2D(
                pool_size, data_format="channels_last", name=f"pool_{index - 1}"
            )(x)
        if padding == "valid":
            _check_size(x.shape, kernel_size, f"convolution {index} of {kernel_size}", input_shape)
        x = keras.layers.Conv2D(
            channels,
            kernel_size,
            padding=padding,
            activation=activation,
            data_format="channels_last",
            name=f"conv_{index}",
        )(x)
    x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(hidden_dim, activation=activation, name="dense")(x)
    logits = vector_head(x, task=task, num_classes=num_classes, dropout=dropout)
    return keras.Model(image, logits, name=name)


def _check_size(
    shape: tuple[int, ...], needed: int, what: str, input_shape: tuple[int, ...]
) -> None:
    if min(shape[1:3]) < needed:
        raise UsageError(
            f"cnn: input_shape={input_shape} is too small: {what} finds {shape[1]}x{shape[2]} "
            "pixels. Use fewer filters, a smaller kernel_size or padding='same'."
        )
