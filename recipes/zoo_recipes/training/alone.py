"""One training at a time in a process, which leaves no trace in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zoo_models.build import check_backend
from zoo_recipes.distributed.cluster import this_member
from zoo_registry import UsageError
from zoo_system.untouched import untouched

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
        with untouched():
            put_back = _keras() if here_only else None
            try:
                yield
            finally:
                if put_back is not None:
                    put_back()
    finally:
        _TRAINING.release()


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
