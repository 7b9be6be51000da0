"""Every model that comes with Kerazoo, as data: nothing is built or imported here."""

from __future__ import annotations

from zoo.catalog import decoders, plain, text, vision
from zoo_registry import ModelSpec

MODELS: dict[str, ModelSpec] = {
    spec.name: spec for rows in (plain, vision, text, decoders) for spec in rows.SPECS
}
