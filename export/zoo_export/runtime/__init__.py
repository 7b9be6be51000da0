"""Running an artifact with NumPy and its own runtime, every tensor bound by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo_export.errors import MissingRuntimeError
from zoo_export.formats import Format
from zoo_export.tensors import BATCH, Array, Arrays, Tensor, bind
from zoo_registry import UsageError, load_target


class Session(Protocol):
    """A loaded artifact; what a format's runtime target returns."""

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return the outputs by name for inputs of exactly the artifact's shapes and dtypes."""
        ...


class Runner:
    """An artifact ready to run, safe to share between threads where its runtime is.

    Args:
        session: The loaded artifact.
        inputs: What it takes; where the batch is a number, other batches are run in pieces.
        outputs: What it gives.
    """

    def __init__(
        self, session: Session, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> None:
        self.session = session
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        first = self.inputs[0].shape[0]
        self._batch = first if isinstance(first, int) else None
        # What the caller may give: the batch varies, whether the file's does or not.
        self._accepted = [_any_batch(tensor) for tensor in self.inputs]

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Return the outputs by name.

        Args:
            inputs: Arrays by input name, batch first. float64 and int64 are narrowed.

        Raises:
            UsageError: A missing, unknown or wrongly shaped input.
        """
        arrays = bind(self._accepted, inputs)
        if self._batch is None:
            return self.session.run(arrays)
        return self._in_pieces(arrays, self._batch)

    def _in_pieces(self, arrays: Arrays, batch: int) -> dict[str, Array]:
        rows = len(next(iter(arrays.values())))
        pieces = []
        for start in range(0, rows, batch):
            piece = {name: array[start : start + batch] for name, array in arrays.items()}
            pieces.append(self.session.run({n: _filled(a, batch) for n, a in piece.items()}))
        return {t.name: np.concatenate([p[t.name] for p in pieces])[:rows] for t in self.outputs}


def open_runner(
    fmt: Format,
    path: Path,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    threads: int | None = None,
) -> Runner:
    """Load an artifact in the runtime of its format.

    Args:
        fmt: The artifact's format.
        path: Its file or folder.
        inputs: What it takes.
        outputs: What it gives.
        threads: Threads to use; the runtime's own choice by default.

    Raises:
        MissingRuntimeError: The runtime is not installed.
        UsageError: A number of threads below one.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}: use 1 or more, or leave it out.")
    check_installed(fmt)
    open_session: Callable[..., Session] = load_target(fmt.runtime)
    return Runner(open_session(path, threads=threads), inputs, outputs)


def is_installed(fmt: Format) -> bool:
    """Return whether the package that runs a format can be imported."""
    return importlib.util.find_spec(fmt.module) is not None


def check_installed(fmt: Format) -> None:
    """Refuse a format whose runtime is not installed.

    Raises:
        MissingRuntimeError: It is not, with the line that installs it.
    """
    if not is_installed(fmt):
        raise MissingRuntimeError(
            f"Format '{fmt.name}' runs with {fmt.requires}, which is not installed: "
            f"pip install {fmt.requires}"
        )


def _any_batch(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.dtype, (BATCH, *tensor.shape[1:]))


def _filled(array: Array, batch: int) -> Array:
    # The last piece is filled up with its own last row; what that gives is cut off again.
    return np.concatenate([array, np.repeat(array[-1:], batch - len(array), axis=0)])
