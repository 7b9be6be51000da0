"""What is explained: a run's Keras model, or one artifact of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_recipes.explanation.target import TASKS, Predict
from zoo_recipes.run import Run
from zoo_registry import UsageError


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained model and what is known of its inputs.

    Args:
        name: Of the model or recipe.
        place: Folder of the run or bundle.
        computes: What computes: ``Keras`` or an export format.
        task: The model's head.
        labels: Names of the classes in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        assets: Folder with the files that the steps name.
        inputs: Dtype of each of the model's inputs by name.
        predict: From prepared inputs to logits.
        model: The Keras model, where it is at hand.
        typical: A file of typical inputs, where there is one.

    Raises:
        UsageError: A task whose answers are no logits of classes or tokens.
    """

    name: str
    place: Path
    computes: str
    task: str
    labels: Sequence[str] | None
    preprocessing: Sequence[Mapping[str, Any]]
    assets: Path
    inputs: Mapping[str, str]
    predict: Predict
    model: Any = None
    typical: Path | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UsageError(
                f"'{self.place}' is a model for {self.task or 'an unknown task'}: what can be "
                f"explained is one answer, of {', '.join(TASKS)}."
            )


def subject_of_run(run: Run) -> Subject:
    """Return a run's Keras model.

    Raises:
        UsageError: A task whose answers are no logits of classes or tokens.
        ZooError: The model cannot be loaded.
    """
    from zoo_recipes.explanation.gradients import keras_predict

    model = run.model()
    calibration = run.path / "calibration.npz"
    return Subject(
        name=run.info.recipe["name"],
        place=run.path,
        computes="Keras",
        task=run.info.task or "",
        labels=run.info.labels,
        preprocessing=run.info.preprocessing,
        assets=run.assets,
        inputs={tensor.name: tensor.dtype for tensor in model.inputs},
        predict=keras_predict(model),
        model=model,
        typical=calibration if calibration.is_file() else None,
    )
