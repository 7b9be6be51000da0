r"""Recurrent networks.

One step after the other: an LSTM keeps a state c (H) that gates write,
``c = f * c + i * tanh(..)``, ``h = o * tanh(c)``; a GRU has two gates and no second state. Tokens
(T) become vectors (T, E), L layers give (T, H), or (T, 2H) with a second network that reads from
the end. Classification takes the last step (both ends), tagging and language models every step.

Papers: LSTM https://doi.org/10.1162/neco.1997.9.8.1735, GRU https://arxiv.org/abs/1406.1078.
Difference: none from Keras' layers; a GRU resets after its product, as cuDNN's does.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo_models.layers import check_task, token_embedding, token_inputs, vector_head
from zoo_models.layers.inputs import scaled
from zoo_registry import UsageError

Task = Literal[
    "text-classification",
    "sequence-classification",
    "token-classification",
    "causal-lm",
    "features",
]
PER_STEP = ("token-classification", "causal-lm")
CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def rnn(
    *,
    vocab_size: int | None = None,
    sequence_length: int | None = None,
    input_shape: tuple[int | None, int] | None = None,
    embedding_dim: int = 128,
    cell: Literal["lstm", "gru"] = "lstm",
    bidirectional: bool = True,
    num_layers: int = 1,
    hidden_dim: int = 64,
    num_classes: int = 2,
    dropout: float = 0.1,
    rescale: float = 1.0,
    task: Task = "sequence-classification",
    name: str = "rnn",
) -> keras.Model:
    """Build an LSTM or GRU over tokens, or over the steps of a float sequence.

    LSTM: https://doi.org/10.1162/neco.1997.9.8.1735, GRU: https://arxiv.org/abs/1406.1078.
    Padding is masked: more of it never changes the outputs.

    Args:
        vocab_size: Number of tokens; leave it out for float sequences.
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        input_shape: Steps (``None`` if known only when data arrive) and channels of a float
            sequence; leave it out for tokens.
        embedding_dim: Width of the token vectors.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: Whether a second network reads from the end.
        num_layers: Recurrent layers.
        hidden_dim: Units of each, in each direction.
        num_classes: Size of the logits.
        dropout: Rate on the input of each recurrent layer and before the logits.
        rescale: Factor applied to float sequences in the graph.
        task: ``"text-classification"`` reads tokens, ``"sequence-classification"`` float
            sequences; ``"token-classification"`` and ``"causal-lm"`` (one direction only) read
            tokens and predict at every step; ``"features"`` reads either and ends after the last
            recurrent layer.
        name: Of the model.

    Returns:
        A model of ``token_ids`` and ``padding_mask`` int32 (batch, tokens), or of ``sequence``
        float32 (batch, steps, channels); it gives ``logits`` float32 (batch, num_classes), (batch,
        tokens, num_classes) or (batch, tokens, vocab_size), or ``pooled_output`` float32 (batch,
        width).

    Raises:
        UsageError: An unknown task or cell, both or none of ``vocab_size`` and ``input_shape``,
            or the one that the task cannot read, or a language model that sees what follows.

    Example:
        >>> model = rnn(input_shape=(8, 4), hidden_dim=3)
        >>> model.inputs[0].name, model.output_names
        ('sequence', ['logits'])
    """
    check_task("rnn", task, get_args(Task))
    if cell not in CELLS:
        raise UsageError(f"rnn: cell '{cell}' is not one of: {', '.join(CELLS)}.")
    _check_input(task, vocab_size, input_shape)
    if task == "causal-lm" and bidirectional:
        raise UsageError(
            "rnn: task 'causal-lm' needs bidirectional=False: it would see what follows."
        )
    mask = None
    if vocab_size is None:
        inputs = keras.Input(input_shape, name="sequence", dtype="float32")
        x = scaled(inputs, rescale)
    else:
        inputs = token_inputs(sequence_length)
        x = token_embedding(vocab_size, embedding_dim, 0.05)(inputs["token_ids"])
        mask = ops.not_equal(inputs["padding_mask"], 0)
    for index in range(num_layers):
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{index}")(x)
        last = index == num_layers - 1 and task not in PER_STEP
        x = _recurrent(cell, bidirectional, hidden_dim, index, last)(x, mask=mask)
    classes = vocab_size if task == "causal-lm" else num_classes
    head = vector_head(x, task=task, num_classes=classes or num_classes, dropout=dropout)
    return keras.Model(inputs, head, name=name)


def _recurrent(cell: str, bidirectional: bool, units: int, index: int, last: bool) -> Any:
    layer = CELLS[cell](units, return_sequences=not last, name=f"{cell}_{index}")
    return keras.layers.Bidirectional(layer, name=f"bi{cell}_{index}") if bidirectional else layer


def _check_input(task: str, vocab_size: int | None, input_shape: object) -> None:
    if (vocab_size is None) == (input_shape is None):
        raise UsageError(
            "rnn: give either vocab_size, to read tokens, or input_shape=(steps, channels), to "
            f"read float sequences; received vocab_size={vocab_size} and input_shape={input_shape}."
        )
    if task in ("text-classification", *PER_STEP) and vocab_size is None:
        raise UsageError(
            f"rnn: task '{task}' reads tokens and needs a vocab_size; "
            "task 'sequence-classification' reads float sequences."
        )
    if task == "sequence-classification" and vocab_size is not None:
        raise UsageError(
            "rnn: task 'sequence-classification' reads float sequences and needs an input_shape; "
            "task 'text-classification' reads tokens."
        )
