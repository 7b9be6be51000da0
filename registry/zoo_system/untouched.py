"""What work of ours leaves as it was in the process of whoever calls it."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def untouched() -> Iterator[None]:
    """Leave the global generators of Python and NumPy, and the loggers, as they were.

    Keras draws the seeds of its layers from the first of them, and libraries add handlers.

    Example:
        >>> random.seed(1)
        >>> with untouched():
        ...     drawn = random.random()
        >>> drawn == random.random()
        True
    """
    python, loggers, numpy = random.getstate(), _loggers(), _numpy_generator()
    state = numpy.get_state() if numpy else None
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.set_state(state)
        for each, level, propagate, handlers in loggers:
            each.propagate, each.handlers[:] = propagate, handlers
            if each.level != level:
                each.setLevel(level)


def _numpy_generator() -> Any:
    # Of a process that has not imported it there is nothing to keep.
    return getattr(sys.modules.get("numpy"), "random", None)


def _loggers() -> list[tuple[logging.Logger, int, bool, list[logging.Handler]]]:
    named = logging.root.manager.loggerDict.values()
    known = [each for each in named if isinstance(each, logging.Logger)]
    return [
        (each, each.level, each.propagate, list(each.handlers)) for each in (logging.root, *known)
    ]
