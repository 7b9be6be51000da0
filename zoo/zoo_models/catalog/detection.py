"""Models that find things in pictures."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import LICENSE
from zoo_registry import ModelSpec, TensorSpec

RESNET18 = {"num_blocks": (2, 2, 2, 2), "bottleneck": False}
MICRO = {
    "num_blocks": (1, 1, 1, 1),
    "bottleneck": False,
    "filters": (16, 32, 48, 64),
    "stem_filters": 16,
}


def _centernet(
    size: str, num_params: int, shape: tuple[int, int, int], summary: str, **defaults: Any
) -> ModelSpec:
    small = {"num_blocks": (1, 1), "bottleneck": False, "filters": (4, 8), "stem_filters": 4}
    is_resnet = defaults.get("backbone", "resnet") == "resnet"
    return ModelSpec(
        name=f"centernet-{size}",
        license=LICENSE,
        tasks=("object-detection",),
        builder="zoo_models.builders.centernet:centernet",
        family="centernet",
        inputs=(TensorSpec("image", shape),),
        defaults={"input_shape": shape, **defaults},
        reduced={
            "input_shape": (32, 64, 3),
            "backbone_sizes": small if is_resnet else {"width": 0.35},
            "neck_filters": 8,
            "head_filters": 8,
            "num_classes": 5,
        },
        num_params=num_params,
        summary=summary,
        paper="Zhou et al. 2019, https://arxiv.org/abs/1904.07850",
        tags=("vision", "convolution", "detection"),
    )


SPECS = (
    _centernet(
        "resnet18",
        11_502_676,
        (512, 512, 3),
        "CenterNet on a ResNet-18, for photographs.",
        backbone_sizes=RESNET18,
    ),
    _centernet(
        "mobilenet-v3-small",
        1_147_060,
        (320, 320, 3),
        "CenterNet on a MobileNetV3-Small, for photographs on phones.",
        backbone="mobilenet-v3",
        backbone_sizes={"size": "small"},
    ),
    _centernet(
        "micro",
        195_070,
        (96, 96, 1),
        "CenterNet on a small ResNet, for small grey images.",
        backbone_sizes=MICRO,
        neck_filters=32,
        head_filters=32,
        num_classes=10,
    ),
)
