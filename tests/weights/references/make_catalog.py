"""Write the configurations and tensor lists of every address in the catalog.

pip install torch transformers timm
python tests/weights/references/make_catalog.py

The configurations are those of the public repositories, as copies of them that can be read without
the hub have them; names of ImageNet's classes are left out but for their number. Names and shapes
of tensors are those of the libraries' own classes for these configurations, built without memory,
and where the public file is known to differ, its own: BERT's LayerNorm has `gamma` and `beta`, and
old files hold constants as tensors.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import timm
import torch
import transformers as hf

FILE = Path(__file__).parent / "catalog.json.gz"
DROPOUT = {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
BERT = {
    **DROPOUT,
    "architectures": ["BertForMaskedLM"],
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "model_type": "llama",
    "pretraining_tp": 1,
    "rope_scaling": None,
    "use_cache": True,
}
DECODER = {
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}
QWEN = {
    **DECODER,
    "bos_token_id": 151643,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
VIT = {
    "architectures": ["ViTForImageClassification"],
    "attention_probs_dropout_prob": 0.0,
    "encoder_stride": 16,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "image_size": 224,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "model_type": "vit",
    "num_channels": 3,
    "num_hidden_layers": 12,
    "patch_size": 16,
    "qkv_bias": True,
    "torch_dtype": "float32",
    "transformers_version": "4.17.0.dev0",
    "classes": 1000,
}


VIT_WORDS = {
    "vit.layers.": "vit.encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def bert(layers: int, width: int, heads: int, **other: Any) -> dict[str, Any]:
    """Return a BERT of a size."""
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers}
    return {**BERT, **sizes, "intermediate_size": 4 * width, **other}


def small_bert(layers: int, width: int, heads: int) -> dict[str, Any]:
    """Return one of the small sizes, whose configurations name no kind of model."""
    kept = ("hidden_act", "initializer_range", "vocab_size", "type_vocab_size", *DROPOUT)
    config = bert(layers, width, heads)
    sizes = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")
    return {k: config[k] for k in (*kept, *sizes, "max_position_embeddings")}


def roberta(layers: int, width: int, heads: int, **other: Any) -> dict[str, Any]:
    """Return a RoBERTa of a size."""
    config = {**bert(layers, width, heads), "architectures": ["RobertaForMaskedLM"], **other}
    ours = (
        "gradient_checkpointing",
        "position_embedding_type",
        "transformers_version",
        "use_cache",
    )
    kept = {key: value for key, value in config.items() if key not in ours}
    tokens = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "type_vocab_size": 1}
    sizes = {"layer_norm_eps": 1e-05, "max_position_embeddings": 514}
    return {**kept, "model_type": "roberta", "vocab_size": 50265, **tokens, **sizes, **other}


def smollm2(layers: int, width: int, heads: int, kv_heads: int, wide: int) -> dict[str, Any]:
    """Return a SmolLM2 of a size."""
    return {
        **LLAMA,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": wide,
        "is_llama_config": True,
        "max_position_embeddings": 8192,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_interleaved": False,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "vocab_size": 49152,
    }


def gpt2(layers: int, width: int, heads: int, **other: Any) -> dict[str, Any]:
    """Return a GPT-2 of a size."""
    return {**GPT2, "n_layer": layers, "n_embd": width, "n_head": heads, **other}


def resnet(depths: list[int], kind: str) -> dict[str, Any]:
    """Return a ResNet of a size."""
    wide = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
    return {
        "architectures": ["ResNetForImageClassification"],
        "depths": depths,
        "downsample_in_first_stage": False,
        "embedding_size": 64,
        "hidden_act": "relu",
        "hidden_sizes": wide,
        "layer_type": kind,
        "model_type": "resnet",
        "num_channels": 3,
        "torch_dtype": "float32",
        "transformers_version": "4.18.0.dev0",
        "classes": 1000,
    }


def vit(width: int, heads: int) -> dict[str, Any]:
    """Return a ViT of a size."""
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    return {**VIT, **sizes}


def timm_config(name: str) -> dict[str, Any]:
    """Return what timm writes beside weights that it puts on the hub."""
    kept = ("tag", "custom_load", "input_size", "fixed_input_size", "interpolation", "crop_pct")
    kept += ("crop_mode", "mean", "std", "num_classes", "pool_size", "first_conv", "classifier")
    said = timm.get_pretrained_cfg(f"{name}.in1k").to_dict()
    with torch.device("meta"):
        model = timm.create_model(name)
    return {
        "architecture": name,
        "num_classes": 1000,
        "num_features": model.num_features,
        "global_pool": "avg",
        "pretrained_cfg": {key: said[key] for key in kept if said.get(key) is not None},
    }


CONVNEXT = {"crop_pct": 0.875, "do_normalize": True, "do_resize": True, "resample": 3, "size": 224}
CONVNEXT |= {"feature_extractor_type": "ConvNextFeatureExtractor", **IMAGENET}
SQUEEZED = {"do_normalize": True, "do_resize": True, **HALF, "size": 224}
CROPPED = {
    **HALF,
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "MobileNetV2FeatureExtractor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}
# Address, configuration, class and image processing.
ROWS: dict[str, tuple[dict[str, Any], Any, dict[str, Any] | None]] = {
    "google-bert/bert-base-uncased": (bert(12, 768, 12), hf.BertForPreTraining, None),
    "google-bert/bert-large-uncased": (bert(24, 1024, 16), hf.BertForPreTraining, None),
    "google/bert_uncased_L-2_H-128_A-2": (small_bert(2, 128, 2), hf.BertForPreTraining, None),
    "google/bert_uncased_L-4_H-256_A-4": (small_bert(4, 256, 4), hf.BertForPreTraining, None),
    "google/bert_uncased_L-4_H-512_A-8": (small_bert(4, 512, 8), hf.BertForPreTraining, None),
    "google/bert_uncased_L-8_H-512_A-8": (small_bert(8, 512, 8), hf.BertForPreTraining, None),
    "sentence-transformers/all-MiniLM-L6-v2": (
        bert(
            6,
            384,
            12,
            architectures=["BertModel"],
            _name_or_path="nreimers/MiniLM-L6-H384-uncased",
            transformers_version="4.8.2",
        ),
        hf.BertModel,
        None,
    ),
    "distilbert/distilbert-base-uncased": (
        {
            "activation": "gelu",
            "architectures": ["DistilBertForMaskedLM"],
            "attention_dropout": 0.1,
            "dim": 768,
            "dropout": 0.1,
            "hidden_dim": 3072,
            "initializer_range": 0.02,
            "max_position_embeddings": 512,
            "model_type": "distilbert",
            "n_heads": 12,
            "n_layers": 6,
            "pad_token_id": 0,
            "qa_dropout": 0.1,
            "seq_classif_dropout": 0.2,
            "sinusoidal_pos_embds": False,
            "tie_weights_": True,
            "transformers_version": "4.10.0.dev0",
            "vocab_size": 30522,
        },
        hf.DistilBertForMaskedLM,
        None,
    ),
    "openai-community/gpt2": (gpt2(12, 768, 12), hf.GPT2LMHeadModel, None),
    "openai-community/gpt2-medium": (
        gpt2(24, 1024, 16, n_special=0, predict_special_tokens=True),
        hf.GPT2LMHeadModel,
        None,
    ),
    "openai-community/gpt2-large": (gpt2(36, 1280, 20), hf.GPT2LMHeadModel, None),
    "openai-community/gpt2-xl": (
        gpt2(48, 1600, 25, output_past=True),
        hf.GPT2LMHeadModel,
        None,
    ),
    "meta-llama/Llama-2-7b-hf": (
        {
            **LLAMA,
            "_name_or_path": "meta-llama/Llama-2-7b-hf",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "intermediate_size": 11008,
            "max_position_embeddings": 4096,
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 32,
            "rms_norm_eps": 1e-05,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.31.0.dev0",
            "vocab_size": 32000,
        },
        hf.LlamaForCausalLM,
        None,
    ),
    "HuggingFaceTB/SmolLM2-135M": (
        # As float32 keeps 1e-5.
        smollm2(30, 576, 9, 3, 1536)
        | {"initializer_range": 0.041666666666666664, "rms_norm_eps": 9.999999747378752e-06},
        hf.LlamaForCausalLM,
        None,
    ),
    "HuggingFaceTB/SmolLM2-360M": (smollm2(32, 960, 15, 5, 2560), hf.LlamaForCausalLM, None),
    "HuggingFaceTB/SmolLM3-3B": (
        {
            **DECODER,
            "architectures": ["SmolLM3ForCausalLM"],
            "attention_bias": False,
            "bos_token_id": 128000,
            "eos_token_id": 128012,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "layer_types": ["full_attention"] * 36,
            "max_position_embeddings": 65536,
            "max_window_layers": 28,
            "mlp_bias": False,
            "model_type": "smollm3",
            "no_rope_layer_interval": 4,
            "no_rope_layers": [1, 1, 1, 0] * 9,
            "num_attention_heads": 16,
            "num_hidden_layers": 36,
            "num_key_value_heads": 4,
            "pad_token_id": 128004,
            "pretraining_tp": 2,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 5000000.0,
            "sliding_window": None,
            "transformers_version": "4.54.0.dev0",
            "use_cache": False,
            "use_sliding_window": False,
            "vocab_size": 128256,
        },
        hf.SmolLM3ForCausalLM,
        None,
    ),
    "mistralai/Mistral-7B-v0.3": (
        {
            **DECODER,
            "architectures": ["MistralForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "max_position_embeddings": 32768,
            "model_type": "mistral",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "transformers_version": "4.42.0.dev0",
            "vocab_size": 32768,
        },
        hf.MistralForCausalLM,
        None,
    ),
    "Qwen/Qwen2.5-0.5B": (
        {
            **QWEN,
            "architectures": ["Qwen2ForCausalLM"],
            "eos_token_id": 151643,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "max_position_embeddings": 32768,
            "max_window_layers": 24,
            "model_type": "qwen2",
            "num_attention_heads": 14,
            "num_hidden_layers": 24,
            "num_key_value_heads": 2,
            "rope_theta": 1000000.0,
            "sliding_window": 32768,
            "transformers_version": "4.40.1",
            "use_mrope": False,
        },
        hf.Qwen2ForCausalLM,
        None,
    ),
    "Qwen/Qwen3-0.6B": (
        {
            **QWEN,
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "eos_token_id": 151645,
            "head_dim": 128,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "max_position_embeddings": 40960,
            "max_window_layers": 28,
            "model_type": "qwen3",
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "num_key_value_heads": 8,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "sliding_window": None,
            "transformers_version": "4.51.0",
        },
        hf.Qwen3ForCausalLM,
        None,
    ),
    "FacebookAI/roberta-base": (roberta(12, 768, 12), hf.RobertaForMaskedLM, None),
    "FacebookAI/roberta-large": (roberta(24, 1024, 16), hf.RobertaForMaskedLM, None),
    "FacebookAI/xlm-roberta-base": (
        roberta(
            12,
            768,
            12,
            architectures=["XLMRobertaForMaskedLM"],
            model_type="xlm-roberta",
            output_past=True,
            position_embedding_type="absolute",
            transformers_version="4.17.0.dev0",
            use_cache=True,
            vocab_size=250002,
        ),
        hf.XLMRobertaForMaskedLM,
        None,
    ),
    "microsoft/resnet-18": (resnet([2, 2, 2, 2], "basic"), None, CONVNEXT),
    "microsoft/resnet-34": (resnet([3, 4, 6, 3], "basic"), None, CONVNEXT),
    "microsoft/resnet-50": (resnet([3, 4, 6, 3], "bottleneck"), None, CONVNEXT),
    "microsoft/resnet-101": (resnet([3, 4, 23, 3], "bottleneck"), None, CONVNEXT),
    "microsoft/resnet-152": (resnet([3, 8, 36, 3], "bottleneck"), None, CONVNEXT),
    "google/mobilenet_v2_1.0_224": (
        {
            "architectures": ["MobileNetV2ForImageClassification"],
            "classifier_dropout_prob": 0.8,
            "depth_divisible_by": 8,
            "depth_multiplier": 1.0,
            "expand_ratio": 6,
            "finegrained_output": True,
            "first_layer_is_expansion": True,
            "hidden_act": "relu6",
            "image_size": 224,
            "initializer_range": 0.02,
            "layer_norm_eps": 0.001,
            "min_depth": 8,
            "model_type": "mobilenet_v2",
            "num_channels": 3,
            "output_stride": 32,
            "tf_padding": True,
            "torch_dtype": "float32",
            "transformers_version": "4.25.0.dev0",
            "classes": 1001,
        },
        hf.MobileNetV2ForImageClassification,
        CROPPED,
    ),
    "WinKawaks/vit-tiny-patch16-224": (vit(192, 3), hf.ViTForImageClassification, SQUEEZED),
    "WinKawaks/vit-small-patch16-224": (vit(384, 6), hf.ViTForImageClassification, SQUEEZED),
    "google/vit-base-patch16-224": (vit(768, 12), hf.ViTForImageClassification, SQUEEZED),
    **{
        f"timm/{name}.in1k": (timm_config(name), name, None)
        for name in (
            *(f"tf_efficientnet_lite{number}" for number in range(5)),
            "tf_mobilenetv3_small_100",
            "tf_mobilenetv3_large_100",
        )
    },
}


def model_of(config: dict[str, Any], kind: Any) -> torch.nn.Module:
    """Return the library's own model of a configuration, without memory."""
    kind = kind or hf.ResNetForImageClassification
    with torch.device("meta"):
        if isinstance(kind, str):
            return timm.create_model(kind)
        given = {k: v for k, v in config.items() if k not in {"classes", "model_type"}}
        classes = {"num_labels": config["classes"]} if "classes" in config else {}
        return kind(kind.config_class(**given, **classes))


