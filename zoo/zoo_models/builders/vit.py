r"""Vision transformer.

The image is cut into N = (H/P)(W/P) patches of P x P pixels; each becomes a vector of D by one
product, a learned class vector goes before them and learned positions are added: (1 + N, D).
L pre-norm blocks, ``x + attention(norm(x))`` then ``x + mlp(norm(x))`` with exact GELU, a last
normalization, and the class vector's output (D) goes to the logits.

Paper: https://arxiv.org/abs/2010.11929. Difference: no tanh layer before the logits, as in the
released fine-tuned models.
"""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import (
    ClassToken,
    LayerNorm,
    LearnedPositions,
    TransformerBlock,
    check_choice,
    check_task,
    normalized_image_input,
    sequence_head,
    vector_head,
)
from zoo_models.layers.initializers import kernel_initializer
from zoo_registry import UsageError

Task = Literal["image-classification", "features"]
STDDEV = 0.02


def vit(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    patch_size: int = 16,
    num_layers: int = 12,
    hidden_dim: int = 768,
    num_heads: int = 12,
    ff_dim: int | None = None,
    epsilon: float = 1e-6,
    pooling: Literal["class", "avg"] = "class",
    num_classes: int = 1000,
    dropout: float = 0.0,
    mean: tuple[float, ...] = (0.5, 0.5, 0.5),
    std: tuple[float, ...] = (0.5, 0.5, 0.5),
    task: Task = "image-classification",
    name: str = "vit",
) -> keras.Model:
    """Build a vision transformer (https://arxiv.org/abs/2010.11929); the defaults are ViT-B/16.

    Args:
        input_shape: Height, width (multiples of the patch) and channels.
        patch_size: Height and width of a patch.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron; four times the width by default.
        epsilon: Of the layer normalizations.
        pooling: ``"class"`` takes the class vector's output, ``"avg"`` the mean of the patches'.
        num_classes: Size of the logits.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        mean: Subtracted from each channel, in 0..1.
        std: Each channel is divided by it.
        task: ``"features"`` ends before the logits.
        name: Of the model.

    Returns:
        A model of ``image`` float32 (batch, height, width, channels) in 0..255 that gives
        ``logits`` float32 (batch, num_classes), or a dict of ``sequence_output`` float32 (batch,
        1 + patches, hidden_dim) and ``pooled_output`` float32 (batch, hidden_dim).

    Raises:
        UsageError: An unknown task or pooling, or an image that patches do not cover.

    Example:
        >>> model = vit(input_shape=(32, 48, 3), num_layers=1, hidden_dim=12, num_heads=3)
        >>> model.get_layer("positions").embeddings.shape.as_list()
        [7, 12]
    """
    check_task("vit", task, get_args(Task))
    height, width = input_shape[:2]
    if None in (height, width) or height % patch_size or width % patch_size:
        raise UsageError(
            f"vit: input_shape={input_shape} must be a multiple of patch_size={patch_size} "
            "in height and width."
        )
    check_choice("vit", pooling=(pooling, ("class", "avg")))
    image, x = normalized_image_input(input_shape, mean, std)
    x = keras.layers.Conv2D(
        hidden_dim,
        patch_size,
        strides=patch_size,
        kernel_initializer=kernel_initializer(STDDEV),
        data_format="channels_last",
        name="patch_embedding",
    )(x)
    patches = (height // patch_size) * (width // patch_size)
    x = keras.layers.Reshape((patches, hidden_dim), name="patches")(x)
    x = ClassToken(STDDEV, name="class_token")(x)
    x = LearnedPositions(patches + 1, STDDEV, name="positions")(x)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    for index in range(num_layers):
        x = TransformerBlock(
            hidden_dim,
            num_heads,
            4 * hidden_dim if ff_dim is None else ff_dim,
            dropout=dropout,
            pre_norm=True,
            epsilon=epsilon,
            stddev=STDDEV,
            name=f"block_{index}",
        )(x)
    x = LayerNorm(epsilon, name="final_norm")(x)
    pooled = x[:, 0] if pooling == "class" else keras.ops.mean(x[:, 1:], axis=1)
    head = vector_head(pooled, task=task, num_classes=num_classes, dropout=dropout, stddev=STDDEV)
    if task == "features":
        head = {"sequence_output": sequence_head(x), "pooled_output": head}
    return keras.Model(image, head, name=name)
