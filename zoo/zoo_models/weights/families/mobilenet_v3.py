"""MobileNetV3 as timm names it, which counts its blocks by stage."""

from __future__ import annotations

import re
from typing import Any

from zoo_models.weights.converter import Converter, Weight, layer
from zoo_models.weights.families.timm import conv_bn, inverted, timm

# Blocks of each stage.
STAGES = {"small": (1, 2, 3, 2, 3), "large": (1, 2, 3, 4, 2, 3)}
# Below this width timm leaves the first convolution as wide as it is at 1.
NARROW, STEM = 0.75, 16
KNOWN = (
    "mobilenetv3_small_050, mobilenetv3_small_075, mobilenetv3_small_100, mobilenetv3_large_075, "
    "mobilenetv3_large_100, and the same behind tf_"
)


def _weights(size: str) -> tuple[Weight, ...]:
    counts = STAGES[size]
    blocks = [(stage, block) for stage, count in enumerate(counts) for block in range(count)]
    last = f"blocks.{len(counts)}.0"
    return (
        *conv_bn("stem", "conv_stem", "bn1"),
        *(
            weight
            for number, (stage, block) in enumerate(blocks)
            for weight in inverted(
                f"block_{number}",
                f"blocks.{stage}.{block}",
                expanded=number > 0,
                excited=True,
            )
        ),
        *conv_bn("top", f"{last}.conv", f"{last}.bn1"),
        *layer("head_dense", "conv_head", "pointwise"),
        *layer("logits", "classifier"),
    )


def _converter(size: str) -> Converter:
    def sizes(name: str) -> dict[str, Any] | None:
        found = re.fullmatch(rf"(tf_)?mobilenetv3_{size}_(050|075|100)", name)
        if found is None:
            return None
        width, ported = int(found[2]) / 100, found[1] is not None
        # At width 1 both ways to expand are one.
        narrow = {} if width == 1 else {"expand_input": True}
        return {
            **narrow,
            "size": size,
            "width": width,
            "stem_filters": STEM if width < NARROW else None,
            "symmetric": not ported,
            "epsilon": 1e-3 if ported else 1e-5,
        }

    return timm(
        _weights(size),
        sizes,
        KNOWN,
        settings=("symmetric", "epsilon"),
    )


CONVERTERS = (_converter("small"), _converter("large"))
