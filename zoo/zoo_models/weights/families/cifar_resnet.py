"""The ResNet for CIFAR as the usual PyTorch repositories name it.

Those with shortcuts that have no weights end in ``linear``, those with 1x1 convolutions, as in
torchvision, in ``fc``.
"""

from __future__ import annotations

import re
from typing import Any

from zoo_models.weights.converter import layer
from zoo_models.weights.families.resnet import timm_shortcuts, timm_stages
from zoo_models.weights.families.timm import conv_bn, timm

STAGES = 3


def _sizes(name: str) -> dict[str, Any] | None:
    found = re.fullmatch(r"(cifar\d+_)?resnet(20|32|44|56|110|1202)", name)
    return {"depth": int(found[2])} if found else None


CIFAR_RESNET = timm(
    (
        *conv_bn("stem", "conv1", "bn1"),
        *timm_stages(STAGES, 2),
        *timm_shortcuts(STAGES),
        *timm_shortcuts(STAGES, "shortcut"),
        *layer("logits", "linear"),
        *layer("logits", "fc"),
    ),
    _sizes,
    "resnet20, resnet32, resnet44, resnet56, resnet110",
    settings=("projection",),
    # Of models that were trained on several devices.
    prefix="module.",
)
CONVERTERS = (CIFAR_RESNET,)
