"""Every model that comes with Kerazoo, as data: nothing is built or imported here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from zoo_models.catalog import audio, decoders, ratings, text, vision
from zoo_registry import ModelSpec

# Counted by `python -m benchmarks.catalog_tables`.
_MACS = json.loads((Path(__file__).parent / "macs.json").read_text(encoding="utf-8"))

MODELS: dict[str, ModelSpec] = {
    spec.name: replace(spec, macs=_MACS.get(spec.name))
    for rows in (vision, text, decoders, audio, ratings)
    for spec in rows.SPECS
}
