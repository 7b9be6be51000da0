"""Pretrained weights: where they come from, and how they get into a model."""

from zoo_models.weights.foreign import ForeignCheckpoint
from zoo_models.weights.loading import LoadReport
from zoo_models.weights.native import NativeFile
from zoo_models.weights.opening import open_weights
from zoo_models.weights.saving import save_pretrained

__all__ = ["ForeignCheckpoint", "LoadReport", "NativeFile", "open_weights", "save_pretrained"]
