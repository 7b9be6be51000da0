"""Training the head of a model on the device, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.optional import need
from zoo_runtime.running import Runner, check_threads
from zoo_runtime.running.operators import check_tflite
from zoo_runtime.running.sessions import LiteRTSession
from zoo_runtime.saved_samples import read_npz
from zoo_runtime.tensors import BATCH, Array, Tensor, bind
from zoo_system import durable

LABELS, SAMPLE_WEIGHT, LEARNING_RATE = "labels", "sample_weight", "learning_rate"
INFER, TRAIN, SAVE, RESTORE = "infer", "train", "save", "restore"
_FILE = "file_sha256"


class Trainer:
    """A model whose last Dense layer learns; safe to share between threads.

    Args:
        interpreter: A loaded file with the signatures ``train``, ``infer``, ``save``, ``restore``.
        file: Hash of the file; weights that another file saved are not taken.
    """

    def __init__(self, interpreter: Any, file: str) -> None:
        self._lock = threading.Lock()
        self._file = file
        self._interpreter = interpreter
        runners = {name: interpreter.get_signature_runner(name) for name in (TRAIN, SAVE, RESTORE)}
        self._train, self._save, self._restore = runners.values()
        given = {t.name: t for t in _tensors(self._train.get_input_details())}
        self.labels = given.pop(LABELS)
        self._weight = given.pop(SAMPLE_WEIGHT)
        del given[LEARNING_RATE]
        self._accepted = [Tensor(t.name, t.dtype, (BATCH, *t.shape[1:])) for t in given.values()]
        infer = interpreter.get_signature_runner(INFER)
        self._runner = Runner(
            LiteRTSession(interpreter, INFER),
            _tensors(infer.get_input_details()),
            _tensors(infer.get_output_details()),
        )

    @property
    def batch(self) -> int:
        """Rows that one step takes at most."""
        return int(self.labels.shape[0])

    def step(
        self,
        inputs: Mapping[str, Any],
        labels: Any,
        learning_rate: float = 0.01,
        sample_weight: Any = None,
    ) -> float:
        """Take one step of gradient descent and return the loss before it.

        Args:
            inputs: Arrays by input name, at most :attr:`batch` rows.
            labels: Classes, int (rows,), or (rows, steps) where the model classifies each step; of
                a regression, float in the shape of its output.
            learning_rate: How far to go.
            sample_weight: How much each label counts, of the shape of the classes, or (rows,).

        Raises:
            UsageError: Arrays that do not fit, or a step after which the weights would not be
                finite; they are then as before.
        """
        arrays = bind(self._accepted, inputs)
        rows = len(next(iter(arrays.values())))
        if rows > self.batch:
            raise UsageError(
                f"A step takes at most {self.batch} rows and got {rows}: take several steps, or "
                f"export with train_batch={rows} (--train-batch {rows})."
            )
        if not (np.isfinite(learning_rate) and learning_rate >= 0):
            raise UsageError(f"learning_rate={learning_rate}: give a number that is not negative.")
        arrays[LABELS] = self._checked_labels(labels, rows)
        arrays[SAMPLE_WEIGHT] = self._checked_weight(sample_weight, rows)
        filled = {name: _filled(array, self.batch) for name, array in arrays.items()}
        with self._lock:
            before = self._save()
            rate = np.float32(learning_rate)
            loss = float(self._train(**filled, **{LEARNING_RATE: rate})["loss"])
            if not all(np.isfinite(array).all() for array in [loss, *self._save().values()]):
                self._restore(**before)
                raise UsageError(
                    f"A step of learning_rate={learning_rate} has a loss of {loss:g} and gives "
                    "weights that are not finite: they are as before it. Give a smaller one, or "
                    "finite inputs."
                )
        return loss

    def rehearse(self, inputs: Mapping[str, Any]) -> None:
        """Run every signature once, so that a file that cannot fails in the verifying process.

        Args:
            inputs: Arrays by input name.
        """
        rows = {name: np.asarray(array)[: self.batch] for name, array in inputs.items()}
        count = len(next(iter(rows.values())))
        shape = [count, *map(int, self.labels.shape[1:])]
        before = self.weights()
        self.step(rows, np.zeros(shape, self.labels.dtype), learning_rate=0.0)
        self.predict(rows)
        self.set_weights(before)

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Return the outputs by name, as :meth:`zoo_runtime.bundle.Bundle.run` does.

        Raises:
            UsageError: Inputs that the model does not take.
        """
        with self._lock:
            return self._runner.run(inputs)

    def weights(self) -> dict[str, Array]:
        """Return the ``kernel``, and the ``bias`` if there is one, as they are now."""
        with self._lock:
            return dict(self._save())

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Replace the weights.

        Raises:
            UsageError: Other names or shapes, or values that are not finite; nothing is replaced.
        """
        arrays = {name: _numbers(name, array) for name, array in weights.items()}
        found = {name: array.shape for name, array in arrays.items()}
        wanted = {name: array.shape for name, array in self.weights().items()}
        if found != wanted:
            raise UsageError(f"The weights have the shapes {found}; this head has {wanted}.")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise UsageError("The weights hold NaN or infinite values.")
        with self._lock:
            self._restore(**arrays)

    def save(self, path: str | Path) -> None:
        """Write the weights to a file, all or nothing.

        Args:
            path: An ``.npz`` file; one that is there is replaced.
        """
        path = Path(path)
        arrays: dict[str, Any] = {**self.weights(), _FILE: np.array(self._file)}

        def put(part: Path) -> None:
            with part.open("wb") as file:  # by its name, NumPy would add a suffix
                np.savez(file, **arrays)

        durable.write(path, put)

    def restore(self, path: str | Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            UsageError: The file cannot be read, or another model wrote it; nothing is replaced.
        """
        arrays = read_npz(Path(path))
        if str(arrays.pop(_FILE, "")) != self._file:
            raise UsageError(
                f"'{path}' was not saved by this model: its weights belong to other features."
            )
        self.set_weights(arrays)

    def _checked_labels(self, labels: Any, rows: int) -> Array:
        wanted = Tensor(LABELS, self.labels.dtype, (rows, *self.labels.shape[1:]))
        array = bind([wanted], {LABELS: labels})[LABELS]
        if wanted.dtype == "int32":
            classes = max(2, int(self._runner.outputs[0].shape[-1]))
            if array.min() < 0 or array.max() >= classes:
                raise UsageError(
                    f"Labels go from 0 to {classes - 1}; there are some from {array.min()} to "
                    f"{array.max()}."
                )
        elif not np.isfinite(array).all():
            raise UsageError("The labels hold NaN or infinite values.")
        return array

    def _checked_weight(self, weight: Any, rows: int) -> Array:
        wanted = Tensor(SAMPLE_WEIGHT, "float32", (rows, *self._weight.shape[1:]))
        if weight is None:
            return np.ones([int(size) for size in wanted.shape], np.float32)
        array = bind([wanted], {SAMPLE_WEIGHT: weight})[SAMPLE_WEIGHT]
        if not np.isfinite(array).all() or array.min() < 0 or array.max() == 0:
            raise UsageError("sample_weight must be finite, not negative, and not all zero.")
        return array


