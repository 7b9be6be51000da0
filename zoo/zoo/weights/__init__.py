"""Pretrained weights: where they come from, and how they get into a model."""

from zoo.weights.foreign import ForeignCheckpoint
from zoo.weights.native import NativeFile
from zoo.weights.opening import open_weights
from zoo.weights.report import Report
from zoo.weights.saving import save_pretrained

__all__ = ["ForeignCheckpoint", "NativeFile", "Report", "open_weights", "save_pretrained"]
