"""Causal decoders."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import LICENSE, TOKEN_IDS
from zoo_registry import ModelSpec

DECODER: dict[str, Any] = {
    "license": LICENSE,
    "tasks": ("causal-lm", "features", "text-classification"),
    "inputs": (TOKEN_IDS,),
    "tags": ("text", "decoder", "attention"),
}
SMALL_BLOCKS = {"vocab_size": 40, "hidden_dim": 16, "num_layers": 2, "num_heads": 2}
SMALL_LLAMA = {**SMALL_BLOCKS, "num_heads": 4, "num_kv_heads": 2, "ff_dim": 24}


def _gpt(name: str, num_params: int, sizes: tuple[int, int, int], **fields: Any) -> ModelSpec:
    num_layers, hidden_dim, num_heads = sizes
    return ModelSpec(
        **{
            "name": name,
            **DECODER,
            "builder": "zoo_models.builders.gpt:gpt",
            "family": "gpt",
            "defaults": {
                "num_layers": num_layers,
                "hidden_dim": hidden_dim,
                "num_heads": num_heads,
            },
            "reduced": {**SMALL_BLOCKS, "dropout": 0.0, "max_length": 24},
            "num_params": num_params,
            "summary": f"GPT-2 of {num_layers} layers, {hidden_dim} wide, with 50,257 tokens.",
            "paper": "Radford et al. 2019, https://cdn.openai.com/better-language-models/"
            "language_models_are_unsupervised_multitask_learners.pdf",
            "converter": "zoo_models.weights.families.gpt2:GPT2",
            **fields,
        }
    )


def _gpt2(size: str, num_params: int, sizes: tuple[int, int, int]) -> ModelSpec:
    hub = "gpt2" if size == "small" else f"gpt2-{size}"
    return _gpt(
        f"gpt2-{size}",
        num_params,
        sizes,
        weights=f"hf://openai-community/{hub}",
        aliases=("gpt2",) if size == "small" else (),
    )


def _llama(name: str, num_params: int, **fields: Any) -> ModelSpec:
    return ModelSpec(
        **{
            "name": name,
            **DECODER,
            "builder": "zoo_models.builders.llama:llama",
            "family": "llama",
            "reduced": SMALL_LLAMA,
            "num_params": num_params,
            "paper": "Touvron et al. 2023, https://arxiv.org/abs/2307.09288",
            "converter": "zoo_models.weights.families.llama:CONVERTERS",
            **fields,
        }
    )


def _smollm2(
    size: str, num_params: int, sizes: tuple[int, int, int, int], **other: Any
) -> ModelSpec:
    num_layers, hidden_dim, num_heads, num_kv_heads = sizes
    number, unit = size[:-1], size[-1]
    return _llama(
        f"smollm2-{size}",
        num_params,
        defaults={
            "vocab_size": 49_152,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "theta": 100_000.0,
            "tied": True,
            **other,
        },
        summary=f"SmolLM2 of {number} {'million' if unit == 'm' else 'billion'} parameters.",
        paper="Ben Allal et al. 2025, https://arxiv.org/abs/2502.02737",
        weights=f"hf://HuggingFaceTB/SmolLM2-{size.upper()}",
        tags=("text", "decoder", "attention", "small"),
    )


SPECS = (
    _gpt(
        "gpt",
        124_439_808,
        (12, 768, 12),
        summary="GPT-2 of any size; the defaults are GPT-2 small.",
        weights="hf://openai-community/gpt2",
    ),
    _gpt("gpt-nano", 2_546_400, (3, 48, 3), tags=("text", "decoder", "attention", "small")),
    _gpt("gpt-micro", 7_357_312, (4, 128, 4), tags=("text", "decoder", "attention", "small")),
    _gpt("gpt-mini", 12_515_520, (6, 192, 6), tags=("text", "decoder", "attention", "small")),
    _gpt2("small", 124_439_808, (12, 768, 12)),
    _gpt2("medium", 354_823_168, (24, 1024, 16)),
    _gpt2("large", 774_030_080, (36, 1280, 20)),
    _gpt2("xl", 1_557_611_200, (48, 1600, 25)),
    _llama(
        "llama",
        6_738_415_616,
        summary="Llama, Mistral, Qwen 2 and 3, SmolLM3 of any size; the defaults are Llama 2 7B.",
    ),
    _llama(
        "llama-7b",
        6_738_415_616,
        summary="Llama 2 of 7 billion parameters.",
        weights="hf://meta-llama/Llama-2-7b-hf",
        license="Code Apache-2.0; weights: Llama 2 Community License",
    ),
    _smollm2("135m", 134_515_008, (30, 576, 9, 3), ff_dim=1536),
    _smollm2("360m", 361_821_120, (32, 960, 15, 5), ff_dim=2560),
    _llama(
        "smollm3-3b",
        3_075_098_624,
        defaults={
            "vocab_size": 128_256,
            "num_layers": 36,
            "hidden_dim": 2048,
            "num_heads": 16,
            "num_kv_heads": 4,
            "ff_dim": 11_008,
            "theta": 5_000_000.0,
            "epsilon": 1e-6,
            "tied": True,
            "unrotated": tuple(range(3, 36, 4)),
        },
        reduced={**SMALL_LLAMA, "unrotated": (1,)},
        summary="SmolLM3 of 3 billion parameters: every fourth block without positions.",
        paper="Bakouch et al. 2025, https://huggingface.co/blog/smollm3",
        weights="hf://HuggingFaceTB/SmolLM3-3B",
    ),
    _llama(
        "mistral-7b",
        7_248_023_552,
        defaults={
            "vocab_size": 32_768,
            "num_kv_heads": 8,
            "ff_dim": 14_336,
            "theta": 1_000_000.0,
        },
        summary="Mistral of 7 billion parameters, version 0.3, which has no window.",
        paper="Jiang et al. 2023, https://arxiv.org/abs/2310.06825",
        weights="hf://mistralai/Mistral-7B-v0.3",
    ),
    _llama(
        "qwen2.5-0.5b",
        494_032_768,
        defaults={
            "vocab_size": 151_936,
            "num_layers": 24,
            "hidden_dim": 896,
            "num_heads": 14,
            "num_kv_heads": 2,
            "ff_dim": 4864,
            "theta": 1_000_000.0,
            "epsilon": 1e-6,
            "tied": True,
            "qkv_bias": True,
        },
        summary="Qwen 2.5 of half a billion parameters.",
        paper="Qwen Team 2024, https://arxiv.org/abs/2412.15115",
        weights="hf://Qwen/Qwen2.5-0.5B",
        tags=("text", "decoder", "attention", "small"),
    ),
    _llama(
        "qwen3-0.6b",
        596_049_920,
        defaults={
            "vocab_size": 151_936,
            "num_layers": 28,
            "hidden_dim": 1024,
            "num_heads": 16,
            "num_kv_heads": 8,
            "head_dim": 128,
            "ff_dim": 3072,
            "theta": 1_000_000.0,
            "epsilon": 1e-6,
            "tied": True,
            "qk_norm": True,
        },
        reduced={**SMALL_LLAMA, "head_dim": 6},
        summary="Qwen 3 of 0.6 billion parameters: queries and keys are normalized.",
        paper="Qwen Team 2025, https://arxiv.org/abs/2505.09388",
        weights="hf://Qwen/Qwen3-0.6B",
        tags=("text", "decoder", "attention", "small"),
    ),
)
