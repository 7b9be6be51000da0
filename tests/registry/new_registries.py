"""A registry of models that no other test has seen."""

from __future__ import annotations

from zoo_registry import ModelSpec, Registry


def new_registry(catalogs: str | None = None) -> Registry[ModelSpec]:
    return Registry(
        "model",
        group="zoo.models",
        builtin="zoo_models.catalog:MODELS",
        coerce="zoo_registry.specs:as_model_spec",
        catalogs=catalogs,
    )
