"""Learning from a trained model beside the data (https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.predicting import Predictor, keras_predictor, only_logits
from zoo_recipes.arrays.shapes import Shapes, fit
from zoo_recipes.arrays.sources import Arrays
from zoo_recipes.configs import DistillationConfig
from zoo_recipes.run import load_run
from zoo_registry import UsageError, folders
from zoo_registry.bundles import is_bundle, load_bundle
from zoo_registry.hashing import sha256

Teach = Callable[[Arrays, Any], Any]


@dataclass(frozen=True)
class Teacher:
    """A trained model.

    Args:
        inputs: Shapes by name, ``?`` for what is known only when data are there.
        outputs: The same.
        predict: Computes the outputs.
        assets: Folder with the files that its preprocessing names.
    """

    inputs: Shapes
    outputs: Shapes
    predict: Predictor
    assets: Path


def make_teaching(config: DistillationConfig, student: Any, assets: Path) -> Teach:
    """Return what puts the logits of a teacher behind the class of each example.

    Args:
        config: Names the teacher.
        student: It must take and give what the teacher does.
        assets: Folder with the files that the student's preprocessing names.

    Returns:
        A function of inputs by name and classes, int (batch,), that returns float32
        (batch, 1 + num_classes): the class, then the teacher's logits.

    Raises:
        UsageError: No complete run and no bundle, or a model of other inputs, classes or tokens.
    """
    where = Path(config.teacher)
    teacher = _of_bundle(where, config.runtime) if is_bundle(where) else _of_run(config)
    _check_like(config.teacher, teacher, student)
    _check_assets(config.teacher, teacher.assets, assets)

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
    return Teacher(*_described(model), keras_predictor(model, use_xla("auto")), run.assets)


def _of_bundle(where: Path, runtime: str | None) -> Teacher:
    bundle = load_bundle(where)
    artifact = bundle.artifact(runtime)
    # The first size is the batch's.
    inputs, outputs = (
        _shapes((tensor.name, tensor.shape[1:]) for tensor in tensors)
        for tensors in (artifact.inputs, artifact.outputs)
    )
    # It holds the bundle: what was unpacked from a zip is there as long.
    return Teacher(
        inputs,
        outputs,
        lambda arrays: bundle.run(arrays, artifact.format),
        bundle.path / folders.ASSETS,
    )


def _check_like(name: str, teacher: Teacher, student: Any) -> None:
    inputs, outputs = _described(student)
    if len(student.outputs) != 1 or len(student.outputs[0].shape) != 2:
        raise UsageError(
            f'distillation.teacher = "{name}": a model learns from another one where each example '
            f"has one class; this one gives {_listed(outputs)}."
        )
    both = {"inputs": (teacher.inputs, inputs), "outputs": (teacher.outputs, outputs)}
    for what, (theirs, ours) in both.items():
        if not fit(theirs, ours):
            raise UsageError(
                f'distillation.teacher = "{name}": its {what} are {_listed(theirs)}, and those of '
                f"the model to be trained {_listed(ours)}: they must be the same."
            )


def _check_assets(name: str, theirs: Path, ours: Path) -> None:
    for path in sorted(ours.iterdir()) if ours.is_dir() else ():
        other = theirs / path.name
        if not other.is_file() or sha256(other) != sha256(path):
            raise UsageError(
                f'distillation.teacher = "{name}": its {path.name} is not that of the model to be '
                "trained, so both would read other tokens. Train on the same data, with the same "
                "preprocessing and tokenizer."
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
