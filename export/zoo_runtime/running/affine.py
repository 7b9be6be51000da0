"""Real numbers held as integers: ``real = scale * (integer - zero_point)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.tensors import Array


@dataclass(frozen=True)
class Affine:
    """How one tensor of a file holds real numbers.

    Args:
        scale: Real size of one step.
        zero_point: The integer that means 0.
        dtype: Of the integers.

    Example:
        >>> half = Affine(0.5, -128, "int8")
        >>> half.quantize(np.array([0.0, 0.75, 1.0, 500.0], np.float32)).tolist()
        [-128, -126, -126, 127]
        >>> half.dequantize(np.array([-126], np.int8)).tolist()
        [1.0]
    """

    scale: float
    zero_point: int
    dtype: str

    def quantize(self, array: Array) -> Array:
        """Return the nearest integers, halves away from zero as in C, cut off at the ends.

        Raises:
            UsageError: NaN, which no integer stands for.
        """
        if np.isnan(array).any():
            raise UsageError(
                f"An input holds NaN, and the file takes it as {self.dtype}, which has no number "
                "for that. Give numbers in its place."
            )
        steps = array / np.float32(self.scale)
        nearest = np.trunc(steps + np.copysign(0.5, steps)) + self.zero_point
        limits = np.iinfo(self.dtype)
        inside: Array = np.clip(nearest, limits.min, limits.max)
        return inside.astype(self.dtype)

    def dequantize(self, array: Array) -> Array:
        """Return the float32 numbers that integers mean."""
        return (array.astype(np.float32) - self.zero_point) * np.float32(self.scale)


def affines(details: Mapping[str, Any]) -> dict[str, Affine]:
    """Return how the integer tensors of a LiteRT signature hold real numbers, by name.

    Args:
        details: What ``get_input_details`` or ``get_output_details`` of its runner gave.
    """
    return {
        name: Affine(scale, zero_point, entry["dtype"].__name__)
        for name, entry in details.items()
        for scale, zero_point in [entry["quantization"]]
        if scale
    }


def recorded(facts: Mapping[str, Any]) -> dict[str, Affine]:
    """Return how a file of a bundle holds real numbers as integers, by the tensor's name.

    Args:
        facts: Of its artifact.

    Example:
        >>> recorded({"quantization": {"x": {"scale": 0.5, "zero_point": -128}}})
        {'x': Affine(scale=0.5, zero_point=-128, dtype='int8')}
    """
    known = facts.get("quantization", {})
    return {name: Affine(**values, dtype="int8") for name, values in known.items()}
