"""Models of Keras and KerasHub as names: tables made by ``python -m benchmarks.catalog_tables``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo_registry import ModelSpec, TensorSpec

FOLDER = Path(__file__).parent


class Table(Mapping[str, ModelSpec]):
    """Specs by name, each made when it is asked for: a listing counts hundreds and shows none."""

    def __init__(self, file: str, spec: Callable[[str, Mapping[str, Any]], ModelSpec]) -> None:
        self._rows: dict[str, Any] = json.loads((FOLDER / file).read_text(encoding="utf-8"))
        self._spec = spec

    def __getitem__(self, name: str) -> ModelSpec:
        return self._spec(name, self._rows[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


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


KERAS = Table("keras.json", _application)
KERASHUB = Table("kerashub.json", _preset)
