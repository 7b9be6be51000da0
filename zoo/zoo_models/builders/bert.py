r"""BERT: a bidirectional encoder.

Vectors of token, position and segment are added and normalized: (T, D). L blocks,
``norm(x + attention(x))`` then ``norm(x + mlp(x))`` with exact GELU, keep that shape; padding is
hidden from the attention. The pooled output is ``tanh(x[0] W + b)``, (D,). Masked-language logits
(T, V) come from ``norm(gelu(x W + b))``, the transposed token embedding and a bias.

Paper: https://arxiv.org/abs/1810.04805; the small sizes: https://arxiv.org/abs/1908.08962; MiniLM:
https://arxiv.org/abs/2002.10957; RoBERTa (https://arxiv.org/abs/1907.11692) and XLM-R
(https://arxiv.org/abs/1911.02116) have one segment, and positions from ``first_position`` on.
Difference: ``segment_ids`` is an input on request only; without it all tokens are in segment 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo_models.layers import (
    LayerNorm,
    LearnedPositions,
    MaskedMeanPooling,
    check_choice,
    check_task,
    encoder_blocks,
    encoder_head,
    masked_lm_head,
    sentence_embedding,
    sequence_head,
    token_embedding,
    token_inputs,
    vector_head,
)
from zoo_models.layers.initializers import kernel_initializer

Task = Literal[
    "features",
    "text-classification",
    "multi-label",
    "token-classification",
    "question-answering",
    "masked-lm",
    "next-sentence",
    "pretraining",
    "sentence-embedding",
]
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
    first_position: int = 0,
    num_segments: int = 2,
    use_segments: bool = False,
    num_classes: int = 2,
    pooling: Literal["first", "mean"] = "first",
    sentence_pooling: Literal["mean", "first"] = "mean",
    sentence_normalized: bool = True,
    epsilon: float = EPSILON,
    dropout: float = 0.1,
    task: Task = "features",
    name: str = "bert",
) -> keras.Model:
    """Build BERT (https://arxiv.org/abs/1810.04805); the defaults are BERT-base, uncased.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        max_length: Positions there are vectors for.
        first_position: Vectors that stand before the first token's: RoBERTa's table has two, of
            which its padding has the second.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        activation: Inside each block's perceptron; ``"gelu"`` is exact.
        num_segments: Segment vectors (token types).
        use_segments: Whether ``segment_ids`` is an input; if not, all tokens are in segment 0.
        num_classes: Size of the classification logits.
        pooling: What is classified: ``"first"`` is BERT's pooled output, ``"mean"`` the mean of
            the real tokens' vectors, as sentence encoders such as MiniLM are trained.
        sentence_pooling: What ``sentence_embedding`` is: the ``"mean"`` of the real tokens'
            vectors, or the ``"first"`` token's, as BGE and Arctic are trained.
        sentence_normalized: Whether it is brought to length 1.
        epsilon: Of the layer normalizations.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        task: The head.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` (and ``segment_ids``) int32 (batch, tokens).
        What it gives, float32, by task: ``"features"``: ``sequence_output`` (batch, tokens,
        hidden_dim), ``pooled_output`` and ``sentence_embedding`` (batch, hidden_dim), which has
        length 1; ``"sentence-embedding"``: only that;
        ``"text-classification"`` and ``"multi-label"``: ``logits`` (batch, num_classes);
        ``"token-classification"``: ``logits`` (batch, tokens, num_classes);
        ``"question-answering"``: ``start_logits`` and ``end_logits`` (batch, tokens);
        ``"masked-lm"``: ``logits`` (batch, tokens, vocab_size); ``"next-sentence"``:
        ``next_sentence_logits`` (batch, 2); ``"pretraining"``: both.

    Raises:
        UsageError: An unknown task or pooling.

    Example:
        >>> model = bert(num_layers=2, hidden_dim=128, num_heads=2, ff_dim=512)
        >>> model.count_params()
        4385920
    """
    check_task("bert", task, get_args(Task))
    ways = ("first", "mean")
    check_choice("bert", pooling=(pooling, ways), sentence_pooling=(sentence_pooling, ways))
    inputs = token_inputs(sequence_length)
    if use_segments:
        inputs["segment_ids"] = keras.Input((sequence_length,), name="segment_ids", dtype="int32")
    embedding = token_embedding(vocab_size, hidden_dim, STDDEV)
    positions = LearnedPositions(max_length, STDDEV, first=first_position, name="positions")
    x = _embed(inputs, embedding, num_segments, positions, epsilon, dropout)
    x = encoder_blocks(
        x,
        inputs["padding_mask"],
        num_layers,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        ff_dim=ff_dim,
        activation=activation,
        dropout=dropout,
        epsilon=epsilon,
        stddev=STDDEV,
    )
    if task in ("masked-lm", "pretraining"):
        logits = masked_lm_head(x, embedding, activation, epsilon=epsilon, stddev=STDDEV)
        if task == "masked-lm":
            return keras.Model(inputs, logits, name=name)
        next_sentence = _next_sentence(_pooled(x))
        outputs = {"logits": logits, "next_sentence_logits": next_sentence}
        return keras.Model(inputs, outputs, name=name)
    mask = inputs["padding_mask"]
    sentence = partial(sentence_embedding, pooling=sentence_pooling, normalized=sentence_normalized)
    if task == "features":
        outputs = {
            "sequence_output": sequence_head(x),
            "pooled_output": _pooled(x),
            "sentence_embedding": sentence(x, mask),
        }
    elif task == "next-sentence":
        outputs = _next_sentence(_pooled(x))
    elif task in ("text-classification", "multi-label"):
        pooled = _pooled(x) if pooling == "first" else MaskedMeanPooling(name="mean_pool")(x, mask)
        outputs = vector_head(
            pooled, task=task, num_classes=num_classes, dropout=dropout, stddev=STDDEV
        )
    elif task == "sentence-embedding":
        outputs = sentence(x, mask)
    else:
        outputs = encoder_head(x, task, num_classes, dropout, stddev=STDDEV)
    return keras.Model(inputs, outputs, name=name)


def _embed(  # noqa: PLR0917  # the sizes of one sum
    inputs: dict[str, Any],
    embedding: Any,
    num_segments: int,
    positions: Any,
    epsilon: float,
    dropout: float,
) -> Any:
    x = embedding(inputs["token_ids"])
    segments = keras.layers.Embedding(
        num_segments,
        x.shape[-1],
        embeddings_initializer=kernel_initializer(STDDEV),
        name="segment_embedding",
    )
    x = x + segments(inputs.get("segment_ids", ops.zeros_like(inputs["token_ids"])))
    x = positions(x)
    x = LayerNorm(epsilon, name="embedding_norm")(x)
    return keras.layers.Dropout(dropout, name="embedding_dropout")(x)


def _pooled(x: Any) -> Any:
    return keras.layers.Dense(
        x.shape[-1],
        activation="tanh",
        kernel_initializer=kernel_initializer(STDDEV),
        name="pooled_output",
    )(x[:, 0])


def _next_sentence(pooled: Any) -> Any:
    return keras.layers.Dense(
        2,
        kernel_initializer=kernel_initializer(STDDEV),
        dtype="float32",
        name="next_sentence_logits",
    )(pooled)
