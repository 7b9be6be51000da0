"""The vision transformer as Hugging Face transformers and timm name it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from zoo_models.weights.converter import Converter, Head, Weight, layer, norm
from zoo_models.weights.families.timm import timm

Array = np.ndarray[Any, Any]
Grid = tuple[int, int]
# Of the cubic kernel: PyTorch's plain one, and the one that it shares with Pillow.
SHARP, SMOOTH = -0.75, -0.5
_BLOCK = "encoder.layer.{i}"


def fit_positions(
    positions: Array, model: Any, config: Mapping[str, Any], *, antialias: bool
) -> Array:
    """Return the positions of a vision transformer for the size of its images.

    The class vector's stays; those of the patches, a grid of rows, are resized bicubically, as
    ``interpolate_pos_encoding`` of transformers or ``resample_abs_pos_embed`` of timm does.

    Args:
        positions: float (1 + patches, width) as the weights have them.
        model: It says the size of its images and of its patches.
        config: It says for what size the weights are; without it, a square one.
        antialias: Whether a coarser grid is a weighted mean of all old positions (timm) or picks
            four by four of them (transformers).

    Returns:
        The same for the model's grid; positions that are not a grid as they are.
    """
    patch = model.get_layer("patch_embedding").kernel_size[0]
    height, width = model.inputs[0].shape[1:3]
    new = (height // patch, width // patch)
    old = _old_grid(len(positions) - 1, config, patch, new)
    if old is None or old == new:
        return positions
    table = positions[1:].astype("float64").reshape(*old, -1)
    for axis in (0, 1):
        table = _scaled(np.moveaxis(table, axis, 0), new[axis], antialias)
        table = np.moveaxis(table, 0, axis)
    return np.concatenate([positions[:1], table.reshape(new[0] * new[1], -1)])


def _old_grid(patches: int, config: Mapping[str, Any], patch: int, new: Grid) -> Grid | None:
    size = config.get("image_size")
    if isinstance(size, list):
        grid = (size[0] // patch, size[1] // patch)
        if grid[0] * grid[1] == patches:
            return grid
    side = math.isqrt(patches)
    if not config and patches == new[0] * new[1]:
        return new
    return (side, side) if side * side == patches else None


def _scaled(rows: Array, count: int, antialias: bool) -> Array:
    """Return the rows along the first axis resampled to ``count`` of them."""
    weights = _weights(len(rows), count, antialias)
    scaled: Array = np.tensordot(weights, rows, axes=1)
    return scaled


def _weights(old: int, new: int, antialias: bool) -> Array:
    """Return float (new, old): how much of each old row is in each new one."""
    scale = old / new
    centers = (np.arange(new)[:, None] + 0.5) * scale
    weights: Array = np.zeros((new, old))
    if antialias:
        stretch = max(scale, 1.0)
        weights += _cubic((np.arange(old)[None] + 0.5 - centers) / stretch, SMOOTH)
        weights /= weights.sum(axis=1, keepdims=True)
        return weights
    first = np.floor(centers - 0.5).astype(int) - 1
    for offset in range(4):
        index = first + offset
        # Beyond the border the last value is repeated.
        near = np.clip(index, 0, old - 1)
        amount = _cubic(index + 0.5 - centers, SHARP)
        np.add.at(weights, (np.arange(new)[:, None], near), amount)
    return weights


def _cubic(distance: Array, a: float) -> Array:
    """Return the cubic convolution kernel (https://doi.org/10.1109/TASSP.1981.1163711)."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


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
    own=("input_shape",),
    read=shape,
    write=keys,
    # A layer on the class vector's output, which released classifiers leave out.
    unbuilt=r"pooler\.dense\.(weight|bias)",
    weights=(
        *layer("patch_embedding", "embeddings.patch_embeddings.projection", "conv"),
        Weight("class_token/token", "embeddings.cls_token"),
        Weight(
            "positions/embeddings",
            "embeddings.position_embeddings",
            "one",
            fit=partial(fit_positions, antialias=False),
        ),
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

# Width and heads of timm's names, and blocks.
TIMM_SIZES = {
    "tiny": (192, 3, 12),
    "small": (384, 6, 12),
    "base": (768, 12, 12),
    "large": (1024, 16, 24),
    "huge": (1280, 16, 32),
}


def _timm_sizes(name: str) -> dict[str, Any] | None:
    found = re.fullmatch(r"(?:vit|deit)_(\w+)_patch(8|14|16|32)_(224|384)", name)
    if found is None or found[1] not in TIMM_SIZES:
        return None
    hidden_dim, num_heads, num_layers = TIMM_SIZES[found[1]]
    return {
        "input_shape": (int(found[3]), int(found[3]), 3),
        "patch_size": int(found[2]),
        "num_layers": num_layers,
        "hidden_dim": hidden_dim,
        "num_heads": num_heads,
        "ff_dim": 4 * hidden_dim,
        "epsilon": 1e-6,
    }


def _qkv(part: int, ours: str) -> tuple[Weight, Weight]:
    theirs = "blocks.{i}.attn.qkv"
    return (
        Weight(f"block_{{i}}/attention/{ours}/kernel", f"{theirs}.weight", "linear", (part, 3)),
        Weight(f"block_{{i}}/attention/{ours}/bias", f"{theirs}.bias", part=(part, 3)),
    )


def _width(value: int, known: dict[str, Any]) -> dict[str, Any]:
    return {"hidden_dim": value, "ff_dim": value * known["ff_dim"] // known["hidden_dim"]}


TIMM_VIT = timm(
    (
        *layer("patch_embedding", "patch_embed.proj", "conv"),
        Weight("class_token/token", "cls_token"),
        Weight(
            "positions/embeddings",
            "pos_embed",
            "one",
            fit=partial(fit_positions, antialias=True),
        ),
        *_qkv(0, "query"),
        *_qkv(1, "key"),
        *_qkv(2, "value"),
        *layer("block_{i}/attention/output", "blocks.{i}.attn.proj"),
        *norm("block_{i}/attention_norm", "blocks.{i}.norm1"),
        *layer("block_{i}/ff_in", "blocks.{i}.mlp.fc1"),
        *layer("block_{i}/ff_out", "blocks.{i}.mlp.fc2"),
        *norm("block_{i}/ff_norm", "blocks.{i}.norm2"),
        *norm("final_norm", "norm"),
        *layer("logits", "head"),
    ),
    _timm_sizes,
    "vit_{tiny,small,base,large,huge}_patch{8,14,16,32}_{224,384} and deit_... of the same sizes",
    arguments={
        "patch_size": lambda value, _: {"patch_size": value},
        "depth": lambda value, _: {"num_layers": value},
        "num_heads": lambda value, _: {"num_heads": value},
        "embed_dim": _width,
        "mlp_ratio": lambda value, known: {"ff_dim": int(known["hidden_dim"] * value)},
    },
    pooling={"token": "class", "": "class"},
    settings=("epsilon",),
)
CONVERTERS = (VIT, TIMM_VIT)