def open_trainer(path: str | Path, *, threads: int | None = None) -> Trainer:
    """Load a LiteRT file that can be trained.

    Args:
        path: The file.
        threads: Threads to use.

    Raises:
        MissingPackageError: ai-edge-litert is not installed.
        UsageError: The file has no signature to train it, or so many threads are not available.
    """
    litert = need("ai_edge_litert.interpreter", "Training on the device")
    check_threads(threads)
    content = Path(path).read_bytes()
    check_tflite(Path(path), content)
    interpreter = litert.Interpreter(model_content=content, num_threads=threads)
    missing = {TRAIN, INFER, SAVE, RESTORE} - set(interpreter.get_signature_list())
    if missing:
        raise UsageError(
            f"'{path}' cannot be trained: it has no signature '{min(missing)}'. Export it with "
            "tflite:train (zoo export --train)."
        )
    return Trainer(interpreter, hashlib.sha256(content).hexdigest())


def _tensors(details: Mapping[str, Any]) -> Sequence[Tensor]:
    return [
        Tensor(name, entry["dtype"].__name__, tuple(map(int, entry["shape"])))
        for name, entry in details.items()
    ]


def _numbers(name: str, array: Any) -> Array:
    try:
        return np.asarray(array, np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"'{name}' of the weights is not an array of numbers: {error}") from error


def _filled(array: Array, batch: int) -> Array:
    # Rows of zeros at the end, whose weight is zero too.
    return np.concatenate([array, np.zeros((batch - len(array), *array.shape[1:]), array.dtype)])
