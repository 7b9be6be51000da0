"""One training at a time in a process, which leaves no trace in it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zoo_recipes.distributed.cluster import this_member
from zoo_registry import UsageError
from zoo_registry.build import check_backend

_TRAINING = threading.Lock()


@contextmanager
def alone() -> Iterator[None]:
    """Keep other trainings of this process out, and leave all that a training sets as it was.

    These are the generators of Python, NumPy, TensorFlow and Keras, Keras' dtype policy, and the
    loggers.

    Raises:
        UsageError: There is another one.
    """
    check_backend()
    # TensorFlow connects the processes of a cluster before Keras is imported; they only train.
    here_only = this_member() is None
    if not _TRAINING.acquire(blocking=False):
        raise UsageError(
            "Another training is running in this process, and both would draw from the same random "
            "numbers: wait for it to end, or start one of the two in a process of its own "
            "(`zoo train`)."
        )
    try:
        put_back = [_generators(), *([_keras()] if here_only else []), _loggers()]
        try:
            yield
        finally:
            for each in put_back:
                each()
    finally:
        _TRAINING.release()


def _generators() -> Callable[[], None]:
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)

    return put_back


def _keras() -> Callable[[], None]:
    # Seeds can be set in public, and not be read.
    import keras
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
    from tensorflow.python.eager import context

    names = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    attributes = {name: global_state.get_global_attribute(name) for name in names}
    policy: Any = keras.config.dtype_policy()
    eager: Any = context.context()
    # A new generator is made for a seed: this one is not drawn from meanwhile.
    seed, generator = eager._seed, getattr(eager, "_rng", None)
    # What a recipe wants it says.
    keras.config.set_dtype_policy("float32")

    def put_back() -> None:
        for name, value in attributes.items():
            global_state.set_global_attribute(name, value)
        keras.config.set_dtype_policy(policy)
        eager._seed = seed
        if generator is not None:
            eager._rng = generator

    return put_back


def _loggers() -> Callable[[], None]:
    named = logging.root.manager.loggerDict.values()
    known = [each for each in named if isinstance(each, logging.Logger)]
    before = [
        (each, each.level, each.propagate, list(each.handlers)) for each in (logging.root, *known)
    ]

    def put_back() -> None:
        for each, level, propagate, handlers in before:
            each.propagate, each.handlers[:] = propagate, handlers
            if each.level != level:
                each.setLevel(level)

    return put_back
