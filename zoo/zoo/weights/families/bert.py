"""BERT as Hugging Face names it."""

from __future__ import annotations

from zoo.weights.converter import Converter, Head, Row, layer, norm

ACTIVATIONS = {
    "activation": {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"},
}
_BLOCK = "encoder.layer.{i}"

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
    ignored=r"embeddings\.position_ids|cls\.predictions\.decoder\.(weight|bias)",
    sizes={
        "vocab_size": "vocab_size",
        "max_length": "max_position_embeddings",
        "num_layers": "num_hidden_layers",
        "hidden_dim": "hidden_size",
        "num_heads": "num_attention_heads",
        "ff_dim": "intermediate_size",
        "num_segments": "type_vocab_size",
        "epsilon": "layer_norm_eps",
        "activation": "hidden_act",
    },
    words=ACTIVATIONS,
    graph=("pooling",),
    defaults={
        "vocab_size": 30_522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    },
    fixed={"position_embedding_type": "absolute", "tie_word_embeddings": True},
    rows=(
        Row("token_embedding/embeddings", "embeddings.word_embeddings.weight"),
        Row("segment_embedding/embeddings", "embeddings.token_type_embeddings.weight"),
        Row("positions/embeddings", "embeddings.position_embeddings.weight"),
        *norm("embedding_norm", "embeddings.LayerNorm"),
        *layer("block_{i}/attention/query", f"{_BLOCK}.attention.self.query"),
        *layer("block_{i}/attention/key", f"{_BLOCK}.attention.self.key"),
        *layer("block_{i}/attention/value", f"{_BLOCK}.attention.self.value"),
        *layer("block_{i}/attention/output", f"{_BLOCK}.attention.output.dense"),
        *norm("block_{i}/attention_norm", f"{_BLOCK}.attention.output.LayerNorm"),
        *layer("block_{i}/ff_in", f"{_BLOCK}.intermediate.dense"),
        *layer("block_{i}/ff_out", f"{_BLOCK}.output.dense"),
        *norm("block_{i}/ff_norm", f"{_BLOCK}.output.LayerNorm"),
        *layer("pooled_output", "pooler.dense"),
        *layer("logits", "classifier"),
        *layer("head_span", "qa_outputs"),
        *layer("next_sentence_logits", "cls.seq_relationship"),
        *layer("head_dense", "cls.predictions.transform.dense"),
        *norm("head_norm", "cls.predictions.transform.LayerNorm"),
        Row("logits/bias", "cls.predictions.bias"),
    ),
)
