r"""Transformer: encoder and decoder.

Source tokens (S) and target tokens (T) share one embedding (V, D), scaled by the root of D, with
sines and cosines of the position. L encoder blocks look at all source tokens; L decoder blocks
look at the target tokens up to their own and, in a second attention, at the encoder's output.
Normalization comes after each residual sum. The transposed embedding gives logits (T, V).

Paper: https://arxiv.org/abs/1706.03762. Difference: sines fill the first half of the width and
cosines the second, as in tensor2tensor, instead of taking turns.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras

from zoo_models.layers import (
    AttentionBias,
    SinusoidalPositions,
    TransformerBlock,
    check_task,
    language_model_head,
    token_embedding,
    token_inputs,
)

Task = Literal["seq2seq"]


def seq2seq_transformer(
    *,
    vocab_size: int = 37_000,
    sequence_length: int | None = None,
    target_length: int | None = None,
    num_layers: int = 6,
    hidden_dim: int = 512,
    num_heads: int = 8,
    ff_dim: int = 2048,
    activation: Literal["relu", "gelu", "gelu_tanh"] = "relu",
    dropout: float = 0.1,
    task: Task = "seq2seq",
    name: str = "seq2seq_transformer",
) -> keras.Model:
    """Build the model of "Attention is all you need" (https://arxiv.org/abs/1706.03762).

    Args:
        vocab_size: Number of tokens, of source and target together.
        sequence_length: Source tokens, or ``None`` if that is known only when data arrive.
        target_length: Target tokens, the same.
        num_layers: Blocks of the encoder, and of the decoder.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        activation: Inside each block's perceptron.
        dropout: Rate on embeddings, attention and residual branches.
        task: ``"seq2seq"``.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` int32 (batch, source tokens),
        ``decoder_token_ids`` and ``decoder_padding_mask`` int32 (batch, target tokens), the
        target after its begin token, that gives ``logits`` float32 (batch, target tokens,
        vocab_size) for the token after each.

    Raises:
        UsageError: An unknown task or activation, or heads that do not divide the width.

    Example:
        >>> model = seq2seq_transformer(
        ...     vocab_size=50, num_layers=1, hidden_dim=8, num_heads=2, ff_dim=16
        ... )
        >>> model.output_shape
        (None, None, 50)
    """
    check_task("seq2seq-transformer", task, get_args(Task))
    inputs = token_inputs(sequence_length)
    decoder = token_inputs(target_length, prefix="decoder_")
    embedding = token_embedding(vocab_size, hidden_dim, None)
    sizes = (hidden_dim, num_heads, ff_dim)
    arguments: dict[str, Any] = {"dropout": dropout, "activation": activation}

    def embedded(token_ids: Any, side: str) -> Any:
        x = keras.layers.Rescaling(hidden_dim**0.5, name=f"{side}_scale")(embedding(token_ids))
        x = SinusoidalPositions(name=f"{side}_positions")(x)
        return keras.layers.Dropout(dropout, name=f"{side}_dropout")(x)

    memory = embedded(inputs["token_ids"], "encoder")
    bias = AttentionBias(name="encoder_bias")(inputs["padding_mask"])
    for index in range(num_layers):
        block = TransformerBlock(*sizes, **arguments, name=f"encoder_block_{index}")
        memory = block(memory, bias)
    x = embedded(decoder["decoder_token_ids"], "decoder")
    later = AttentionBias(causal=True, name="decoder_bias")(decoder["decoder_token_ids"])
    later = later + AttentionBias(name="decoder_padding_bias")(decoder["decoder_padding_mask"])
    for index in range(num_layers):
        block = TransformerBlock(*sizes, **arguments, cross=True, name=f"decoder_block_{index}")
        x = block(x, later, memory, bias)
    return keras.Model({**inputs, **decoder}, language_model_head(x, embedding), name=name)
