"""Learning from a trained model beside the data (https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_models.saved import tensors_of
from zoo_recipes.arrays.predicting import only_logits
from zoo_recipes.arrays.shapes import Shapes, fit
from zoo_recipes.arrays.sources import Arrays
from zoo_recipes.configs import DistillationConfig
from zoo_recipes.recipe import Recipe
from zoo_registry import UsageError
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Tensor
from zoo_runtime.trained import Trained
from zoo_system.durable import sha256

Teach = Callable[[Arrays, Any], Any]
# So many classes of each list are told.
_TOLD = 5


def with_absolute_teacher(recipe: Recipe) -> Recipe:
    """Return a recipe that finds its teacher from every working folder."""
    if recipe.distillation is None:
        return recipe
    path = Path(recipe.distillation.teacher).expanduser().absolute()
    return replace(recipe, distillation=replace(recipe.distillation, teacher=str(path)))


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
    _check_classes(config.teacher, teacher.labels or (), labels or ())
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


def _check_classes(name: str, known: Sequence[str], labels: Sequence[str]) -> None:
    theirs, ours = list(known), list(labels)
    if not theirs or not ours or theirs == ours:
        return
    # What is told of long lists begins where they part.
    pairs = enumerate(zip(theirs, ours, strict=False))
    shorter = min(len(theirs), len(ours))
    first = next((number for number, (one, other) in pairs if one != other), shorter - 1)
    raise UsageError(
        f'distillation.teacher = "{name}": its classes are {_classes(theirs, first)}, and '
        f"those of the model to be trained {_classes(ours, first)}: they must be the same, in the "
        "same order."
    )


def _classes(names: Sequence[str], first: int) -> str:
    told = [repr(name) for name in names[first : first + _TOLD]]
    return ", ".join([*["..."] * (first > 0), *told, *["..."] * (len(names) > first + _TOLD)])


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
