"""Write tiny random models of Hugging Face transformers with what they answer.

pip install torch transformers
python tests/weights/references/make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as hf

HERE = Path(__file__).parent
TEXT = {"vocab_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16}
BERT = {
    **TEXT,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "attn_implementation": "eager",
}
GPT2 = {"vocab_size": 40, "n_layer": 2, "n_head": 4, "n_embd": 16, "n_positions": 12}
LLAMA = {**TEXT, "intermediate_size": 24, "num_key_value_heads": 2, "rope_theta": 500.0}
DISTIL = {"vocab_size": 40, "n_layers": 2, "n_heads": 4, "dim": 16, "hidden_dim": 24}
CASES = {
    "bert-features": (hf.BertModel, hf.BertConfig(**BERT)),
    "bert-masked-lm": (hf.BertForMaskedLM, hf.BertConfig(**BERT)),
    "bert-text-classification": (
        hf.BertForSequenceClassification,
        hf.BertConfig(**BERT, num_labels=3),
    ),
    "bert-token-classification": (
        hf.BertForTokenClassification,
        hf.BertConfig(**BERT, num_labels=3),
    ),
    "bert-question-answering": (hf.BertForQuestionAnswering, hf.BertConfig(**BERT)),
    "bert-pretraining": (hf.BertForPreTraining, hf.BertConfig(**BERT)),
    "gpt-causal-lm": (hf.GPT2LMHeadModel, hf.GPT2Config(**GPT2)),
    "llama-causal-lm": (hf.LlamaForCausalLM, hf.LlamaConfig(**LLAMA)),
    "llama-tied-causal-lm": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig(**LLAMA, tie_word_embeddings=True),
    ),
    "distilbert-masked-lm": (hf.DistilBertForMaskedLM, hf.DistilBertConfig(**DISTIL)),
    "distilbert-text-classification": (
        hf.DistilBertForSequenceClassification,
        hf.DistilBertConfig(**DISTIL, num_labels=3),
    ),
}
RENAMED = {
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
    "prediction_logits": "logits",
    "seq_relationship_logits": "next_sentence_logits",
}


def main() -> None:
    """Write a folder a case."""
    rng = np.random.default_rng(0)
    for name, (architecture, config) in CASES.items():
        torch.manual_seed(0)
        model = architecture(config).eval()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(torch.randn(tensor.shape) * 0.3)
            model.tie_weights()
            ids = rng.integers(0, 40, (3, 9))
            mask = (np.arange(9) < np.array([[9], [5], [2]])).astype("int64")
            given = {"input_ids": torch.tensor(ids)}
            if "causal" not in name:
                given["attention_mask"] = torch.tensor(mask)
            answer = model(**given)
        model.save_pretrained(HERE / name)
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        arrays = {
            RENAMED.get(key, key): v.numpy() for key, v in answer.items() if hasattr(v, "numpy")
        }
        np.savez_compressed(HERE / name / "answer.npz", ids=ids, mask=mask, **arrays)


if __name__ == "__main__":
    main()
