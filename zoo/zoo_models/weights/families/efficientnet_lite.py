"""EfficientNet-Lite as timm names it."""

from __future__ import annotations

import re
from typing import Any

from zoo_models.weights.families.mobilenet_v2 import staged
from zoo_models.weights.families.timm import timm

STAGES = 7
# Factors on channels and on blocks of Lite0 to Lite4.
FACTORS = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))


def _sizes(name: str) -> dict[str, Any] | None:
    found = re.fullmatch(r"(tf_)?efficientnet_lite([0-4])", name)
    if found is None:
        return None
    width, depth = FACTORS[int(found[2])]
    ported = found[1] is not None
    return {
        "width": width,
        "depth": depth,
        "symmetric": not ported,
        "epsilon": 1e-3 if ported else 1e-5,
    }


EFFICIENTNET_LITE = timm(
    staged(STAGES),
    _sizes,
    "efficientnet_lite0 to efficientnet_lite4, and the same behind tf_",
    settings=("symmetric", "epsilon"),
)
CONVERTERS = (EFFICIENTNET_LITE,)
