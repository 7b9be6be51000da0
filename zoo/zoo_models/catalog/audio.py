"""Models of audio."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import LICENSE
from zoo_registry import ModelSpec, TensorSpec

WIDE: dict[str, Any] = {"stem_strides": (2, 1)}


def _ds_cnn(size: str, num_params: int, defaults: dict[str, Any]) -> ModelSpec:
    return ModelSpec(
        name=f"ds-cnn-{size}",
        license=LICENSE,
        builder="zoo_models.builders.ds_cnn:ds_cnn",
        family="ds-cnn",
        tasks=("audio-classification", "features"),
        inputs=(TensorSpec("audio", (16_000,)),),
        defaults=defaults,
        reduced={
            "sample_rate": 8000,
            "length": 2000,
            "frame_length": 256,
            "frame_step": 128,
            "num_bands": 20,
            "filters": 8,
            "stem_strides": (2, 1),
            "block_strides": (2, 1),
            "num_classes": 5,
        },
        num_params=num_params,
        summary=f"DS-CNN-{size.upper()}: spots keywords in one second of audio at 16 kHz.",
        paper="Zhang et al. 2017, https://arxiv.org/abs/1711.07128",
        tags=("audio", "convolution", "mobile"),
    )


SPECS = (
    _ds_cnn("s", 23_180, {"filters": 64, "block_strides": (1, 1, 1, 1)}),
    _ds_cnn("m", 136_580, {**WIDE, "filters": 172, "block_strides": (2, 1, 1, 1)}),
    _ds_cnn("l", 413_736, {**WIDE, "filters": 276, "block_strides": (2, 1, 1, 1, 1)}),
)
