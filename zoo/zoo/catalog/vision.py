"""Convolutional networks and vision transformers of the papers."""

from __future__ import annotations

from zoo_registry import ModelSpec

SPECS: tuple[ModelSpec, ...] = ()
