"""Multi-layer perceptron."""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import check_task, image_input, vector_head
from zoo_registry import UsageError

Task = Literal["classification", "image-classification", "features"]


def mlp(
    *,
    input_shape: tuple[int, ...] = (64,),
    hidden_dims: tuple[int, ...] = (128, 128),
    num_classes: int = 10,
    activation: str = "relu",
    dropout: float = 0.0,
    rescale: float = 1 / 255,
    task: Task = "classification",
    name: str = "mlp",
) -> keras.Model:
    """Build a stack of dense layers (https://doi.org/10.1038/323533a0).

    Args:
        input_shape: A vector's size, or an image's height, width and channels.
        hidden_dims: Width of each hidden layer.
        num_classes: Size of the logits.
        activation: Of the hidden layers, a Keras name.
        dropout: Rate after each hidden layer.
        rescale: Factor applied to images in the graph; vectors are taken as they are.
        task: ``"features"`` ends after the last hidden layer.
        name: Of the model.

    Returns:
        A model of ``features`` float32 (batch, size), or of ``image`` float32 (batch, height,
        width, channels) in 0..255 if ``input_shape`` has more than one size; it gives ``logits``
        float32 (batch, num_classes), or ``pooled_output`` float32 (batch, last hidden width).

    Raises:
        UsageError: An unknown task, or an image task on vectors.

    Example:
        >>> mlp(input_shape=(28, 28, 1)).count_params()
        118282
    """
    check_task("mlp", task, get_args(Task))
    if len(input_shape) > 1:
        inputs, x = image_input(input_shape, rescale)
        x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    elif task == "image-classification":
        raise UsageError(
            f"mlp: task 'image-classification' needs the input_shape of an image such as "
            f"(28, 28, 1), not {input_shape}; task 'classification' takes vectors."
        )
    else:
        inputs = x = keras.Input(input_shape, name="features", dtype="float32")
    for index, units in enumerate(hidden_dims):
        x = keras.layers.Dense(units, activation=activation, name=f"dense_{index}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{index}")(x)
    return keras.Model(inputs, vector_head(x, task=task, num_classes=num_classes), name=name)
