"""The vision transformer as Hugging Face names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.weights.converter import Converter, Head, Row, layer, norm

_BLOCK = "encoder.layer.{i}"


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of the images."""
    size = config["image_size"]
    height, width = size if isinstance(size, list) else (size, size)
    return {"input_shape": (height, width, config.get("num_channels", 3))}


def keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that follow from several arguments."""
    height, width, channels = arguments["input_shape"]
    return {
        "image_size": height if height == width else [height, width],
        "num_channels": channels,
        "intermediate_size": arguments["ff_dim"] or 4 * arguments["hidden_dim"],
    }


VIT = Converter(
    model_type="vit",
    prefix="vit.",
    heads={
        "features": Head("ViTModel"),
        "image-classification": Head("ViTForImageClassification", ("classifier",)),
    },
    sizes={
        "patch_size": "patch_size",
        "num_layers": "num_hidden_layers",
        "hidden_dim": "hidden_size",
        "num_heads": "num_attention_heads",
        "ff_dim": "intermediate_size",
        "epsilon": "layer_norm_eps",
        "mean": "image_mean",
        "std": "image_std",
    },
    fixed={"hidden_act": "gelu", "qkv_bias": True},
    graph=("pooling",),
    read=shape,
    write=keys,
    # The layer that Hugging Face adds to the class vector's output was never trained.
    ignored=r"pooler\.dense\.(weight|bias)",
    rows=(
        *layer("patch_embedding", "embeddings.patch_embeddings.projection", "conv"),
        Row("class_token/token", "embeddings.cls_token"),
        Row("positions/embeddings", "embeddings.position_embeddings", "one"),
        *layer("block_{i}/attention/query", f"{_BLOCK}.attention.attention.query"),
        *layer("block_{i}/attention/key", f"{_BLOCK}.attention.attention.key"),
        *layer("block_{i}/attention/value", f"{_BLOCK}.attention.attention.value"),
        *layer("block_{i}/attention/output", f"{_BLOCK}.attention.output.dense"),
        *norm("block_{i}/attention_norm", f"{_BLOCK}.layernorm_before"),
        *layer("block_{i}/ff_in", f"{_BLOCK}.intermediate.dense"),
        *layer("block_{i}/ff_out", f"{_BLOCK}.output.dense"),
        *norm("block_{i}/ff_norm", f"{_BLOCK}.layernorm_after"),
        *norm("final_norm", "layernorm"),
        *layer("logits", "classifier"),
    ),
)
