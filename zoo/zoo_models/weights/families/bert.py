"""BERT, RoBERTa and XLM-R as Hugging Face names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_models.weights.converter import Converter, Head, Weight, layer, norm
from zoo_registry import UsageError

ACTIVATIONS = {
    "activation": {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"},
}
_BLOCK, _WORDS = "encoder.layer.{i}", "embeddings.word_embeddings.weight"

_SIZES = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "hidden_dim": "hidden_size",
    "num_heads": "num_attention_heads",
    "ff_dim": "intermediate_size",
    "num_segments": "type_vocab_size",
    "epsilon": "layer_norm_eps",
    "activation": "hidden_act",
}
_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
_ENCODER = (
    Weight("token_embedding/embeddings", _WORDS),
    Weight("segment_embedding/embeddings", "embeddings.token_type_embeddings.weight"),
    Weight("positions/embeddings", "embeddings.position_embeddings.weight"),
    *norm("embedding_norm", "embeddings.LayerNorm"),
    *layer("block_{i}/attention/query", f"{_BLOCK}.attention.self.query"),
    *layer("block_{i}/attention/key", f"{_BLOCK}.attention.self.key"),
    *layer("block_{i}/attention/value", f"{_BLOCK}.attention.self.value"),
    *layer("block_{i}/attention/output", f"{_BLOCK}.attention.output.dense"),
    *norm("block_{i}/attention_norm", f"{_BLOCK}.attention.output.LayerNorm"),
    *layer("block_{i}/ff_in", f"{_BLOCK}.intermediate.dense"),
    *layer("block_{i}/ff_out", f"{_BLOCK}.output.dense"),
    *norm("block_{i}/ff_norm", f"{_BLOCK}.output.LayerNorm"),
)
BERT = Converter(
    model_type="bert",
    prefix="bert.",
    heads={
        "features": Head("BertModel"),
        "sentence-embedding": Head("BertModel"),
        "text-classification": Head("BertForSequenceClassification", ("classifier",)),
        "multi-label": Head("BertForSequenceClassification", ("classifier",)),
        "token-classification": Head("BertForTokenClassification", ("classifier",)),
        "question-answering": Head("BertForQuestionAnswering", ("qa_outputs",)),
        "masked-lm": Head("BertForMaskedLM", ("cls.",)),
        "next-sentence": Head("BertForNextSentencePrediction", ("cls.",)),
        "pretraining": Head("BertForPreTraining", ("cls.",)),
    },
    ignored=r"embeddings\.position_ids",
    tied={
        "cls.predictions.decoder.weight": _WORDS,
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    sizes={**_SIZES, "max_length": "max_position_embeddings"},
    words=ACTIVATIONS,
    graph=("pooling", "first_position"),
    defaults=_DEFAULTS,
    fixed={"position_embedding_type": "absolute", "tie_word_embeddings": True},
    weights=(
        *_ENCODER,
        *layer("pooled_output", "pooler.dense"),
        *layer("logits", "classifier"),
        *layer("head_span", "qa_outputs"),
        *layer("next_sentence_logits", "cls.seq_relationship"),
        *layer("head_dense", "cls.predictions.transform.dense"),
        *norm("head_norm", "cls.predictions.transform.LayerNorm"),
        Weight("logits/bias", "cls.predictions.bias"),
    ),
)


def _positions(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return where positions begin: behind that of the padding token."""
    first = config["pad_token_id"] + 1
    return {"first_position": first, "max_length": config["max_position_embeddings"] - first}


def _written(arguments: Mapping[str, Any]) -> dict[str, Any]:
    first = arguments["first_position"]
    if not first:
        raise UsageError("first_position=0")
    return {
        "pad_token_id": first - 1,
        "max_position_embeddings": arguments["max_length"] + first,
    }


def _roberta(model_type: str, classes: str, vocab_size: int) -> Converter:
    classified = Head(
        f"{classes}ForSequenceClassification", ("classifier.dense", "classifier.out_proj")
    )
    return Converter(
        model_type=model_type,
        prefix="roberta.",
        heads={
            "features": Head(f"{classes}Model"),
            "sentence-embedding": Head(f"{classes}Model"),
            "text-classification": classified,
            "multi-label": classified,
            "token-classification": Head(
                f"{classes}ForTokenClassification", ("classifier.weight", "classifier.bias")
            ),
            "question-answering": Head(f"{classes}ForQuestionAnswering", ("qa_outputs",)),
            "masked-lm": Head(f"{classes}ForMaskedLM", ("lm_head",)),
        },
        ignored=r"embeddings\.position_ids",
        tied={"lm_head.decoder.weight": _WORDS, "lm_head.decoder.bias": "lm_head.bias"},
        sizes=_SIZES,
        # The activation of its masked-language head is always GELU.
        words={"activation": {"gelu": "gelu"}},
        graph=("pooling",),
        defaults={**_DEFAULTS, "vocab_size": vocab_size, "pad_token_id": 1},
        fixed={"position_embedding_type": "absolute", "tie_word_embeddings": True},
        read=_positions,
        write=_written,
        weights=(
            *_ENCODER,
            *layer("pooled_output", "pooler.dense"),
            *layer("pooled_output", "classifier.dense"),
            *layer("logits", "classifier.out_proj"),
            *layer("logits", "classifier"),
            *layer("head_span", "qa_outputs"),
            *layer("head_dense", "lm_head.dense"),
            *norm("head_norm", "lm_head.layer_norm"),
            Weight("logits/bias", "lm_head.bias"),
        ),
    )


ROBERTA = _roberta("roberta", "Roberta", 50_265)
XLM_ROBERTA = _roberta("xlm-roberta", "XLMRoberta", 30_522)
CONVERTERS = (BERT, ROBERTA, XLM_ROBERTA)
