"""Batches whose content depends on nothing but the seed, the epoch and the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Source
from zoo_recipes.augmentation.changes import TextMarks, make_changes
from zoo_recipes.augmentation.mixing import make_mixes, mixed
from zoo_recipes.augmentation.moving import is_flip
from zoo_recipes.configs import Component
from zoo_recipes.tasks.boxes import Scenes, flipped
from zoo_recipes.training.balance import balanced_order
from zoo_recipes.training.distilling import Teach

# Inputs, targets, and weights of the examples where classes have such.
Batch = tuple[Any, ...]


class Batches:
    """Examples of a source in a new order each epoch, from any step on.

    Args:
        source: Where they are taken from.
        batch_size: Examples a batch; the last one of an epoch may have fewer.
        seed: Decides the order and the augmentation, together with epoch and step.
        augmentation: Of the recipe.
        marks: What the tokenizer puts into every text.
        feed: Brings the inputs into the structure that the model takes.
        class_weights: Of the loss, float32 (classes,).
        balanced: Whether every class comes equally often.
        num_classes: Of the model, where images are mixed.
        teach: Puts what a teacher says behind the targets.
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
        class_weights: Any = None,
        balanced: bool = False,
        num_classes: int = 0,
        teach: Teach | None = None,
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.flips = isinstance(source, Scenes) and any(is_flip(c.name) for c in augmentation)
        still = [c for c in augmentation if not (self.flips and is_flip(c.name))]
        self.changes = make_changes(still, marks or TextMarks())
        self.mixes = make_mixes(augmentation)
        self.feed = feed
        self.class_weights = class_weights
        self.balanced = balanced
        self.num_classes = num_classes
        self.teach = teach

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return math.ceil(len(self.source) / self.batch_size)

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Return the inputs, as the model takes them, and the targets of batch after batch.

        Args:
            epoch: From 0 on.
            first: The step to begin at: it and those after it are as in the whole epoch.
        """
        rng = np.random.default_rng([self.seed, epoch])
        if self.balanced:
            order = balanced_order(self.source.targets, rng)
        else:
            order = rng.permutation(len(self.source))
        # Windows of a text begin elsewhere each epoch.
        shift = int(rng.integers(2**31)) if epoch else 0
        return _ahead(partial(self._batch, epoch, order, shift), range(first, len(self)))

    def _batch(self, epoch: int, order: Any, shift: int, step: int) -> Batch:
        numbers = order[step * self.batch_size : (step + 1) * self.batch_size]
        inputs, targets = self.source.take(numbers, shift)
        rng = np.random.default_rng([self.seed, epoch, step])
        for change in self.changes:
            inputs = change(inputs, rng)
        if self.flips:
            inputs, targets = flipped(inputs, targets, rng)
        if self.mixes:
            inputs, targets = mixed(inputs, targets, self.mixes, self.num_classes, rng)
        learned = targets if self.teach is None else self.teach(inputs, targets)
        if self.class_weights is None:
            return self.feed(inputs), learned
        return self.feed(inputs), learned, self.class_weights[targets]


def _ahead(make: Callable[[int], Batch], steps: range) -> Iterator[Batch]:
    """Yield what ``make`` returns for each step; the next is made while one is trained on."""
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(make, step) for step in steps[:1]]
        for step in steps:
            batch = coming.pop().result()
            if step + 1 in steps:
                coming.append(pool.submit(make, step + 1))
            yield batch
