"""Causal decoders."""

from __future__ import annotations

from typing import Any

from zoo.catalog.inputs import LICENSE, TOKEN_IDS
from zoo_registry import ModelSpec

GPT: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.gpt:gpt",
    "family": "gpt",
    "tasks": ("causal-lm", "features"),
    "inputs": (TOKEN_IDS,),
    "paper": "Radford et al. 2019, https://cdn.openai.com/better-language-models/"
    "language_models_are_unsupervised_multitask_learners.pdf",
}

SPECS = (
    ModelSpec(
        name="gpt",
        **GPT,
        defaults={"num_layers": 12, "hidden_dim": 768, "num_heads": 12},
        reduced={
            "vocab_size": 40,
            "hidden_dim": 16,
            "dropout": 0.0,
            "num_layers": 2,
            "num_heads": 2,
            "max_length": 24,
        },
        num_params=124_439_808,
        summary="GPT-2 of any size; the defaults are GPT-2 small.",
        tags=("text", "decoder", "attention"),
    ),
    ModelSpec(
        name="gpt-nano",
        **GPT,
        defaults={"vocab_size": 50_257, "num_layers": 3, "hidden_dim": 48, "num_heads": 3},
        reduced={"vocab_size": 40, "dropout": 0.0, "max_length": 24},
        num_params=2_546_400,
        summary="GPT-2 of 3 layers, 48 wide, with 50,257 tokens.",
        tags=("text", "decoder", "attention", "small"),
    ),
)
