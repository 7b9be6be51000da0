"""Learning from a trained model beside the data (https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.predicting import Predictor, keras_predictor, only_logits
from zoo_recipes.arrays.shapes import Shapes, fit
from zoo_recipes.arrays.sources import Arrays
from zoo_recipes.configs import DistillationConfig
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import load_run
from zoo_registry import UsageError
from zoo_runtime.bundle import is_bundle, load_bundle
from zoo_system import folders
from zoo_system.durable import sha256

Teach = Callable[[Arrays, Any], Any]
# So many classes of each list are told.
_TOLD = 5


@dataclass(frozen=True)
class Teacher:
    """A trained model.

    Args:
        name: Its place, as the recipe has it.
        sha256: Of a run's model, or of the manifest of a bundle, which has those of its files.
        labels: Names of its classes; ``None`` where it has none.
        inputs: Shapes by name, ``?`` for what is known only when data are there.
        outputs: The same.
        predict: Computes the outputs.
        assets: Folder with the files that its preprocessing names.
    """

    name: str
    sha256: str
    labels: Sequence[str] | None
    inputs: Shapes
    outputs: Shapes
    predict: Predictor
    assets: Path


def with_absolute_teacher(recipe: Recipe) -> Recipe:
    """Return a recipe that finds its teacher from every working folder."""
    if recipe.distillation is None:
        return recipe
    path = Path(recipe.distillation.teacher).expanduser().absolute()
    return replace(recipe, distillation=replace(recipe.distillation, teacher=str(path)))


def load_teacher(config: DistillationConfig) -> Teacher:
    """Return the teacher that a recipe names.

    Raises:
        UsageError: No complete run and no bundle, or a runtime that it does not have.
    """
    where = Path(config.teacher)
    return _of_bundle(config, where) if is_bundle(where) else _of_run(config)


def make_teaching(
    teacher: Teacher, student: Any, labels: Sequence[str] | None, assets: Path
) -> Teach:
    """Return what puts the logits of a teacher behind the class of each example.

    Args:
        teacher: Who teaches.
        student: It must take and give what the teacher does.
        labels: Names of the student's classes.
        assets: Folder with the files that the student's preprocessing names.

    Returns:
        A function of inputs by name and classes, int (batch,), that returns float32
        (batch, 1 + num_classes): the class, then the teacher's logits.

    Raises:
        UsageError: The teacher has other inputs, classes or tokens.
    """
    _check_like(teacher, student)
    _check_classes(teacher, labels)
    _check_assets(teacher, assets)

    def teach(inputs: Arrays, targets: Any) -> Any:
        logits = np.asarray(only_logits(teacher.predict(inputs)), np.float32)
        return np.concatenate([np.asarray(targets, np.float32)[:, np.newaxis], logits], axis=1)

    return teach


def _of_run(config: DistillationConfig) -> Teacher:
    from zoo_recipes.compiling.components import use_xla

    run = load_run(config.teacher)
    if config.runtime is not None:
        raise UsageError(
            f"distillation.runtime = \"{config.runtime}\": run '{run.path}' runs in Keras; only a "
            "bundle has others."
        )
    model = run.model()
    inputs, outputs = _described(model)
    return Teacher(
        name=config.teacher,
        sha256=sha256(run.path / folders.MODEL),
        labels=run.info["labels"],
        inputs=inputs,
        outputs=outputs,
        predict=keras_predictor(model, use_xla("auto")),
        assets=run.assets,
    )


def _of_bundle(config: DistillationConfig, where: Path) -> Teacher:
    bundle = load_bundle(where)
    artifact = bundle.artifact(config.runtime)
    # The first size is the batch's.
    inputs, outputs = (
        _shapes((tensor.name, tensor.shape[1:]) for tensor in tensors)
        for tensors in (artifact.inputs, artifact.outputs)
    )
    # It holds the bundle: what was unpacked from a zip is there as long.
    return Teacher(
        name=config.teacher,
        sha256=sha256(bundle.path / folders.MANIFEST),
        labels=bundle.manifest.labels,
        inputs=inputs,
        outputs=outputs,
        predict=lambda arrays: bundle.run(arrays, artifact.format),
        assets=bundle.assets,
    )


def _check_like(teacher: Teacher, student: Any) -> None:
    inputs, outputs = _described(student)
    if len(student.outputs) != 1 or len(student.outputs[0].shape) != 2:
        raise UsageError(
            f'distillation.teacher = "{teacher.name}": a model learns from another one where each '
            f"example has one class; this one gives {_listed(outputs)}."
        )
    both = {"inputs": (teacher.inputs, inputs), "outputs": (teacher.outputs, outputs)}
    for what, (theirs, ours) in both.items():
        if not fit(theirs, ours):
            raise UsageError(
                f'distillation.teacher = "{teacher.name}": its {what} are {_listed(theirs)}, and '
                f"those of the model to be trained {_listed(ours)}: they must be the same."
            )


def _check_classes(teacher: Teacher, labels: Sequence[str] | None) -> None:
    theirs, ours = list(teacher.labels or ()), list(labels or ())
    if not theirs or not ours or theirs == ours:
        return
    # What is told of long lists begins where they part.
    pairs = enumerate(zip(theirs, ours, strict=False))
    shorter = min(len(theirs), len(ours))
    first = next((number for number, (one, other) in pairs if one != other), shorter - 1)
    raise UsageError(
        f'distillation.teacher = "{teacher.name}": its classes are {_classes(theirs, first)}, and '
        f"those of the model to be trained {_classes(ours, first)}: they must be the same, in the "
        "same order."
    )


def _classes(names: Sequence[str], first: int) -> str:
    told = [repr(name) for name in names[first : first + _TOLD]]
    return ", ".join([*["..."] * (first > 0), *told, *["..."] * (len(names) > first + _TOLD)])


def _check_assets(teacher: Teacher, ours: Path) -> None:
    for path in sorted(ours.iterdir()) if ours.is_dir() else ():
        other = teacher.assets / path.name
        if not other.is_file() or sha256(other) != sha256(path):
            raise UsageError(
                f'distillation.teacher = "{teacher.name}": its {path.name} is not that of the '
                "model to be trained, so both would read other tokens. Train on the same data, "
                "with the same preprocessing and tokenizer."
            )


def _described(model: Any) -> tuple[Shapes, Shapes]:
    """Return inputs and outputs of a Keras model."""
    outputs = zip(model.output_names, model.outputs, strict=True)
    return (
        _shapes((tensor.name, tensor.shape[1:]) for tensor in model.inputs),
        _shapes((name, tensor.shape[1:]) for name, tensor in outputs),
    )


def _shapes(tensors: Iterable[tuple[str, Any]]) -> Shapes:
    # Keras and bundles have other words for what is known only when data are there.
    return {
        name: tuple(size if isinstance(size, int) else "?" for size in shape)
        for name, shape in tensors
    }


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
