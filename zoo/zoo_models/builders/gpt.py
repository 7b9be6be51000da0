r"""GPT-2: a causal decoder.

Vectors of token and position are added: (T, D). L pre-norm blocks, ``x + attention(norm(x))`` then
``x + mlp(norm(x))`` with the tanh form of GELU, where a token sees itself and those before it; a
last normalization; the transposed token embedding gives logits (T, V).

Paper: https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
No difference from the reference; nano, micro and mini are minGPT's sizes.
"""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import (
    AttentionBias,
    LastStep,
    LayerNorm,
    LearnedPositions,
    TransformerBlock,
    check_task,
    language_model_head,
    sequence_head,
    token_embedding,
    token_inputs,
    vector_head,
)

Task = Literal["causal-lm", "features", "text-classification"]
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
    epsilon: float = EPSILON,
    num_classes: int = 2,
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
        epsilon: Of the layer normalizations.
        num_classes: Size of the classification logits.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        task: ``"features"`` ends after the last normalization; ``"text-classification"`` reads
            the last real token.
        name: Of the model.

    Returns:
        A model of ``token_ids`` int32 (batch, tokens), and of ``padding_mask`` for
        classification. It gives ``logits`` float32 (batch, tokens, vocab_size) for the token
        after each, or (batch, num_classes), or ``sequence_output`` float32 (batch, tokens,
        hidden_dim).

    Raises:
        UsageError: An unknown task.

    Example:
        >>> model = gpt(vocab_size=100, max_length=16, num_layers=1, hidden_dim=8, num_heads=2)
        >>> model.output_shape
        (None, None, 100)
    """
    check_task("gpt", task, get_args(Task))
    inputs = token_inputs(sequence_length)
    token_ids = inputs["token_ids"]
    embedding = token_embedding(vocab_size, hidden_dim, STDDEV, truncated=False)
    positions = LearnedPositions(max_length, STDDEV, truncated=False, name="positions")
    x = positions(embedding(token_ids))
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
            epsilon=epsilon,
            stddev=STDDEV,
            residual_stddev=STDDEV / (2 * num_layers) ** 0.5,
            truncated=False,
            name=f"block_{index}",
        )(x, bias)
    x = LayerNorm(epsilon, name="final_norm")(x)
    if task == "text-classification":
        last = LastStep(name="last_step")(x, inputs["padding_mask"])
        head = vector_head(
            last,
            task=task,
            num_classes=num_classes,
            dropout=dropout,
            stddev=STDDEV,
            use_bias=False,
        )
        return keras.Model(inputs, head, name=name)
    head = sequence_head(x) if task == "features" else language_model_head(x, embedding)
    return keras.Model(token_ids, head, name=name)
