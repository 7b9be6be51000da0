"""Recurrent networks, encoders, and encoder with decoder."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import DECODER_TEXT, LICENSE, TEXT
from zoo_registry import ModelSpec, TensorSpec

RNN: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo_models.builders.rnn:rnn",
    "family": "rnn",
    "paper": "Hochreiter, Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735",
}
ENCODER_TASKS = (
    "text-classification",
    "multi-label",
    "token-classification",
    "question-answering",
    "masked-lm",
    "sentence-embedding",
)
SMALL_TEXT = {"vocab_size": 40, "hidden_dim": 16, "dropout": 0.0}
SMALL_BLOCKS = {**SMALL_TEXT, "num_layers": 2, "num_heads": 2, "ff_dim": 32}


def _rnn(
    name: str, task: str, num_params: int, *, cell: str, both: bool, summary: str
) -> ModelSpec:
    # A language model's classes are its tokens.
    classes = {} if task == "causal-lm" else {"num_classes": 2}
    return ModelSpec(
        name=name,
        **RNN,
        tasks=(task, "features"),
        defaults={"vocab_size": 20_000, "cell": cell, "bidirectional": both, **classes},
        inputs=TEXT,
        reduced={**SMALL_TEXT, "embedding_dim": 8},
        num_params=num_params,
        summary=summary,
        tags=("text", "recurrent", cell),
        aliases=("bilstm-classifier",) if name == "lstm-classifier" else (),
    )


def _bert(name: str, num_params: int, sizes: tuple[int, int, int], **fields: Any) -> ModelSpec:
    num_layers, hidden_dim, num_heads = sizes
    summary = f"BERT of {num_layers} layers, {hidden_dim} wide, with 30,522 tokens."
    return ModelSpec(
        **{
            "name": name,
            "license": LICENSE,
            "builder": "zoo_models.builders.bert:bert",
            "family": "bert",
            "tasks": ("features", *ENCODER_TASKS, "next-sentence", "pretraining"),
            "inputs": TEXT,
            "defaults": {
                "num_layers": num_layers,
                "hidden_dim": hidden_dim,
                "num_heads": num_heads,
                "ff_dim": 4 * hidden_dim,
            },
            "reduced": {**SMALL_BLOCKS, "max_length": 24},
            "num_params": num_params,
            "summary": summary,
            "paper": "Devlin et al. 2018, https://arxiv.org/abs/1810.04805",
            "tags": ("text", "encoder", "attention"),
            "converter": "zoo_models.weights.families.bert:CONVERTERS",
            **fields,
        }
    )


def _small_bert(size: str, num_params: int, sizes: tuple[int, int, int]) -> ModelSpec:
    num_layers, hidden_dim, num_heads = sizes
    return _bert(
        f"bert-{size}",
        num_params,
        sizes,
        paper="Turc et al. 2019, https://arxiv.org/abs/1908.08962",
        weights=f"hf://google/bert_uncased_L-{num_layers}_H-{hidden_dim}_A-{num_heads}",
        tags=("text", "encoder", "attention", "small"),
    )


def _roberta(name: str, num_params: int, vocab_size: int, sizes: tuple[int, int, int]) -> ModelSpec:
    is_multilingual = name.startswith("xlm")
    num_layers, hidden_dim, num_heads = sizes
    languages = "a hundred languages" if is_multilingual else "English"
    return _bert(
        name,
        num_params,
        sizes,
        license=f"Code {LICENSE}; weights: MIT",
        tasks=("features", *ENCODER_TASKS),
        defaults={
            "vocab_size": vocab_size,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "ff_dim": 4 * hidden_dim,
            "num_segments": 1,
            "first_position": 2,
            "epsilon": 1e-5,
        },
        summary=f"RoBERTa of {num_layers} layers, {hidden_dim} wide, with {vocab_size:,} tokens "
        f"of {languages}.",
        paper="Conneau et al. 2019, https://arxiv.org/abs/1911.02116"
        if is_multilingual
        else "Liu et al. 2019, https://arxiv.org/abs/1907.11692",
        weights=f"hf://FacebookAI/{name}",
    )


def _seq2seq(
    size: str, num_params: int, sizes: tuple[int, int, int, int], dropout: float
) -> ModelSpec:
    num_layers, hidden_dim, num_heads, ff_dim = sizes
    return ModelSpec(
        name=f"transformer-{size}",
        builder="zoo_models.builders.seq2seq:seq2seq_transformer",
        family="seq2seq-transformer",
        tasks=("seq2seq",),
        defaults={
            "vocab_size": 37_000,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "ff_dim": ff_dim,
            "dropout": dropout,
        },
        inputs=DECODER_TEXT,
        reduced=SMALL_BLOCKS,
        num_params=num_params,
        summary=f"Encoder and decoder of {num_layers} layers each, {hidden_dim} wide, "
        "for translation and summarization.",
        paper="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        license=LICENSE,
        tags=("text", "encoder", "decoder", "attention"),
    )


def _distilbert(name: str, summary: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        license=LICENSE,
        builder="zoo_models.builders.distilbert:distilbert",
        family="distilbert",
        tasks=("features", *ENCODER_TASKS),
        inputs=TEXT,
        reduced={**SMALL_BLOCKS, "max_length": 24},
        num_params=66_362_880,
        summary=summary,
        paper="Sanh et al. 2019, https://arxiv.org/abs/1910.01108",
        tags=("text", "encoder", "attention"),
        weights="hf://distilbert/distilbert-base-uncased",
        converter="zoo_models.weights.families.distilbert:DISTILBERT",
    )


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
    _rnn(
        "lstm-classifier",
        "text-classification",
        2_659_074,
        cell="lstm",
        both=True,
        summary="Bidirectional LSTM (or GRU) over tokens; padding is masked.",
    ),
    _rnn(
        "gru-classifier",
        "text-classification",
        2_634_754,
        cell="gru",
        both=True,
        summary="Bidirectional GRU over tokens; padding is masked.",
    ),
    _rnn(
        "lstm-tagger",
        "token-classification",
        2_609_538,
        cell="lstm",
        both=False,
        summary="LSTM that gives every token a class.",
    ),
    _rnn(
        "gru-tagger",
        "token-classification",
        2_597_378,
        cell="gru",
        both=False,
        summary="GRU that gives every token a class.",
    ),
    _rnn(
        "bilstm-tagger",
        "token-classification",
        2_659_074,
        cell="lstm",
        both=True,
        summary="Bidirectional LSTM that gives every token a class.",
    ),
    _rnn(
        "lstm-lm",
        "causal-lm",
        3_909_408,
        cell="lstm",
        both=False,
        summary="LSTM language model.",
    ),
    _rnn(
        "gru-lm",
        "causal-lm",
        3_897_248,
        cell="gru",
        both=False,
        summary="GRU language model.",
    ),
    ModelSpec(
        name="transformer-classifier",
        builder="zoo_models.builders.transformer:transformer",
        family="transformer",
        tasks=("text-classification", "features"),
        defaults={"vocab_size": 20_000, "positions": "sinusoidal", "num_classes": 2},
        inputs=TEXT,
        reduced={**SMALL_TEXT, "ff_dim": 32},
        num_params=2_825_218,
        summary="Transformer encoder with masked mean pooling.",
        paper="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        license=LICENSE,
        tags=("text", "encoder", "attention"),
    ),
    _seq2seq("tiny", 5_661_696, (2, 128, 4, 512), 0.1),
    _seq2seq("base", 63_082_496, (6, 512, 8, 2048), 0.1),
    _seq2seq("big", 214_245_376, (6, 1024, 16, 4096), 0.3),
    _bert(
        "bert",
        109_482_240,
        (12, 768, 12),
        summary="BERT of any size, also RoBERTa and XLM-R; the defaults are BERT-base, uncased.",
        weights="hf://google-bert/bert-base-uncased",
    ),
    _small_bert("tiny", 4_385_920, (2, 128, 2)),
    _small_bert("mini", 11_170_560, (4, 256, 4)),
    _small_bert("small", 28_763_648, (4, 512, 8)),
    _small_bert("medium", 41_373_184, (8, 512, 8)),
    _bert("bert-base", 109_482_240, (12, 768, 12), weights="hf://google-bert/bert-base-uncased"),
    _bert("bert-large", 335_141_888, (24, 1024, 16), weights="hf://google-bert/bert-large-uncased"),
    _roberta("roberta-base", 124_645_632, 50_265, (12, 768, 12)),
    _roberta("roberta-large", 355_359_744, 50_265, (24, 1024, 16)),
    _roberta("xlm-roberta-base", 278_043_648, 250_002, (12, 768, 12)),
    _bert(
        "minilm-l6",
        22_713_216,
        (6, 384, 12),
        summary="MiniLM of 6 layers, 384 wide: sentence embeddings, and a small BERT to fine-tune.",
        paper="Wang et al. 2020, https://arxiv.org/abs/2002.10957",
        # The revision and file that our tests were run with.
        weights="hf://sentence-transformers/all-MiniLM-L6-v2"
        "@1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
        "#sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        tags=("text", "encoder", "attention", "small", "sentence-embedding"),
    ),
    _distilbert("distilbert", "DistilBERT of any size; the defaults are the base size."),
    _distilbert("distilbert-base", "DistilBERT: BERT-base with half the layers."),
)
