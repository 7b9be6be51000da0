"""The vision transformer as Hugging Face names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.weights.converter import Converter, Head, Row, layer, norm

_BLOCK = "encoder.layer.{i}"


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of the images."""
    size, patch = config["image_size"], config["patch_size"]
    height, width = size if isinstance(size, list) else (size, size)
    sides = set(patch) if isinstance(patch, list) else {patch}
    if len(sides) != 1:
        raise ValueError(f"patch_size={patch!r} is not a square")
    return {"input_shape": (height, width, config["num_channels"]), "patch_size": sides.pop()}


def keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that follow from several arguments."""
    height, width, channels = arguments["input_shape"]
    return {
        "image_size": height if height == width else [height, width],
        "num_channels": channels,
        "patch_size": arguments["patch_size"],
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
        "num_layers": "num_hidden_layers",
        "hidden_dim": "hidden_size",
        "num_heads": "num_attention_heads",
        "ff_dim": "intermediate_size",
        "epsilon": "layer_norm_eps",
        "mean": "image_mean",
        "std": "image_std",
    },
    defaults={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "image_size": 224,
        "patch_size": 16,
        "num_channels": 3,
    },
    harmless=("encoder_stride", "pooler_act", "pooler_output_size"),
    fixed={"hidden_act": "gelu", "qkv_bias": True},
    graph=("pooling",),
    read=shape,
    write=keys,
    # A layer on the class vector's output, which released classifiers leave out.
    unbuilt=r"pooler\.dense\.(weight|bias)",
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
