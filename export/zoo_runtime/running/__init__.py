"""Running an artifact with NumPy and its own runtime, every tensor bound by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo_registry import UsageError, ZooError, load_target
from zoo_runtime.errors import BundleError, MissingRuntimeError
from zoo_runtime.formats import Format
from zoo_runtime.optional import is_installed, missing
from zoo_runtime.tensors import BATCH, Array, Arrays, Tensor, bind, joined, split

MAX_THREADS = 1024
# Letters of a runtime's reason.
_MOST_LETTERS = 2000


@dataclass(frozen=True)
class Options:
    """How an artifact is opened.

    Args:
        threads: Threads to use; the runtime's own choice by default.
        provider: What computes, as the runtime calls it; its processor code by default.
    """

    threads: int | None = None
    provider: str | None = None


AS_USUAL = Options()


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
        batch_sizes: Batches that it takes, if there are more than that of ``inputs``.
        nan_inputs: Inputs that may hold NaN, because the model has an answer to it.
    """

    def __init__(
        self,
        session: Session,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        batch_sizes: Sequence[int] = (),
        nan_inputs: Collection[str] = (),
    ) -> None:
        self.session = session
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        # In their order.
        self._names = dict.fromkeys(tensor.name for tensor in self.outputs)
        first = self.inputs[0].shape[0]
        fixed = (first,) if isinstance(first, int) else ()
        self._batch_sizes = tuple(batch_sizes) or fixed
        self._nan_inputs = frozenset(nan_inputs)
        # What the caller may give: the batch varies, whether the file's does or not.
        self._accepted = [_any_batch(tensor) for tensor in self.inputs]
        self._check_batches()

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Return the outputs by name.

        Args:
            inputs: Arrays by input name, batch first. float64 and int64 are narrowed.

        Raises:
            UsageError: A missing, unknown or wrongly shaped input, or one that holds NaN, to
                which Keras has no answer and a file may have a confident one.
            BundleError: The artifact fails, or gives other outputs than its manifest says.
        """
        arrays = bind(self._accepted, inputs)
        for name in arrays.keys() - self._nan_inputs:
            _check_numbers(name, arrays[name])
        if not self._batch_sizes:
            return self._run(arrays)
        rows = len(next(iter(arrays.values())))
        if rows in self._batch_sizes:
            return self._run(arrays)
        outputs = joined([self._run(part) for part in split(arrays, self._batch_sizes)])
        return {name: array[:rows] for name, array in outputs.items()}

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batches that the file takes; none where it takes any."""
        return self._batch_sizes

    def _check_batches(self) -> None:
        # What the manifest does not list was not verified.
        more = set(getattr(self.session, "batch_sizes", ())) - set(self._batch_sizes)
        if more:
            raise BundleError(
                f"The file has a signature for batch {min(more)}, which its manifest does not list."
            )

    def _run(self, arrays: Arrays) -> dict[str, Array]:
        try:
            outputs = self.session.run(arrays)
        except Exception as error:  # each runtime has its own kinds
            raise BundleError(f"The model fails in its runtime: {_reason(error)}") from error
        if outputs.keys() != self._names.keys():
            wanted = list(self._names)
            raise BundleError(f"The model gives {sorted(outputs)}; its manifest says {wanted}.")
        return {name: outputs[name] for name in self._names}


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that no machine can start: the system ends the process.

    Args:
        threads: Threads to use; ``None`` is the runtime's own choice.

    Raises:
        UsageError: It is below one or above :data:`MAX_THREADS`.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads={threads}: use 1 to {MAX_THREADS}, or leave it out.")


def open_runner(
    fmt: Format,
    path: Path,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    batch_sizes: Sequence[int] = (),
    options: Options = AS_USUAL,
    nan_inputs: Collection[str] = (),
) -> Runner:
    """Load an artifact in the runtime of its format.

    Args:
        fmt: The artifact's format.
        path: Its file or folder.
        inputs: What it takes.
        outputs: What it gives.
        batch_sizes: Batches that it takes, if there are more than that of ``inputs``.
        options: Threads and provider.
        nan_inputs: Inputs that may hold NaN.

    Raises:
        MissingRuntimeError: The runtime is not installed.
        UsageError: A number of threads that :func:`check_threads` refuses, or a provider that is
            not there.
        BundleError: The runtime refuses the file.
    """
    session = opened(fmt, fmt.runtime, path, options)
    return Runner(session, inputs, outputs, batch_sizes, nan_inputs)


def opened(fmt: Format, target: str, path: Path, options: Options, *more: Any) -> Any:
    """Return what a target of a format makes of an artifact.

    Args:
        fmt: The artifact's format.
        target: ``"module:function"``; takes the path, ``more``, threads and a provider.
        path: The artifact's file or folder.
        options: Threads and provider.
        more: Further arguments.

    Raises:
        As :func:`open_runner`.
    """
    check_threads(options.threads)
    check_installed(fmt)
    given: dict[str, Any] = {"threads": options.threads}
    if options.provider is not None:
        given["provider"] = options.provider
    try:
        return load_target(target)(path, *more, **given)
    except ZooError:
        raise
    except Exception as error:  # each runtime has its own kinds
        raise BundleError(f"{fmt.requires} refuses '{path}': {_reason(error)}") from error


def check_installed(fmt: Format) -> None:
    """Refuse a format whose runtime is not there.

    Raises:
        MissingRuntimeError: It is not installed.
    """
    if not is_installed(fmt.module):
        raise MissingRuntimeError(missing(fmt.module, f"Format '{fmt.name}'", fmt.requires))


def _check_numbers(name: str, array: Array) -> None:
    # The largest of numbers among which one is NaN is NaN, and found three times as fast as a sum.
    if array.dtype.kind != "f" or not np.isnan(array.max()):
        return
    is_nan = np.isnan(array)
    row = int(is_nan.reshape(len(array), -1).any(axis=1).argmax())
    raise UsageError(
        f"Input '{name}' holds NaN in {int(is_nan.sum()):,} of {array.size:,} values (first in row "
        f"{row}): the model has no answer to that, and a file may give a confident one. Give "
        "numbers in its place, or leave the row out."
    )


def _reason(error: Exception) -> str:
    # What runtimes report of shapes is behind the node's name, in lines of their own.
    text = " ".join(str(error).split())
    more = "..." if len(text) > _MOST_LETTERS else ""
    return f"{type(error).__name__}: {text[:_MOST_LETTERS]}{more}"


def _any_batch(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.dtype, (BATCH, *tensor.shape[1:]))
