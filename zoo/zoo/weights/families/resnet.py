"""ResNet as Hugging Face names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.weights.converter import Converter, Head, conv_norm, layer

# Output channels of a bottleneck over those of its 3x3 convolution.
EXPANSION = 4
_THEIRS = "encoder.stages.{s}.layers.{b}"


def channels(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what follows from the kind of block."""
    bottleneck = config["layer_type"] == "bottleneck"
    if not bottleneck and config["layer_type"] != "basic":
        raise ValueError(f"layer_type={config['layer_type']!r}")
    widths = config["hidden_sizes"]
    if len(widths) != len(config["depths"]):
        raise ValueError(f"hidden_sizes={widths!r} for depths={config['depths']!r}")
    return {
        "bottleneck": bottleneck,
        "filters": tuple(width // EXPANSION if bottleneck else width for width in widths),
    }


def widths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that hold the kind of block, its channels and those of the images."""
    bottleneck = arguments["bottleneck"]
    factor = EXPANSION if bottleneck else 1
    return {
        "layer_type": "bottleneck" if bottleneck else "basic",
        "hidden_sizes": [factor * filters for filters in arguments["filters"]],
        "num_channels": arguments["input_shape"][-1],
    }


RESNET = Converter(
    model_type="resnet",
    prefix="resnet.",
    heads={
        "features": Head("ResNetModel"),
        "image-classification": Head("ResNetForImageClassification", ("classifier",)),
    },
    sizes={
        "num_blocks": "depths",
        "stem_filters": "embedding_size",
        "downsample_in_bottleneck": "downsample_in_bottleneck",
        "mean": "image_mean",
        "std": "image_std",
    },
    defaults={
        "embedding_size": 64,
        "hidden_sizes": [256, 512, 1024, 2048],
        "depths": [3, 4, 6, 3],
        "layer_type": "bottleneck",
        "downsample_in_bottleneck": False,
    },
    harmless=("num_channels", "out_features", "out_indices", "reshape_last_stage", "stage_names"),
    fixed={"hidden_act": "relu", "downsample_in_first_stage": False},
    graph=("pooling",),
    read=channels,
    write=widths,
    ignored=r".*\.num_batches_tracked",
    rows=(
        *conv_norm("stem", "embedder.embedder"),
        *conv_norm("stage_{s}_block_{b}", f"{_THEIRS}.layer.{{n}}", "_{n}"),
        *conv_norm("stage_{s}_block_{b}_shortcut", f"{_THEIRS}.shortcut"),
        *layer("logits", "classifier.1"),
    ),
)
