"""Llama as Hugging Face names it."""

from __future__ import annotations

from zoo.weights.converter import Converter, Head, Row

_BLOCK = "layers.{i}"


def _product(ours: str, theirs: str) -> Row:
    return Row(f"block_{{i}}/{ours}/kernel", f"{_BLOCK}.{theirs}.weight", "linear")


LLAMA = Converter(
    model_type="llama",
    prefix="model.",
    heads={
        "features": Head("LlamaModel"),
        "causal-lm": Head("LlamaForCausalLM", ("lm_head",)),
        "text-classification": Head("LlamaForSequenceClassification", ("score",)),
    },
    ignored=r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
    sizes={
        "vocab_size": "vocab_size",
        "num_layers": "num_hidden_layers",
        "hidden_dim": "hidden_size",
        "num_heads": "num_attention_heads",
        "num_kv_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "ff_dim": "intermediate_size",
        "epsilon": "rms_norm_eps",
        "theta": "rope_theta",
        "tied": "tie_word_embeddings",
    },
    defaults={
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
    },
    # There is no table of positions: how far a text may go is the caller's.
    harmless=("is_decoder", "max_position_embeddings", "rope_interleaved"),
    fixed={
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_scaling": None,
        "rope_type": "default",
    },
    rows=(
        Row("token_embedding/embeddings", "embed_tokens.weight"),
        Row("block_{i}/attention_norm/gamma", f"{_BLOCK}.input_layernorm.weight"),
        _product("attention/query", "self_attn.q_proj"),
        _product("attention/key", "self_attn.k_proj"),
        _product("attention/value", "self_attn.v_proj"),
        _product("attention/output", "self_attn.o_proj"),
        Row("block_{i}/ff_norm/gamma", f"{_BLOCK}.post_attention_layernorm.weight"),
        _product("ff_gate", "mlp.gate_proj"),
        _product("ff_in", "mlp.up_proj"),
        _product("ff_out", "mlp.down_proj"),
        Row("final_norm/gamma", "norm.weight"),
        Row("logits/kernel", "lm_head.weight", "linear"),
        Row("logits/kernel", "score.weight", "linear"),
    ),
)
