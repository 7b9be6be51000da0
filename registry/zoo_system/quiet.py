"""TensorFlow's start-up messages, held back so that the result can be seen."""

from __future__ import annotations

import importlib.machinery
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, BinaryIO

from zoo_system.fast_keras import spec_behind


class QuietTensorFlow:
    """Imports ``tensorflow`` with standard error held back, and shown if the import fails.

    Its libraries write to the file descriptor itself before any log level is read.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return TensorFlow's own spec with a loader that runs in silence."""
        if fullname != "tensorflow":
            return None
        spec = spec_behind(self, fullname, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            loader: Any = spec.loader
            loader.exec_module = _held_back(loader.exec_module)
        return spec


def quiet_tensorflow() -> None:
    """Keep TensorFlow quiet in this process and its children, as the command line does.

    It is called before anything imports TensorFlow: first in a script or a notebook. Its Python
    errors still show, and ``TF_CPP_MIN_LOG_LEVEL`` is left as it is where it is set.

    Example:
        >>> import zoo
        >>> zoo.quiet_tensorflow()
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietTensorFlow())


@contextmanager
def quiet_logger(name: str | None, level: int = logging.ERROR) -> Iterator[None]:
    """Let a logger of others say nothing below a level meanwhile; ``None`` is that of all.

    Example:
        >>> with quiet_logger("absl"):
        ...     logging.getLogger("absl").warning("nobody reads this")
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _held_back(run: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def exec_module(module: ModuleType) -> None:
        with standard_error_without(b""):
            run(module)

    return exec_module


def quiet_litert() -> AbstractContextManager[None]:
    """Leave out what LiteRT says when it opens a file, of itself and not of the file."""
    return standard_error_without(b"INFO: ", b"WARNING: [npu_registry.cc")


# Of two threads, the later one would put back the file of the earlier one.
_ALONE = threading.RLock()


@contextmanager
def _kept_error() -> Iterator[int | None]:
    """Yield another descriptor of standard error; ``None`` where the process has none."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError):
        yield None
        return
    try:
        yield kept
    finally:
        os.close(kept)


def _nameless_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("standard error"), "w+b")
    import tempfile  # which takes as long to import as a small model to load

    return tempfile.TemporaryFile()


@contextmanager
def standard_error_without(*beginnings: bytes) -> Iterator[None]:
    """Leave out lines that libraries write to standard error itself, unless what runs here fails.

    Args:
        beginnings: Of these lines; those of other threads come a little later.

    Example:
        >>> with standard_error_without(b"INFO: "):
        ...     _ = os.write(2, b"INFO: nobody reads this")
    """
    with _ALONE, _kept_error() as kept, _nameless_file() as held:
        if kept is None:
            yield
            return
        os.dup2(held.fileno(), 2)
        left_out: tuple[bytes, ...] | None = None
        try:
            yield
            left_out = beginnings
        finally:
            os.dup2(kept, 2)
            held.seek(0)
            for line in held:
                if left_out is None or not line.startswith(left_out):
                    os.write(2, line)
