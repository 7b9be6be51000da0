"""GPT: a causal decoder."""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo.layers import (
    AttentionBias,
    LayerNorm,
    LearnedPositions,
    TransformerBlock,
    check_task,
    language_model_head,
    sequence_head,
    token_embedding,
)

Task = Literal["causal-lm", "features"]
STDDEV = 0.02
EPSILON = 1e-5


def gpt(
    *,
    vocab_size: int = 50_257,
    sequence_length: int | None = None,
    max_length: int = 1024,
    num_layers: int = 12,
    hidden_dim: int = 768,
    num_heads: int = 12,
    ff_dim: int | None = None,
    dropout: float = 0.1,
    task: Task = "causal-lm",
    name: str = "gpt",
) -> keras.Model:
    """Build GPT-2; the defaults are its smallest size.

    Paper: "Language models are unsupervised multitask learners",
    https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    The head is the transposed token embedding. The kernels that write into the residual stream
    start smaller, by the square root of their number, as the paper says.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        max_length: Positions there are vectors for.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron; four times the width by default.
        dropout: Rate on embeddings, attention and residual branches.
        task: ``"features"`` ends after the last normalization.
        name: Of the model.

    Returns:
        A model of ``token_ids`` int32 (batch, tokens) that gives ``logits`` float32 (batch,
        tokens, vocab_size) for the token after each, or ``sequence_output`` float32 (batch, tokens,
        hidden_dim).

    Raises:
        UsageError: An unknown task.

    Example:
        >>> model = gpt(vocab_size=100, max_length=16, num_layers=1, hidden_dim=8, num_heads=2)
        >>> model.output_shape
        (None, None, 100)
    """
    check_task("gpt", task, get_args(Task))
    token_ids = keras.Input((sequence_length,), name="token_ids", dtype="int32")
    embedding = token_embedding(vocab_size, hidden_dim, STDDEV)
    x = LearnedPositions(max_length, STDDEV, name="positions")(embedding(token_ids))
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    bias = AttentionBias(causal=True, name="attention_bias")(token_ids)
    for index in range(num_layers):
        x = TransformerBlock(
            hidden_dim,
            num_heads,
            4 * hidden_dim if ff_dim is None else ff_dim,
            dropout=dropout,
            activation="gelu_tanh",
            pre_norm=True,
            fused=True,
            epsilon=EPSILON,
            stddev=STDDEV,
            residual_stddev=STDDEV / (2 * num_layers) ** 0.5,
            name=f"block_{index}",
        )(x, bias)
    x = LayerNorm(EPSILON, name="final_norm")(x)
    if task == "features":
        return keras.Model(token_ids, sequence_head(x), name=name)
    return keras.Model(token_ids, language_model_head(x, embedding), name=name)
