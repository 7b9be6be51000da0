"""What is seen of a training while it runs."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoo_recipes.run import HISTORY, write_json
from zoo_system.durable import write_text


class Recorder(keras.callbacks.Callback):
    """Writes the metrics of all epochs after each of them.

    Args:
        history: By name; added to.
        folder: Of the run.
    """

    def __init__(self, history: dict[str, list[float]], folder: Path) -> None:
        super().__init__()
        self.history = history
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Add an epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        write_json(self.folder / HISTORY, self.history)
        rows = zip(*self.history.values(), strict=True)
        lines = [[*self.history], *([f"{value:.6g}" for value in row] for row in rows)]
        text = "".join(",".join(line) + "\n" for line in lines)
        write_text(self.folder / "history.csv", text)


class ProgressBar(keras.callbacks.Callback):
    """A bar with metrics and the time left, for terminals.

    Args:
        console: Where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Start at nothing."""
        self.steps = self.params["steps"]
        total = self.params["epochs"] * self.steps
        self.task = self.progress.add_task("", total=total, metrics="")
        self.progress.start()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say which epoch it is."""
        self.done = epoch * self.steps
        text = f"epoch {epoch + 1}/{self.params['epochs']}"
        self.progress.update(self.task, description=text)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Move on."""
        completed = self.done + batch + 1
        self.progress.update(self.task, completed=completed, metrics=metrics_line(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Show the metrics of validation too."""
        self.progress.update(self.task, metrics=metrics_line(logs))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Leave the finished bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after a failure."""
        self.progress.stop()


class ProgressLines(keras.callbacks.Callback):
    """A line an epoch, for logs and pipes.

    Args:
        console: Where it is written.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

        self.began: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock, in the first epoch: a training that goes on has it later."""
        if self.began is None:
            self.began, self.first = time.perf_counter(), epoch

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the line."""
        spent = time.perf_counter() - (self.began or 0)
        left = spent / (epoch + 1 - self.first) * (self.params["epochs"] - epoch - 1)
        line = f"epoch {epoch + 1}/{self.params['epochs']}  {metrics_line(logs)}  {left:.0f} s left"
        self.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held."""


def metrics_line(logs: Mapping[str, Any] | None) -> str:
    """Return metrics as ``loss 0.123  accuracy 0.987``.

    Example:
        >>> metrics_line({"loss": 0.1234567, "accuracy": 1})
        'loss 0.1235  accuracy 1.0000'
    """
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