def tensors_of(address: str, model: torch.nn.Module) -> dict[str, list[int]]:
    """Return shapes by name as the public file has them."""
    found = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = ["cls.predictions.decoder.", "lm_head.decoder."]
    if not address.startswith(("meta-llama", "mistralai")):
        tied.append("lm_head.weight")
    found = {k: v for k, v in found.items() if not k.startswith(tuple(tied))}
    if address.startswith("google-bert/"):
        words = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for word, old in words.items():
            found = {k.replace(word, old): v for k, v in found.items()}
        found["bert.embeddings.position_ids"] = [1, 512]
    if address.startswith("sentence-transformers/"):
        found["embeddings.position_ids"] = [1, 512]
    if "vit" in address:  # files keep the words of transformers 4
        for word, old in VIT_WORDS.items():
            found = {k.replace(word, old): v for k, v in found.items()}
    if address.startswith("openai-community/"):
        found = {k.removeprefix("transformer."): v for k, v in found.items()}
        layers = {k.split(".")[1] for k in found if k.startswith("h.")}
        found |= {f"h.{layer}.attn.bias": [1, 1, 1024, 1024] for layer in layers}
    if address.startswith("meta-llama"):
        names = (f"model.layers.{n}.self_attn.rotary_emb.inv_freq" for n in range(32))
        found |= {name: [64] for name in names}
    return found


def main() -> None:
    """Write the file."""
    table = {}
    for address, (config, kind, processor) in ROWS.items():
        tensors = tensors_of(address, model_of(config, kind))
        table[address] = {"config": config, "processor": processor, "tensors": tensors}
        print(address, len(tensors))
    text = json.dumps(table, separators=(",", ":"), sort_keys=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
