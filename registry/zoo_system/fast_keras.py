"""Keras and TensorFlow imported in half the time, by processes of ours."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

# What they import scikit-learn and Matplotlib for, in a process that seldom needs either.
_ON_FIRST_USE = {"keras.wrappers", "keras.visualization", "keras.src.visualization"}
_LARGE = {"keras", "tensorflow"}


class FastKeras:
    """Imports parts of Keras on first use, and collects no garbage while Keras is imported.

    A million objects are made by the import and stay: the collector goes through them again and
    again meanwhile, at every collection afterwards, and as the process ends.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that another finder has, with a loader that takes less time."""
        if fullname not in _ON_FIRST_USE | _LARGE:
            return None
        spec = spec_behind(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            if fullname in _LARGE:
                loader.exec_module = _uncollected(loader.exec_module)
            else:
                spec.loader = LazyLoader(loader)
        return spec


def spec_behind(
    finder: object, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """Return what the first of the finders behind one that knows a module says of it."""
    finders: list[Any] = sys.meta_path
    behind = finders[finders.index(finder) + 1 :]
    found = (other.find_spec(fullname, path, target) for other in behind)
    return next((spec for spec in found if spec is not None), None)


def fast_keras() -> None:
    """Import Keras and TensorFlow fast in this process, which has to be one of ours.

    What lives when the import ends is never collected, be it the import's or not.
    """
    if not any(isinstance(finder, FastKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, FastKeras())


def _uncollected(run: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def exec_module(module: ModuleType) -> None:
        with _no_collections():
            run(module)

    return exec_module


@contextmanager
def _no_collections() -> Iterator[None]:
    if not gc.isenabled():  # one of them imports the other
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
