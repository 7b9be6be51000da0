"""BERT: a bidirectional encoder."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo.layers import (
    AttentionBias,
    LayerNorm,
    LearnedPositions,
    TransformerBlock,
    check_task,
    masked_lm_head,
    sequence_head,
    token_embedding,
    token_inputs,
    vector_head,
)
from zoo.layers.initializers import kernel_initializer

Task = Literal["features", "text-classification", "masked-lm"]
STDDEV = 0.02
EPSILON = 1e-12


def bert(
    *,
    vocab_size: int = 30_522,
    sequence_length: int | None = None,
    max_length: int = 512,
    num_layers: int = 12,
    hidden_dim: int = 768,
    num_heads: int = 12,
    ff_dim: int = 3072,
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu",
    num_segments: int = 2,
    use_segments: bool = False,
    num_classes: int = 2,
    dropout: float = 0.1,
    task: Task = "features",
    name: str = "bert",
) -> keras.Model:
    """Build BERT (https://arxiv.org/abs/1810.04805); the defaults are BERT-base, uncased.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        max_length: Positions there are vectors for.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        activation: Inside each block's perceptron; ``"gelu"`` is exact.
        num_segments: Segment vectors (token types).
        use_segments: Whether ``segment_ids`` is an input; if not, all tokens are in segment 0.
        num_classes: Size of the classification logits.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        task: The head.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` (and ``segment_ids``) int32 (batch, tokens).
        It gives for ``"features"`` the dict of ``sequence_output`` float32 (batch, tokens,
        hidden_dim) and ``pooled_output`` float32 (batch, hidden_dim), for
        ``"text-classification"`` ``logits`` float32 (batch, num_classes), for ``"masked-lm"``
        ``logits`` float32 (batch, tokens, vocab_size).

    Raises:
        UsageError: An unknown task.

    Example:
        >>> model = bert(num_layers=2, hidden_dim=128, num_heads=2, ff_dim=512)
        >>> model.count_params()
        4385920
    """
    check_task("bert", task, get_args(Task))
    inputs = token_inputs(sequence_length)
    if use_segments:
        inputs["segment_ids"] = keras.Input((sequence_length,), name="segment_ids", dtype="int32")
    embedding = token_embedding(vocab_size, hidden_dim, STDDEV)
    x = _embed(inputs, embedding, num_segments, max_length, dropout)
    bias = AttentionBias(name="attention_bias")(inputs["padding_mask"])
    for index in range(num_layers):
        x = TransformerBlock(
            hidden_dim,
            num_heads,
            ff_dim,
            dropout=dropout,
            activation=activation,
            epsilon=EPSILON,
            stddev=STDDEV,
            name=f"block_{index}",
        )(x, bias)
    return keras.Model(inputs, _head(x, embedding, task, num_classes, dropout), name=name)


def _embed(
    inputs: dict[str, Any], embedding: Any, num_segments: int, max_length: int, dropout: float
) -> Any:
    x = embedding(inputs["token_ids"])
    segments = keras.layers.Embedding(
        num_segments,
        x.shape[-1],
        embeddings_initializer=kernel_initializer(STDDEV),
        name="segment_embedding",
    )
    x = x + segments(inputs.get("segment_ids", ops.zeros_like(inputs["token_ids"])))
    x = LearnedPositions(max_length, STDDEV, name="positions")(x)
    x = LayerNorm(EPSILON, name="embedding_norm")(x)
    return keras.layers.Dropout(dropout, name="embedding_dropout")(x)


def _head(x: Any, embedding: Any, task: str, num_classes: int, dropout: float) -> Any:
    if task == "masked-lm":
        return masked_lm_head(x, embedding, epsilon=EPSILON, stddev=STDDEV)
    pooler = keras.layers.Dense(
        x.shape[-1],
        activation="tanh",
        kernel_initializer=kernel_initializer(STDDEV),
        name="pooled_output",
    )
    pooled = pooler(x[:, 0])
    if task == "features":
        return {"sequence_output": sequence_head(x), "pooled_output": pooled}
    return vector_head(pooled, task=task, num_classes=num_classes, dropout=dropout, stddev=STDDEV)
