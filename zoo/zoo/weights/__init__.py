"""Pretrained weights: where they come from, and how they get into a model and out again."""

from zoo.weights.native import NativeFile
from zoo.weights.opening import open_weights

__all__ = ["NativeFile", "open_weights"]
