"""Keras and TensorFlow imported in half the time, by processes of ours."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import RLock
from types import ModuleType
from typing import Any

# What they import scikit-learn, Matplotlib and pandas for, in a process that seldom needs any.
_ON_FIRST_USE = {
    "keras.wrappers",
    "keras.visualization",
    "keras.src.visualization",
    "keras.src.trainers.data_adapters.array_slicing",
}
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
            change = _uncollected if fullname in _LARGE else _on_first_use
            loader.exec_module = change(loader.exec_module)
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


def _on_first_use(run: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    """Run a module when something is first asked of it that only running it gives.

    Other than with ``importlib.util.LazyLoader`` its file is known before: AutoGraph asks every
    module for that, to find the source of a function.
    """

    def exec_module(module: ModuleType) -> None:
        lock, has_begun = RLock(), False

        def first_use(name: str) -> Any:
            nonlocal has_begun
            with lock:  # another thread waits until all of it is there
                if not has_begun:
                    has_begun = True
                    try:
                        run(module)
                    except BaseException:  # such as a library that is not installed
                        has_begun = False
                        raise
                    del module.__getattr__
            if name in vars(module):
                return vars(module)[name]
            raise AttributeError(f"module '{module.__name__}' has no attribute '{name}'")

        module.__getattr__ = first_use  # type: ignore[method-assign]  # PEP 562

    return exec_module


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
