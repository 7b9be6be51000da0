"""GGUF files of tiny models, by the ``gguf`` package, as llama.cpp's converter writes them."""

from __future__ import annotations

import json

import gguf
import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "model_type": "llama",
    "hidden_act": "silu",
    "vocab_size": 48,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5000.0,
    "tie_word_embeddings": True,
}
TYPES = gguf.GGMLQuantizationType


def tensors_of(config, seed=0):
    """Return tensors under Hugging Face's names."""
    random = np.random.default_rng(seed)
    width, inner, heads = (
        config[key] for key in ("hidden_size", "intermediate_size", "num_attention_heads")
    )
    size = config.get("head_dim", width // heads)
    kv = config["num_key_value_heads"] * size
    shapes = {"embed_tokens": (config["vocab_size"], width), "norm": (width,)}
    for block in range(config["num_hidden_layers"]):
        shapes |= {
            f"layers.{block}.{name}": shape
            for name, shape in {
                "input_layernorm": (width,),
                "self_attn.q_proj": (heads * size, width),
                "self_attn.k_proj": (kv, width),
                "self_attn.v_proj": (kv, width),
                "self_attn.o_proj": (width, heads * size),
                "post_attention_layernorm": (width,),
                "mlp.gate_proj": (inner, width),
                "mlp.up_proj": (inner, width),
                "mlp.down_proj": (width, inner),
            }.items()
        }
    made = {f"model.{name}.weight": shape for name, shape in shapes.items()}
    if not config["tie_word_embeddings"]:
        made["lm_head.weight"] = shapes["embed_tokens"]
    return {
        name: random.normal(0, 0.2, shape).astype("float32") + ("norm" in name)
        for name, shape in made.items()
    }


def write_snapshot(folder, config, tensors):
    """Write a model as transformers keeps it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def neighbours(array, heads):
    """Return rows in llama.cpp's order: i and i + half of each head stand beside each other."""
    size = len(array) // heads
    order = [
        head * size + half * size // 2 + i
        for head in range(heads)
        for i in range(size // 2)
        for half in (0, 1)
    ]
    return array[order]


def writer_of(path, config, architecture="llama"):
    """Return a writer that has the sizes of a model."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    return writer


def add_tensors(writer, config, tensors, kinds=(TYPES.F32,), turned=True):
    """Add tensors as llama.cpp orders and names them; matrices are of the given types in turn.

    Returns:
        The tensors as they are after quantization, under their names there.
    """
    architecture = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[writer.arch]
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    quantized = {}
    for index, (name, own) in enumerate(tensors.items()):
        count = heads.get(name.split(".")[-2]) if turned else None
        array = own if count is None else neighbours(own, count)
        kind = TYPES.F32 if array.ndim == 1 else kinds[index % len(kinds)]
        raw = quantize(array, kind)
        quantized[name] = gguf.quants.dequantize(raw, kind).reshape(array.shape)
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(theirs, raw, raw_dtype=kind)
    return quantized


def quantize(array, kind):
    """Return bytes of a type; any bits where the package cannot write it and reads it."""
    if kind not in {TYPES.Q4_K, TYPES.Q6_K}:
        return gguf.quants.quantize(array, kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(array.size)
    raw = random.integers(0, 256, (len(array), array.shape[1] // block, size), dtype="uint8")
    scales = random.uniform(-0.01, 0.01, (*raw.shape[:2], 2)).astype("float16").view("uint8")
    if kind == TYPES.Q4_K:
        raw[..., :4] = scales
    else:
        raw[..., -2:] = scales[..., :2]
    return raw.reshape(len(array), -1)


def write(writer):
    """Write what a writer has."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
