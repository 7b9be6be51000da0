"""Batches that depend on nothing but the seed, the epoch and the step; balance; distillation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_models.saved import tensors_of
from zoo_recipes.arrays.sources import Arrays, ArraySource, Shapes, fit, only_logits
from zoo_recipes.augmentation.changes import TextMarks, make_changes
from zoo_recipes.augmentation.mixing import is_flip, make_mixes, mixed
from zoo_recipes.configs import Component, DistillationConfig, Sampling
from zoo_recipes.tasks.boxes import Scenes, flipped
from zoo_recipes.tasks.pairs import order_by_length, without_padding
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Tensor
from zoo_runtime.trained import Trained
from zoo_system.durable import sha256

# Inputs, targets, and weights of the examples where classes have such.
Batch = tuple[Any, ...]
Teach = Callable[[Arrays, Any], Any]
# So many classes of each list are shown.
_SHOWN = 5


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
        sampling: As in :class:`zoo_recipes.configs.FitConfig`.
        num_classes: Of the model, where images are mixed.
        teach: Puts the teacher's logits behind the targets.
    """

    def __init__(
        self,
        source: ArraySource,
        *,
        batch_size: int,
        seed: int,
        augmentation: Sequence[Component] = (),
        marks: TextMarks | None = None,
        feed: Callable[[dict[str, Any]], Any] = dict,
        class_weights: Any = None,
        sampling: Sampling = "shuffled",
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
        self.sampling = sampling
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
        if self.sampling == "balanced":
            order = balanced_order(self.source.targets, rng)
        elif self.sampling == "by_length":
            order = order_by_length(self.source, self.batch_size, rng)
        else:
            order = rng.permutation(len(self.source))
        # Windows of a text begin elsewhere each epoch.
        shift = int(rng.integers(2**31)) if epoch else 0
        return _ahead(partial(self._batch, epoch, order, shift), range(first, len(self)))

    def _batch(self, epoch: int, order: Any, shift: int, step: int) -> Batch:
        indices = order[step * self.batch_size : (step + 1) * self.batch_size]
        inputs, targets = self.source.take(indices, shift)
        if self.sampling == "by_length":
            inputs, targets = without_padding(inputs, targets)
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


def class_weights(
    setting: str | Mapping[str, float], labels: Any, names: Sequence[str] | None
) -> Any:
    """Return the weight of each class, float32 (classes,).

    Args:
        setting: ``balanced``, by which each class weighs the same in all, or weights by the name
            or the index of a class; those left out weigh 1.
        labels: Classes of the training examples, (examples,).
        names: Of the classes.

    Raises:
        UsageError: Labels that are not classes, or a class that does not exist.

    Example:
        >>> class_weights("balanced", np.array([0, 0, 1, 0]), None)[1]
        np.float32(2.0)
    """
    _check_classes("fit.class_weight", labels)
    counts = np.bincount(labels, minlength=len(names or ()))
    if isinstance(setting, str):
        present = counts > 0
        weights = np.zeros(len(counts), np.float32)
        weights[present] = len(labels) / (present.sum() * counts[present])
        return weights
    known = list(names) if names else [str(index) for index in range(len(counts))]
    weights = np.ones(len(known), np.float32)
    for name, weight in setting.items():
        if name not in known:
            hint = did_you_mean(name, known) or f" There are: {', '.join(known[:20])}."
            raise UsageError(f"fit.class_weight: there is no class '{name}'.{hint}")
        weights[known.index(name)] = weight
    return weights


def balanced_order(labels: Any, rng: np.random.Generator) -> Any:
    """Return as many indices of examples as there are, every class equally often.

    Small classes come again and again, of large ones another part comes each time.

    Args:
        labels: Classes, (examples,).
        rng: Random generator.

    Raises:
        UsageError: Labels that are not classes.
    """
    _check_classes("fit.sampling", labels)
    classes = np.unique(labels)
    # The remainder goes to classes drawn at random.
    counts = np.full(len(classes), len(labels) // len(classes))
    counts[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    drawn = []
    for label, count in zip(classes, counts, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = -(-count // len(members))
        drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(drawn))


def _check_classes(setting: str, labels: Any) -> None:
    if labels is None or np.ndim(labels) != 1 or labels.dtype.kind not in "iu":
        raise UsageError(f"{setting} needs examples of one class each, and these have none.")


def make_teaching(
    teacher: Trained,
    config: DistillationConfig,
    student: Any,
    labels: Sequence[str] | None,
    assets: Path,
) -> Teach:
    """Return what puts the logits of a teacher behind the class of each example.

    Args:
        teacher: Who teaches.
        config: Names it, and what it runs in.
        student: It must take and give what the teacher does.
        labels: Names of the student's classes.
        assets: Folder with the files that the student's preprocessing names.

    Returns:
        A function of inputs by name and classes, int (batch,), that returns float32
        (batch, 1 + num_classes): the class, then the teacher's logits.

    Raises:
        UsageError: The teacher has other inputs, classes or tokens, or no such runtime.
    """
    try:
        runner = teacher.runner(config.runtime)
    except UsageError as error:
        raise UsageError(f'distillation.runtime = "{config.runtime}": {error}') from error
    _check_like(config.teacher, runner, student)
    _check_same_classes(config.teacher, teacher.labels or (), labels or ())
    _check_assets(config.teacher, teacher.assets, assets)

    def teach(inputs: Arrays, targets: Any) -> Any:
        logits = np.asarray(only_logits(runner.run(inputs)), np.float32)
        return np.concatenate([np.asarray(targets, np.float32)[:, np.newaxis], logits], axis=1)

    return teach


def _check_like(name: str, runner: Runner, student: Any) -> None:
    inputs, outputs = map(_shapes, tensors_of(student))
    if len(student.outputs) != 1 or len(student.outputs[0].shape) != 2:
        raise UsageError(
            f'distillation.teacher = "{name}": a model learns from another one where each '
            f"example has one class; this one gives {_listed(outputs)}."
        )
    both = {
        "inputs": (_shapes(runner.inputs), inputs),
        "outputs": (_shapes(runner.outputs), outputs),
    }
    for what, (theirs, ours) in both.items():
        if not fit(theirs, ours):
            raise UsageError(
                f'distillation.teacher = "{name}": its {what} are {_listed(theirs)}, and '
                f"those of the model to be trained {_listed(ours)}: they must be the same."
            )


def _check_same_classes(name: str, known: Sequence[str], labels: Sequence[str]) -> None:
    theirs, ours = list(known), list(labels)
    if not theirs or not ours or theirs == ours:
        return
    # Of long lists the part is shown that begins where they differ.
    pairs = enumerate(zip(theirs, ours, strict=False))
    shorter = min(len(theirs), len(ours))
    first = next((number for number, (one, other) in pairs if one != other), shorter - 1)
    raise UsageError(
        f'distillation.teacher = "{name}": its classes are {_classes(theirs, first)}, and '
        f"those of the model to be trained {_classes(ours, first)}: they must be the same, in the "
        "same order."
    )


def _classes(names: Sequence[str], first: int) -> str:
    shown = [repr(name) for name in names[first : first + _SHOWN]]
    return ", ".join([*["..."] * (first > 0), *shown, *["..."] * (len(names) > first + _SHOWN)])


def _check_assets(name: str, theirs: Path, ours: Path) -> None:
    for path in sorted(ours.iterdir()) if ours.is_dir() else ():
        other = theirs / path.name
        if not other.is_file() or sha256(other) != sha256(path):
            raise UsageError(
                f'distillation.teacher = "{name}": its {path.name} is not that of the '
                "model to be trained, so both would read other tokens. Train on the same data, "
                "with the same preprocessing and tokenizer."
            )


def _shapes(tensors: Iterable[Tensor]) -> Shapes:
    # The first size is the batch's; a word is for what is known only when data are there.
    return {
        tensor.name: tuple(size if isinstance(size, int) else "?" for size in tensor.shape[1:])
        for tensor in tensors
    }


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
