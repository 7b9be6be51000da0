"""Recurrent networks, encoders, and encoder with decoder."""

from __future__ import annotations

from typing import Any

from zoo.catalog.inputs import LICENSE, TEXT
from zoo_registry import ModelSpec, TensorSpec

RNN: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.rnn:rnn",
    "family": "rnn",
    "paper": "Hochreiter, Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735",
}
BERT: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.bert:bert",
    "family": "bert",
    "tasks": ("features", "text-classification", "masked-lm"),
    "inputs": TEXT,
    "paper": "Devlin et al. 2018, https://arxiv.org/abs/1810.04805",
}

SPECS = (
    ModelSpec(
        name="rnn",
        **RNN,
        tasks=("sequence-classification", "features"),
        defaults={"input_shape": (None, 1), "cell": "lstm", "num_classes": 2},
        inputs=(TensorSpec("sequence", (None, 1)),),
        reduced={"dropout": 0.0},
        num_params=34_050,
        summary="LSTM or GRU over float sequences, one step after the other.",
        tags=("sequence", "recurrent", "lstm", "gru"),
    ),
    ModelSpec(
        name="lstm-classifier",
        **RNN,
        tasks=("text-classification", "features"),
        defaults={"vocab_size": 20_000, "cell": "lstm", "bidirectional": True, "num_classes": 2},
        inputs=TEXT,
        reduced={"vocab_size": 40, "hidden_dim": 16, "dropout": 0.0, "embedding_dim": 8},
        num_params=2_659_074,
        summary="Bidirectional LSTM (or GRU) over tokens; padding is masked.",
        tags=("text", "recurrent", "lstm", "gru"),
    ),
    ModelSpec(
        name="transformer-classifier",
        builder="zoo.models.transformer:transformer",
        family="transformer",
        tasks=("text-classification", "features"),
        defaults={"vocab_size": 20_000, "positions": "sinusoidal", "num_classes": 2},
        inputs=TEXT,
        reduced={"vocab_size": 40, "hidden_dim": 16, "dropout": 0.0, "ff_dim": 32},
        num_params=2_825_218,
        summary="Transformer encoder with masked mean pooling.",
        paper="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        license=LICENSE,
        tags=("text", "encoder", "attention"),
    ),
    ModelSpec(
        name="bert",
        **BERT,
        defaults={"num_layers": 12, "hidden_dim": 768, "num_heads": 12, "ff_dim": 3072},
        reduced={
            "vocab_size": 40,
            "hidden_dim": 16,
            "dropout": 0.0,
            "num_layers": 2,
            "num_heads": 2,
            "ff_dim": 32,
            "max_length": 24,
        },
        num_params=109_482_240,
        summary="BERT of any size; the defaults are BERT-base, uncased.",
        tags=("text", "encoder", "attention"),
    ),
    ModelSpec(
        name="bert-tiny",
        **BERT,
        defaults={
            "vocab_size": 30_522,
            "num_layers": 2,
            "hidden_dim": 128,
            "num_heads": 2,
            "ff_dim": 512,
        },
        reduced={
            "vocab_size": 40,
            "hidden_dim": 16,
            "dropout": 0.0,
            "ff_dim": 32,
            "max_length": 24,
        },
        num_params=4_385_920,
        summary="BERT of 2 layers, 128 wide, with 30,522 tokens.",
        tags=("text", "encoder", "attention", "small"),
    ),
)
