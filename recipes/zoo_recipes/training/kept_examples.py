"""The examples that a run keeps for its exports, which then need no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Source
from zoo_recipes.tasks.boxes import Scenes
from zoo_system.durable import write

# 256 answers cannot show a drop of half a percent and 1,024 can: as many as stay small.
NUM_EXAMPLES, MAX_EXAMPLES = 256, 1024
MAX_EXAMPLE_BYTES = 8_000_000
NUM_CALIBRATION = 128


def held_out_rows(test: Source) -> Any:
    """Return the numbers of the test examples that a run keeps for its exports: the first ones."""
    row_bytes = sum(array.nbytes for array in test.take(np.arange(1))[0].values())
    count = max(NUM_EXAMPLES, min(MAX_EXAMPLES, MAX_EXAMPLE_BYTES // row_bytes))
    return np.arange(min(count, len(test)))


def typical_rows(source: Source) -> Any:
    """Return the numbers of examples, evenly over the classes or, without them, over the split."""
    targets = source.targets
    by_class = np.arange(len(source))
    if isinstance(targets, np.ndarray) and targets.ndim == 1 and targets.dtype.kind in "iu":
        by_class = np.argsort(targets, kind="stable")
    count = min(NUM_CALIBRATION, len(source))
    return np.sort(by_class[np.linspace(0, len(source) - 1, count).astype(int)])


def save_rows(source: Source, numbers: Any, path: Path) -> None:
    """Write some examples: inputs as ``x/NAME``, targets as ``y``, or as ``y/NAME`` if several."""
    inputs, targets = source.take(numbers)
    if isinstance(source, Scenes):
        targets = {}  # maps are larger than images, and no export reads them
    arrays = {f"x/{name}": array for name, array in inputs.items()}
    several = targets if isinstance(targets, dict) else {"": targets}
    right = {f"y/{name}".rstrip("/"): array for name, array in several.items()}
    write(path, lambda part: np.savez_compressed(part, **right, **arrays))
