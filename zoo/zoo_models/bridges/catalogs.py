"""Models of Keras and KerasHub as names: tables made by ``python -m benchmarks.catalog_tables``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_registry import ModelSpec, TensorSpec

FOLDER = Path(__file__).parent


def _rows(name: str) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return rows


def _application(name: str, row: Mapping[str, Any]) -> ModelSpec:
    size = row["size"]
    return ModelSpec(
        name=name,
        builder="zoo_models.bridges.applications:application",
        family=f"keras-{row['module'].replace('_', '-')}",
        tasks=("image-classification", "features"),
        defaults={"architecture": row["class"], "input_shape": (size, size, 3)},
        inputs=(TensorSpec("image", (size, size, 3)),),
        num_params=row["num_params"],
        macs=row["macs"],
        summary=f"{row['class']} of keras.applications.",
        paper="https://keras.io/api/applications",
        license=f"Code Apache-2.0; weights {row['license']}",
        weights="imagenet",
        tags=("vision", "imagenet", "keras"),
    )


def _preset(name: str, row: Mapping[str, Any]) -> ModelSpec:
    return ModelSpec(
        name=name,
        builder="zoo_models.bridges.presets:preset",
        family=f"kerashub-{row['family'].replace('_', '-')}",
        tasks=tuple(row["tasks"]),
        defaults={"preset_name": name},
        num_params=row["num_params"],
        summary=row["summary"],
        paper="https://keras.io/keras_hub/presets",
        license=row["license"] or f"see {row['handle']}",
        weights=row["handle"],
        tags=("kerashub", *row["family"].split("_")[:1]),
    )


KERAS = {name: _application(name, row) for name, row in _rows("keras.json").items()}
KERASHUB = {name: _preset(name, row) for name, row in _rows("kerashub.json").items()}
