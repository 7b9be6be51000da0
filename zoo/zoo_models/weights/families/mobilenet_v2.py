"""MobileNetV2 as Hugging Face transformers and timm name it.

Transformers counts the blocks through all stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo_models.weights.converter import Converter, Head, Weight, conv_norm, layer
from zoo_models.weights.families.timm import conv_bn, inverted, timm
from zoo_registry import UsageError

# Blocks of each stage after the first, which Hugging Face counts to the stem.
BLOCKS = (2, 3, 4, 3, 3, 1)
_BLOCKS = [(stage, block) for stage, count in enumerate(BLOCKS, 1) for block in range(count)]


def _block(stage: int, block: int, number: int) -> tuple[Weight, ...]:
    ours, theirs = f"stage_{stage}_block_{block}", f"layer.{number}"
    return (
        *conv_norm(ours, f"{theirs}.expand_1x1", "_1"),
        *conv_norm(ours, f"{theirs}.conv_3x3", "_2", "depthwise"),
        *conv_norm(ours, f"{theirs}.reduce_1x1", "_3"),
    )


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    # Where the first block could add its input, transformers does not.
    fits = _stem_fits(config["depth_multiplier"])
    first = {"first_shortcut": False} if fits else {}
    return {"symmetric": not config["tf_padding"], **first}


def _write(arguments: Mapping[str, Any]) -> dict[str, Any]:
    if arguments["first_shortcut"] and _stem_fits(arguments["width"]):
        raise UsageError("first_shortcut=True")
    return {
        "tf_padding": not arguments["symmetric"],
        "num_channels": arguments["input_shape"][-1],
    }


def _stem_fits(width: float) -> bool:
    """Return whether the first convolution has as many channels as the first block's output."""
    before, after = (_divisible(channels * width) for channels in (32, 16))
    return before == after


def _divisible(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


MOBILENET_V2 = Converter(
    model_type="mobilenet_v2",
    prefix="mobilenet_v2.",
    heads={
        "features": Head("MobileNetV2Model"),
        "image-classification": Head("MobileNetV2ForImageClassification", ("classifier",)),
    },
    sizes={
        "width": "depth_multiplier",
        "epsilon": "layer_norm_eps",
        "mean": "image_mean",
        "std": "image_std",
    },
    defaults={"depth_multiplier": 1.0, "layer_norm_eps": 0.001, "tf_padding": True},
    harmless=("image_size", "num_channels", "semantic_loss_ignore_index"),
    settings=("symmetric", "first_shortcut"),
    fixed={
        "hidden_act": "relu6",
        "expand_ratio": 6.0,
        "depth_divisible_by": 8,
        "min_depth": 8,
        "output_stride": 32,
        "first_layer_is_expansion": True,
        "finegrained_output": True,
    },
    graph=("pooling", "stages"),
    read=_read,
    write=_write,
    ignored=r".*\.num_batches_tracked",
    weights=(
        *conv_norm("stem", "conv_stem.first_conv"),
        *conv_norm("stage_0_block_0", "conv_stem.conv_3x3", "_2", "depthwise"),
        *conv_norm("stage_0_block_0", "conv_stem.reduce_1x1", "_3"),
        *(weight for number, block in enumerate(_BLOCKS) for weight in _block(*block, number)),
        *conv_norm("top", "conv_1x1"),
        *layer("logits", "classifier"),
    ),
)


def staged(stages: int) -> tuple[Weight, ...]:
    """Return timm's weights of a stem, stages of blocks (the first expands nothing) and top.

    Args:
        stages: How many.
    """
    return (
        *conv_bn("stem", "conv_stem", "bn1"),
        *inverted("stage_0_block_0", "blocks.0.0", expanded=False),
        *(
            weight
            for stage in range(1, stages)
            for weight in inverted(f"stage_{stage}_block_{{b}}", f"blocks.{stage}.{{b}}")
        ),
        *conv_bn("top", "conv_head", "bn2"),
        *layer("logits", "classifier"),
    )


def _timm_sizes(name: str) -> dict[str, Any] | None:
    found = re.fullmatch(r"mobilenetv2_(\d{3})", name)
    # Those of 110 and 120 percent are deeper too.
    if found is None or found[1] in {"110", "120"}:
        return None
    return {"width": int(found[1]) / 100, "symmetric": True, "epsilon": 1e-5}


TIMM_MOBILENET_V2 = timm(
    staged(1 + len(BLOCKS)),
    _timm_sizes,
    "mobilenetv2_035, mobilenetv2_050, mobilenetv2_075, mobilenetv2_100, mobilenetv2_140",
    settings=("symmetric", "epsilon"),
)
CONVERTERS = (MOBILENET_V2, TIMM_MOBILENET_V2)
