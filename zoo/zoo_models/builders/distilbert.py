r"""DistilBERT: half of BERT's blocks, trained to predict as BERT does.

As BERT: (T, D) through L blocks, ``norm(x + attention(x))`` then ``norm(x + mlp(x))``, exact GELU;
but no segments and no pooled output. Classification reads the first token's vector through
``relu(x[0] W + b)``.

Paper: https://arxiv.org/abs/1910.01108. No difference from the reference.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import keras

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
    "sentence-embedding",
]
STDDEV = 0.02
EPSILON = 1e-12


def distilbert(
    *,
    vocab_size: int = 30_522,
    sequence_length: int | None = None,
    max_length: int = 512,
    num_layers: int = 6,
    hidden_dim: int = 768,
    num_heads: int = 12,
    ff_dim: int = 3072,
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu",
    num_classes: int = 2,
    pooling: Literal["first", "mean"] = "first",
    sentence_pooling: Literal["mean", "first"] = "mean",
    sentence_normalized: bool = True,
    dropout: float = 0.1,
    task: Task = "features",
    name: str = "distilbert",
) -> keras.Model:
    """Build DistilBERT (https://arxiv.org/abs/1910.01108); the defaults are the base size.

    Args:
        vocab_size: Number of tokens.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        max_length: Positions there are vectors for.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        activation: Inside each block's perceptron; ``"gelu"`` is exact.
        num_classes: Size of the classification logits.
        pooling: What is classified: the ``"first"`` token's vector through a dense layer, or the
            ``"mean"`` of the real tokens' vectors.
        sentence_pooling: What ``sentence_embedding`` is: the ``"mean"`` of the real tokens'
            vectors, or the ``"first"`` token's.
        sentence_normalized: Whether it is brought to length 1.
        dropout: Rate on embeddings, attention, residual branches and before the logits.
        task: The head.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` int32 (batch, tokens). It gives what
        :func:`zoo_models.builders.bert.bert` does for the task, without ``pooled_output``.

    Raises:
        UsageError: An unknown task or pooling.

    Example:
        >>> model = distilbert(vocab_size=50, num_layers=1, hidden_dim=8, num_heads=2, ff_dim=16)
        >>> sorted(model.output)
        ['sentence_embedding', 'sequence_output']
    """
    check_task("distilbert", task, get_args(Task))
    ways = ("first", "mean")
    check_choice("distilbert", pooling=(pooling, ways), sentence_pooling=(sentence_pooling, ways))
    inputs = token_inputs(sequence_length)
    mask = inputs["padding_mask"]
    embedding = token_embedding(vocab_size, hidden_dim, STDDEV)
    x = LearnedPositions(max_length, STDDEV, name="positions")(embedding(inputs["token_ids"]))
    x = LayerNorm(EPSILON, name="embedding_norm")(x)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    x = encoder_blocks(
        x,
        mask,
        num_layers,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        ff_dim=ff_dim,
        activation=activation,
        dropout=dropout,
        epsilon=EPSILON,
        stddev=STDDEV,
    )
    sentence = partial(sentence_embedding, pooling=sentence_pooling, normalized=sentence_normalized)
    if task == "features":
        outputs = {
            "sequence_output": sequence_head(x),
            "sentence_embedding": sentence(x, mask),
        }
    elif task == "masked-lm":
        outputs = masked_lm_head(x, embedding, activation, epsilon=EPSILON, stddev=STDDEV)
    elif task in ("text-classification", "multi-label"):
        pooled = _first(x) if pooling == "first" else MaskedMeanPooling(name="mean_pool")(x, mask)
        outputs = vector_head(
            pooled, task=task, num_classes=num_classes, dropout=dropout, stddev=STDDEV
        )
    elif task == "sentence-embedding":
        outputs = sentence(x, mask)
    else:
        outputs = encoder_head(x, task, num_classes, dropout, stddev=STDDEV)
    return keras.Model(inputs, outputs, name=name)


def _first(x: Any) -> Any:
    return keras.layers.Dense(
        x.shape[-1],
        activation="relu",
        kernel_initializer=kernel_initializer(STDDEV),
        name="head_dense",
    )(x[:, 0])
