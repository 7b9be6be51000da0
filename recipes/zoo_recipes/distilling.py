"""Learning from a trained run beside the data (https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo_recipes.configs import DistillationConfig
from zoo_recipes.predicting import keras_predictor, only_logits
from zoo_recipes.run import load_run
from zoo_recipes.sources import Arrays
from zoo_registry import UsageError

Teach = Callable[[Arrays, Any], Any]


def make_teaching(config: DistillationConfig, student: Any) -> Teach:
    """Return what puts the logits of a teacher behind the class of each example.

    Args:
        config: Names the teacher's run.
        student: It must take and give what the teacher does.

    Returns:
        A function of inputs by name and classes, int (batch,), that returns float32
        (batch, 1 + num_classes): the class, then the teacher's logits.

    Raises:
        UsageError: No complete run, or a model of other inputs or classes.
    """
    from zoo_recipes.components import use_xla

    teacher = load_run(config.teacher).model()
    _check_like(config.teacher, teacher, student)
    predict = keras_predictor(teacher, use_xla("auto"))

    def teach(inputs: Arrays, targets: Any) -> Any:
        logits = np.asarray(only_logits(predict(inputs)), np.float32)
        return np.concatenate([np.asarray(targets, np.float32)[:, np.newaxis], logits], axis=1)

    return teach


def _check_like(run: str, teacher: Any, student: Any) -> None:
    if len(student.outputs) != 1 or len(student.outputs[0].shape) != 2:
        raise UsageError(
            f'distillation.teacher = "{run}": a model learns from another one where each example '
            f"has one class; this one gives {', '.join(_described(student, 'outputs'))}."
        )
    for what in ("inputs", "outputs"):
        theirs, ours = (_described(model, what) for model in (teacher, student))
        if theirs != ours:
            raise UsageError(
                f'distillation.teacher = "{run}": its {what} are {", ".join(theirs)}, and those '
                f"of the model to be trained {', '.join(ours)}: they must be the same."
            )


def _described(model: Any, what: str) -> list[str]:
    tensors = getattr(model, what)
    names = [tensor.name for tensor in tensors] if what == "inputs" else model.output_names
    # How long a text is, is known only when it is there.
    shapes = [tuple(size or "?" for size in tensor.shape[1:]) for tensor in tensors]
    return sorted(f"{name} {shape}" for name, shape in zip(names, shapes, strict=True))
