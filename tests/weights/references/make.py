"""Write tiny random models of Hugging Face transformers with what they answer.

pip install torch transformers
python tests/weights/references/make.py
"""

from __future__ import annotations

from functools import partial
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
VIT = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16} | {
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 4,
}
RESNET = {"embedding_size": 8, "depths": [2, 1]}
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
    "vit-image-classification": (hf.ViTForImageClassification, hf.ViTConfig(**VIT, num_labels=3)),
    "vit-features": (partial(hf.ViTModel, add_pooling_layer=False), hf.ViTConfig(**VIT)),
    "resnet-image-classification": (
        hf.ResNetForImageClassification,
        hf.ResNetConfig(**RESNET, hidden_sizes=[8, 12], layer_type="basic", num_labels=3),
    ),
    "resnet-bottleneck-features": (
        hf.ResNetModel,
        hf.ResNetConfig(**RESNET, hidden_sizes=[16, 24], layer_type="bottleneck"),
    ),
    "mobilenet-v2-image-classification": (
        hf.MobileNetV2ForImageClassification,
        hf.MobileNetV2Config(depth_multiplier=0.25, image_size=48, num_labels=3),
    ),
}
RENAMED = {
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
    "prediction_logits": "logits",
    "seq_relationship_logits": "next_sentence_logits",
}


def given(name: str, model: torch.nn.Module, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return what the model is asked, in Hugging Face's names."""
    if model.main_input_name == "pixel_values":
        size = getattr(model.config, "image_size", 48)
        return {"pixel_values": rng.standard_normal((3, 3, size, size)).astype("float32")}
    mask = (np.arange(9) < np.array([[9], [5], [2]])).astype("int64")
    ids = {"input_ids": rng.integers(0, 40, (3, 9))}
    return ids if "causal" in name else ids | {"attention_mask": mask}


def main() -> None:
    """Write a folder a case."""
    for number, (name, (architecture, config)) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        torch.manual_seed(number)
        model = architecture(config).eval()
        inputs = given(name, model, rng)
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                if key.endswith("running_var"):
                    tensor.copy_(torch.rand(tensor.shape) + 0.5)
                elif tensor.is_floating_point():
                    scale = 1 / tensor[0].numel() ** 0.5 if tensor.ndim == 4 else 0.3
                    tensor.copy_(torch.randn(tensor.shape) * scale)
            getattr(model, "tie_weights", lambda: None)()
            answer = model(**{key: torch.tensor(value) for key, value in inputs.items()})
        model.save_pretrained(HERE / name)
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        arrays = {
            RENAMED.get(key, key): v.numpy() for key, v in answer.items() if hasattr(v, "numpy")
        }
        np.savez_compressed(HERE / name / "answer.npz", **inputs, **arrays)


if __name__ == "__main__":
    main()
