"""TensorFlow's start-up messages, held back so that the result can be seen."""

from __future__ import annotations

import importlib.machinery
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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
    """Keep TensorFlow quiet in this process and its children; its Python errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
        with _standard_error_held_back():
            run(module)

    return exec_module


@contextmanager
def _standard_error_held_back() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
