"""Batches whose order depends on nothing but the seed and the epoch."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from zoo_recipes.augmentation import TextMarks, make_changes
from zoo_recipes.configs import Component
from zoo_recipes.sources import Source


class Batches(keras.utils.PyDataset):
    """Examples of a source in a new order each epoch.

    Args:
        source: Where they are taken from.
        batch_size: Examples a batch; the last one of an epoch may have fewer.
        seed: Decides the order and the augmentation, together with the epoch.
        augmentation: Of the recipe.
        marks: What the tokenizer puts into every text.
        feed: Brings the inputs into the structure that the model takes.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        augmentation: Sequence[Component] = (),
        marks: TextMarks | None = None,
        feed: Callable[[dict[str, Any]], Any] = dict,
    ) -> None:
        super().__init__()
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.marks = marks or TextMarks()
        self.feed = feed
        self.start(0)

    def start(self, epoch: int) -> None:
        """Make ready for an epoch: everything random in it follows from its number."""
        rng = np.random.default_rng([self.seed, epoch])
        self.epoch = epoch
        self.order = rng.permutation(len(self.source))
        self.shift = int(rng.integers(2**31)) if epoch else 0
        layer_seed = int(rng.integers(2**31))
        self.changes = make_changes(self.augmentation, layer_seed, self.marks)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self.start(self.epoch + 1)

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return the inputs, as the model takes them, and the targets of one batch."""
        numbers = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs, targets = self.source.take(numbers, self.shift)
        rng = np.random.default_rng([self.seed, self.epoch, index])
        for change in self.changes:
            inputs = change(inputs, rng)
        return self.feed(inputs), targets
