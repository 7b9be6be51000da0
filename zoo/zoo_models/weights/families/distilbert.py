"""DistilBERT as Hugging Face names it."""

from __future__ import annotations

from zoo_models.weights.converter import Converter, Head, Weight, layer, norm
from zoo_models.weights.families.bert import ACTIVATIONS

_BLOCK = "transformer.layer.{i}"

DISTILBERT = Converter(
    model_type="distilbert",
    prefix="distilbert.",
    heads={
        "features": Head("DistilBertModel"),
        "sentence-embedding": Head("DistilBertModel"),
        "text-classification": Head(
            "DistilBertForSequenceClassification", ("classifier", "pre_classifier")
        ),
        "multi-label": Head(
            "DistilBertForSequenceClassification", ("classifier", "pre_classifier")
        ),
        "token-classification": Head("DistilBertForTokenClassification", ("classifier",)),
        "question-answering": Head("DistilBertForQuestionAnswering", ("qa_outputs",)),
        "masked-lm": Head("DistilBertForMaskedLM", ("vocab_",)),
    },
    tied={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
    sizes={
        "vocab_size": "vocab_size",
        "max_length": "max_position_embeddings",
        "num_layers": "n_layers",
        "hidden_dim": "dim",
        "num_heads": "n_heads",
        "ff_dim": "hidden_dim",
        "activation": "activation",
    },
    words=ACTIVATIONS,
    graph=("pooling",),
    defaults={
        "vocab_size": 30_522,
        "max_position_embeddings": 512,
        "n_layers": 6,
        "n_heads": 12,
        "dim": 768,
        "hidden_dim": 3072,
        "activation": "gelu",
    },
    aliases={"hidden_size": "dim", "num_attention_heads": "n_heads"}
    | {"num_hidden_layers": "n_layers"},
    # Sinusoidal positions are what the table begins with; it is kept as any other is.
    harmless=("sinusoidal_pos_embds", "tie_weights_"),
    fixed={"tie_word_embeddings": True},
    weights=(
        Weight("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
        Weight("positions/embeddings", "embeddings.position_embeddings.weight"),
        *norm("embedding_norm", "embeddings.LayerNorm"),
        *layer("block_{i}/attention/query", f"{_BLOCK}.attention.q_lin"),
        *layer("block_{i}/attention/key", f"{_BLOCK}.attention.k_lin"),
        *layer("block_{i}/attention/value", f"{_BLOCK}.attention.v_lin"),
        *layer("block_{i}/attention/output", f"{_BLOCK}.attention.out_lin"),
        *norm("block_{i}/attention_norm", f"{_BLOCK}.sa_layer_norm"),
        *layer("block_{i}/ff_in", f"{_BLOCK}.ffn.lin1"),
        *layer("block_{i}/ff_out", f"{_BLOCK}.ffn.lin2"),
        *norm("block_{i}/ff_norm", f"{_BLOCK}.output_layer_norm"),
        *layer("head_dense", "pre_classifier"),
        *layer("logits", "classifier"),
        *layer("head_span", "qa_outputs"),
        *layer("head_dense", "vocab_transform"),
        *norm("head_norm", "vocab_layer_norm"),
        Weight("logits/bias", "vocab_projector.bias"),
    ),
)
