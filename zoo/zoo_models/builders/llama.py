r"""Llama: the modern causal decoder, and its siblings Mistral, Qwen 2 and 3, SmolLM 2 and 3.

Token vectors (T, D) go through L blocks: ``x + attention(norm(x))``, then
``x + silu(n A) * (n B) C`` with ``n = norm(x)``, A and B (D, F), C (F, D). ``norm`` divides by the
root of the mean square. Queries and keys are turned by their position (rotary); K of H heads of
keys and values are shared by H / K queries each. Logits (T, V) come from a last norm and either
the transposed embedding (``tied``) or a product of its own.

Siblings add biases to queries, keys and values (Qwen 2) or norms of each head's queries and keys
(Qwen 3), a window of tokens that are seen (Mistral), blocks that turn nothing (SmolLM3), and
rotations stretched for longer texts (Llama 3).

Papers: https://arxiv.org/abs/2302.13971, https://arxiv.org/abs/2307.09288,
https://arxiv.org/abs/2407.21783 (Llama 3), https://arxiv.org/abs/2310.06825 (Mistral),
https://arxiv.org/abs/2407.10671 (Qwen2), https://arxiv.org/abs/2505.09388 (Qwen3),
https://arxiv.org/abs/2502.02737 (SmolLM2). Difference: none; pairs are turned as in Hugging Face's
weights, element i with element i + half.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras

from zoo_models.layers import (
    AttentionBias,
    GatedBlock,
    LastStep,
    RMSNorm,
    RotaryPositions,
    check_task,
    language_model_head,
    sequence_head,
    token_embedding,
    token_inputs,
    vector_head,
)
from zoo_models.layers.initializers import kernel_initializer
from zoo_registry import UsageError

Task = Literal["causal-lm", "features", "text-classification"]


def llama(
    *,
    vocab_size: int = 32_000,
    sequence_length: int | None = None,
    num_layers: int = 32,
    hidden_dim: int = 4096,
    num_heads: int = 32,
    num_kv_heads: int | None = None,
    head_dim: int | None = None,
    ff_dim: int = 11_008,
    theta: float = 10_000.0,
    rope_scaling: dict[str, str | float | bool] | None = None,
    unrotated: tuple[int, ...] = (),
    window: int | None = None,
    windowed: tuple[int, ...] | None = None,
    qkv_bias: bool = False,
    output_bias: bool = False,
    ff_bias: bool = False,
    qk_norm: bool = False,
    epsilon: float = 1e-5,
    stddev: float = 0.02,
    tied: bool = False,
    num_classes: int = 2,
    dropout: float = 0.0,
    task: Task = "causal-lm",
    name: str = "llama",
) -> keras.Model:
    """Build a Llama decoder (https://arxiv.org/abs/2307.09288); the defaults are Llama 2 7B.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Heads of the queries.
        num_kv_heads: Heads of keys and values; as many as of queries by default.
        head_dim: Width of a head; the width over the heads by default.
        ff_dim: Width inside each block's perceptron.
        theta: Base of the rotary wavelengths.
        rope_scaling: How rotations are stretched for longer texts, in Hugging Face's words, such
            as ``{"rope_type": "linear", "factor": 2.0}``; also ``"llama3"`` and ``"yarn"``. See
            :func:`zoo_models.layers.rotary.rotary_rates`.
        unrotated: Indices of the blocks whose queries and keys are not turned.
        window: How many tokens, itself the last, a token sees; all before it by default.
        windowed: Indices of the blocks that ``window`` holds for; all by default.
        qkv_bias: Whether the products of queries, keys and values have one.
        output_bias: Whether the attention's output projection has one.
        ff_bias: Whether the perceptron's products have one.
        qk_norm: Whether each head's queries and keys are normalized before they are turned.
        epsilon: Of the normalizations.
        stddev: Of the initial values.
        tied: Whether the logits come from the transposed token embedding.
        num_classes: Size of the classification logits.
        dropout: Rate on attention, residual branches and before classification logits.
        task: ``"features"`` ends after the last normalization; ``"text-classification"`` reads
            the last real token.
        name: Of the model.

    Returns:
        A model of ``token_ids`` int32 (batch, tokens), and of ``padding_mask`` for
        classification. It gives ``logits`` float32 (batch, tokens, vocab_size) for the token
        after each, or (batch, num_classes), or ``sequence_output`` float32 (batch, tokens,
        hidden_dim).

    Raises:
        UsageError: An unknown task or scaling, blocks that there are not, or heads that do not
            divide what they have to.

    Example:
        >>> model = llama(vocab_size=100, num_layers=1, hidden_dim=8, num_heads=2, ff_dim=16)
        >>> model.output_shape
        (None, None, 100)
    """
    check_task("llama", task, get_args(Task))
    _check_blocks(num_layers, unrotated=unrotated, windowed=windowed)
    if window is not None and window < 1:
        raise UsageError(f"llama: window={window} hides every token: 1 is the least.")
    inputs = token_inputs(sequence_length)
    token_ids = inputs["token_ids"]
    embedding = token_embedding(vocab_size, hidden_dim, stddev, truncated=False)
    x = embedding(token_ids)
    rotation = RotaryPositions(
        head_dim or hidden_dim // num_heads, theta, rope_scaling, name="rotation"
    )(token_ids)
    windows = [
        window if windowed is None or index in windowed else None for index in range(num_layers)
    ]
    for index, bias in enumerate(_biases(token_ids, windows)):
        x = GatedBlock(
            hidden_dim,
            num_heads,
            num_kv_heads or num_heads,
            ff_dim,
            head_dim=head_dim,
            dropout=dropout,
            epsilon=epsilon,
            stddev=stddev,
            qkv_bias=qkv_bias,
            output_bias=output_bias,
            ff_bias=ff_bias,
            qk_norm=qk_norm,
            name=f"block_{index}",
        )(x, bias, None if index in unrotated else rotation)
    x = RMSNorm(epsilon, name="final_norm")(x)
    if task == "text-classification":
        last = LastStep(name="last_step")(x, inputs["padding_mask"])
        head = vector_head(
            last,
            task=task,
            num_classes=num_classes,
            dropout=dropout,
            stddev=stddev,
            use_bias=False,
        )
        return keras.Model(inputs, head, name=name)
    head = sequence_head(x) if task == "features" else _logits(x, embedding, tied, stddev)
    return keras.Model(token_ids, head, name=name)


def _biases(token_ids: Any, windows: list[int | None]) -> list[Any]:
    """Return what each block adds to its scores; those of one window share a layer."""
    made = {
        window: AttentionBias(
            causal=True,
            window=window,
            name="attention_bias" if window is None else "window_bias",
        )(token_ids)
        for window in sorted(set(windows), key=bool)
    }
    return [made[window] for window in windows]


def _check_blocks(num_layers: int, **blocks: tuple[int, ...] | None) -> None:
    for argument, indices in blocks.items():
        if indices and not 0 <= min(indices) <= max(indices) < num_layers:
            raise UsageError(
                f"llama: {argument}={indices} names blocks other than 0 to {num_layers - 1}."
            )


def _logits(x: Any, embedding: Any, tied: bool, stddev: float) -> Any:
    if tied:
        return language_model_head(x, embedding)
    return keras.layers.Dense(
        embedding.input_dim,
        use_bias=False,
        kernel_initializer=kernel_initializer(stddev, truncated=False),
        dtype="float32",
        name="logits",
    )(x)
