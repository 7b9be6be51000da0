"""ResNet as Hugging Face transformers and timm name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_models.weights.converter import Converter, Head, Weight, conv_norm, layer
from zoo_models.weights.families.timm import conv_bn, timm

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
    settings=("downsample_in_bottleneck",),
    fixed={"hidden_act": "relu", "downsample_in_first_stage": False},
    graph=("pooling",),
    read=channels,
    write=widths,
    ignored=r".*\.num_batches_tracked",
    weights=(
        *conv_norm("stem", "embedder.embedder"),
        *conv_norm("stage_{s}_block_{b}", f"{_THEIRS}.layer.{{n}}", "_{n}"),
        *conv_norm("stage_{s}_block_{b}_shortcut", f"{_THEIRS}.shortcut"),
        *layer("logits", "classifier.1"),
    ),
)

# Blocks of each stage, and whether they are bottlenecks.
TIMM_DEPTHS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet26": ((2, 2, 2, 2), True),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
    "resnet152": ((3, 8, 36, 3), True),
    "resnet200": ((3, 24, 36, 3), True),
}


def _timm_sizes(name: str) -> dict[str, Any] | None:
    if name not in TIMM_DEPTHS:
        return None
    num_blocks, bottleneck = TIMM_DEPTHS[name]
    sizes = {"num_blocks": num_blocks, "bottleneck": bottleneck, "filters": (64, 128, 256, 512)}
    return {**sizes, "stem_filters": 64, "downsample_in_bottleneck": False}


def timm_stages(number: int, convolutions: int) -> tuple[Weight, ...]:
    """Return the weights of stages that timm and torchvision count from 1 on.

    Args:
        number: Of stages.
        convolutions: Most of them in a block, which both count from 1 on too.
    """
    return tuple(
        weight
        for stage in range(number)
        for n in range(convolutions)
        for weight in conv_bn(
            f"stage_{stage}_block_{{b}}",
            f"layer{stage + 1}.{{b}}.conv{n + 1}",
            f"layer{stage + 1}.{{b}}.bn{n + 1}",
            n,
        )
    )


def timm_shortcuts(number: int, theirs: str = "downsample") -> tuple[Weight, ...]:
    """Return the weights of the shortcuts that are convolutions."""
    return tuple(
        weight
        for stage in range(number)
        for weight in conv_bn(
            f"stage_{stage}_block_{{b}}_shortcut",
            f"layer{stage + 1}.{{b}}.{theirs}.0",
            f"layer{stage + 1}.{{b}}.{theirs}.1",
        )
    )


TIMM_RESNET = timm(
    (
        *conv_bn("stem", "conv1", "bn1"),
        *timm_stages(4, 3),
        *timm_shortcuts(4),
        *layer("logits", "fc"),
    ),
    _timm_sizes,
    ", ".join(TIMM_DEPTHS),
    arguments={
        "layers": lambda value, _: {"num_blocks": tuple(value)},
        "channels": lambda value, _: {"filters": tuple(value)},
    },
)
CONVERTERS = (RESNET, TIMM_RESNET)
