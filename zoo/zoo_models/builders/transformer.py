"""Transformer encoder for classification."""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import (
    AttentionBias,
    LayerNorm,
    LearnedPositions,
    MaskedMeanPooling,
    SinusoidalPositions,
    TransformerBlock,
    check_task,
    token_embedding,
    token_inputs,
    vector_head,
)
from zoo_registry import UsageError

Task = Literal["text-classification", "features"]


def transformer(
    *,
    vocab_size: int = 20_000,
    sequence_length: int | None = None,
    max_length: int = 512,
    positions: Literal["sinusoidal", "learned"] = "sinusoidal",
    num_layers: int = 2,
    hidden_dim: int = 128,
    num_heads: int = 4,
    ff_dim: int = 256,
    activation: Literal["relu", "gelu", "gelu_tanh"] = "relu",
    pre_norm: bool = False,
    num_classes: int = 2,
    dropout: float = 0.1,
    task: Task = "text-classification",
    name: str = "transformer",
) -> keras.Model:
    """Build the encoder of "Attention is all you need" (https://arxiv.org/abs/1706.03762).

    The outputs of all real tokens are averaged. Padding never changes the outputs.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        max_length: Longest text, for learned positions; sinusoidal ones have no limit.
        positions: ``"sinusoidal"`` or ``"learned"``.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        activation: Inside each block's perceptron.
        pre_norm: Normalize before each part (https://arxiv.org/abs/2002.04745), not after.
        num_classes: Size of the logits.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        task: ``"features"`` ends after pooling.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` int32 (batch, tokens) that gives ``logits``
        float32 (batch, num_classes), or ``pooled_output`` float32 (batch, hidden_dim).

    Raises:
        UsageError: An unknown task or kind of positions.

    Example:
        >>> model = transformer(vocab_size=50, hidden_dim=8, num_heads=2, ff_dim=16)
        >>> model.output_names
        ['logits']
    """
    check_task("transformer", task, get_args(Task))
    inputs = token_inputs(sequence_length)
    x = token_embedding(vocab_size, hidden_dim, None)(inputs["token_ids"])
    x = keras.layers.Rescaling(hidden_dim**0.5, name="scale_embedding")(x)
    if positions == "sinusoidal":
        x = SinusoidalPositions(name="positions")(x)
    elif positions == "learned":
        x = LearnedPositions(max_length, name="positions")(x)
    else:
        raise UsageError(f"transformer: positions '{positions}' is not 'sinusoidal' or 'learned'.")
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    bias = AttentionBias(name="attention_bias")(inputs["padding_mask"])
    for index in range(num_layers):
        x = TransformerBlock(
            hidden_dim,
            num_heads,
            ff_dim,
            dropout=dropout,
            activation=activation,
            pre_norm=pre_norm,
            name=f"block_{index}",
        )(x, bias)
    if pre_norm:
        x = LayerNorm(name="final_norm")(x)
    x = MaskedMeanPooling(name="pool")(x, inputs["padding_mask"])
    head = vector_head(x, task=task, num_classes=num_classes, dropout=dropout)
    return keras.Model(inputs, head, name=name)
