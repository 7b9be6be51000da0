"""GPT-2 as Hugging Face names it; its kernels are stored as ours are."""

from __future__ import annotations

from zoo_models.weights.converter import Converter, Head, Weight, norm


def _product(ours: str, theirs: str) -> tuple[Weight, Weight]:
    return Weight(f"{ours}/kernel", f"{theirs}.weight"), Weight(f"{ours}/bias", f"{theirs}.bias")


GPT2 = Converter(
    model_type="gpt2",
    prefix="transformer.",
    heads={
        "features": Head("GPT2Model"),
        "causal-lm": Head("GPT2LMHeadModel"),
        "text-classification": Head("GPT2ForSequenceClassification", ("score",)),
    },
    ignored=r"h\.\d+\.attn\.(masked_)?bias",
    tied={"lm_head.weight": "wte.weight"},
    sizes={
        "vocab_size": "vocab_size",
        "max_length": "n_positions",
        "num_layers": "n_layer",
        "hidden_dim": "n_embd",
        "num_heads": "n_head",
        "ff_dim": "n_inner",
        "epsilon": "layer_norm_epsilon",
    },
    defaults={
        "vocab_size": 50_257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "layer_norm_epsilon": 1e-5,
    },
    aliases={"hidden_size": "n_embd", "max_position_embeddings": "n_positions"}
    | {"num_attention_heads": "n_head", "num_hidden_layers": "n_layer"},
    harmless=(
        *("is_decoder", "n_ctx", "n_special", "predict_special_tokens", "reorder_and_upcast_attn"),
        *("summary_activation", "summary_proj_to_labels", "summary_type", "summary_use_proj"),
    ),
    fixed={
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "tie_word_embeddings": True,
    },
    weights=(
        Weight("token_embedding/embeddings", "wte.weight"),
        Weight("positions/embeddings", "wpe.weight"),
        *norm("block_{i}/attention_norm", "h.{i}.ln_1"),
        *_product("block_{i}/attention/qkv", "h.{i}.attn.c_attn"),
        *_product("block_{i}/attention/output", "h.{i}.attn.c_proj"),
        *norm("block_{i}/ff_norm", "h.{i}.ln_2"),
        *_product("block_{i}/ff_in", "h.{i}.mlp.c_fc"),
        *_product("block_{i}/ff_out", "h.{i}.mlp.c_proj"),
        *norm("final_norm", "ln_f"),
        Weight("logits/kernel", "score.weight", "linear"),
    ),
)
