"""The whole state of a training in a file, so that it goes on as if it had never stopped."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import ZooError
from zoo_system import folders
from zoo_system.durable import write

SECONDS = 60.0
KEPT = 2
# What EarlyStopping and ReduceLROnPlateau count.
COUNTED = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")
# Writing may take one part in fifty of the time, whatever the user's seconds are.
SHARE = 50


@dataclass(frozen=True)
class Position:
    """Where a training is.

    Args:
        epoch: From 0 on.
        step: Of the epoch, the one that is trained next.
    """

    epoch: int = 0
    step: int = 0

    def __str__(self) -> str:
        """Return it counted from 1, for messages."""
        return f"epoch {self.epoch + 1}, step {self.step}"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        path: The file.
        arrays: Of the variables, and of what callbacks keep.
        notes: The rest, as JSON has it.
    """

    path: Path
    arrays: Mapping[str, Any]
    notes: Mapping[str, Any]

    @property
    def position(self) -> Position:
        """Where the training was."""
        return Position(self.notes["epoch"], self.notes["step"])

    @property
    def history(self) -> dict[str, list[float]]:
        """Of the epochs that were done."""
        return {name: list(values) for name, values in self.notes["history"].items()}


class Saver:
    """Writes checkpoints of one training.

    Args:
        folder: Of the run.
        model: Compiled, its optimizer and metrics built.
        callbacks: Keras callbacks; their counters are saved.
        history: Of the epochs that are done, filled elsewhere.
        seconds: At least so much time lies between two checkpoints; 0 is one every step.
    """

    def __init__(
        self,
        folder: Path,
        model: Any,
        callbacks: Sequence[Any],
        history: Mapping[str, list[float]],
        seconds: float,
    ) -> None:
        self.folder = folder / folders.CHECKPOINTS
        self.model = model
        self.callbacks = callbacks
        self.history = history
        self.seconds = seconds
        self.due = time.monotonic() + seconds
        self.last: Position | None = None

    def save_if_due(self, position: Position) -> None:
        """Write a checkpoint if the last one is old enough."""
        if time.monotonic() >= self.due:
            self.save(position)

    def save(self, position: Position) -> None:
        """Write a checkpoint atomically, and delete all but the newest.

        Raises:
            ZooError: The disk is full or cannot be written; older checkpoints stay.
        """
        began = time.monotonic()
        arrays, notes = self._state(position)
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"epoch-{position.epoch + 1:05d}-step-{position.step:08d}.npz"
        write(path, lambda part: np.savez(part, notes=np.asarray(json.dumps(notes)), **arrays))
        for old in _paths(self.folder)[:-KEPT]:
            old.unlink()
        ended = time.monotonic()
        self.last = position
        self.due = ended + (max(self.seconds, SHARE * (ended - began)) if self.seconds else 0)

    def _state(self, position: Position) -> tuple[dict[str, Any], dict[str, Any]]:
        variables = variables_of(self.model)
        arrays = {f"variable/{index}": v.numpy() for index, v in enumerate(variables)}
        for index, callback in enumerate(self.callbacks):
            for at, weights in enumerate(getattr(callback, "best_weights", None) or []):
                arrays[f"best_weights/{index}/{at}"] = weights
        return arrays, {
            "epoch": position.epoch,
            "step": position.step,
            "num_variables": len(variables),
            "callbacks": [_counted(callback) for callback in self.callbacks],
            "history": dict(self.history),
            "stop_training": bool(self.model.stop_training),
        }


def variables_of(model: Any) -> list[Any]:
    """Return all that training changes: weights, random states, optimizer and metrics."""
    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in found}.values())


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run that is whole, or ``None``; warn of damaged ones.

    Args:
        folder: Of the run.
    """
    for path in reversed(_paths(folder / folders.CHECKPOINTS)):
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files}
            checkpoint = Checkpoint(path, arrays, json.loads(str(arrays.pop("notes"))))
            str(checkpoint.position)  # damaged notes are found here
        except Exception as error:  # zipfile, NumPy and JSON raise many kinds on damaged bytes
            reason = str(error) or type(error).__name__
            warnings.warn(f"'{path}' is damaged and is not used: {reason}", stacklevel=2)
        else:
            return checkpoint
    return None


def restore(checkpoint: Checkpoint, model: Any, callbacks: Sequence[Any]) -> None:
    """Put a model and its callbacks back to where they were.

    Args:
        checkpoint: What :func:`newest` returned.
        model: Compiled, its optimizer and metrics built.
        callbacks: After ``on_train_begin``, in which they forget what they have counted.

    Raises:
        ZooError: The checkpoint is of another model.
    """
    variables, arrays = variables_of(model), checkpoint.arrays
    saved = [arrays[f"variable/{index}"] for index in range(checkpoint.notes["num_variables"])]
    if [tuple(variable.shape) for variable in variables] != [array.shape for array in saved]:
        raise ZooError(
            f"'{checkpoint.path}' has {len(saved)} variables, and the model {len(variables)} or "
            "others: another version of Kerazoo or Keras wrote it. Train from the start: --force."
        )
    for variable, array in zip(variables, saved, strict=True):
        variable.assign(array)
    model.stop_training = checkpoint.notes["stop_training"]
    for index, callback in enumerate(callbacks):
        vars(callback).update(checkpoint.notes["callbacks"][index])
        prefix = f"best_weights/{index}/"
        count = sum(name.startswith(prefix) for name in arrays)
        if count:
            callback.best_weights = [arrays[f"{prefix}{at}"] for at in range(count)]


def _counted(callback: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(callback).items() if name in COUNTED}


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.npz"))
