"""Models of the ratings that users give items; sizes are those of MovieLens 100k."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import LICENSE
from zoo_registry import ModelSpec, TensorSpec

# 943 users and 1,682 movies, and the unknown ones.
SIZES = {"num_users": 944, "num_items": 1683}
SHARED: dict[str, Any] = {
    "license": LICENSE,
    "tasks": ("rating",),
    "inputs": (TensorSpec("user_id", (1,), "int32"), TensorSpec("item_id", (1,), "int32")),
}

SPECS = (
    ModelSpec(
        name="matrix-factorization",
        **SHARED,
        builder="zoo_models.builders.matrix_factorization:matrix_factorization",
        family="matrix-factorization",
        defaults={**SIZES, "embedding_dim": 32},
        num_params=86_691,
        summary="Biases and the product of a vector for each user and item.",
        paper="Koren, Bell, Volinsky 2009, https://doi.org/10.1109/MC.2009.263",
        tags=("recommendation",),
        reduced={"num_users": 50, "num_items": 60, "embedding_dim": 4},
    ),
    ModelSpec(
        name="neumf",
        **SHARED,
        builder="zoo_models.builders.neumf:neumf",
        family="neumf",
        defaults={
            **SIZES,
            "embedding_dim": 8,
            "mlp_embedding_dim": 32,
            "hidden_dims": (32, 16, 8),
        },
        num_params=107_841,
        summary="Product of user and item vectors beside a perceptron of others.",
        paper="He et al. 2017, https://arxiv.org/abs/1708.05031",
        tags=("recommendation",),
        reduced={"num_users": 50, "num_items": 60},
    ),
)
