"""Models without weights, and the memory that weights will take, counted before any is allocated.

Keras itself is imported only where a model is counted.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_models.calling import accepted_overrides, call_builder, load_builder
from zoo_registry.specs import ModelSpec
from zoo_system.errors import UsageError
from zoo_system.machine import free_bytes

# Set to anything, models are built however much memory they take.
ANY_SIZE = "KERAZOO_ANY_SIZE"
# Of the free memory; below it a model is not counted before it is built.
_SURELY_FITS = 0.25
# Where Keras keeps variables to make later; no public function empties it.
PENDING = "uninitialized_variables"
# What a ``.keras`` file says of its model.
_CONFIG, _MOST_CONFIG = "config.json", 1 << 26


def check_memory(spec: ModelSpec, arguments: Mapping[str, Any]) -> None:
    """Refuse a model whose weights are larger than the free memory, before any is allocated.

    Args:
        spec: The model.
        arguments: Of its builder, task and weights among them.

    Raises:
        UsageError: It is too large. The environment variable ``KERAZOO_ANY_SIZE`` lets it pass.
    """
    free = free_bytes()
    if free is None or os.environ.get(ANY_SIZE):
        return
    if 4 * _at_most(spec, arguments) < _SURELY_FITS * free:
        return
    needed = weight_bytes(spec, arguments)
    if needed > free:
        raise UsageError(
            f"Model '{spec.name}' has {_amount(needed)} of weights, and {_amount(free)} of memory "
            f"are free: choose a smaller model, or set {ANY_SIZE}=1 to build it all the same."
        )


def check_file_memory(path: Path) -> None:
    """Refuse a ``.keras`` file whose model is larger than the free memory, before it is loaded.

    Args:
        path: The file; one that is not there, or damaged, passes.

    Raises:
        UsageError: It is too large. The environment variable ``KERAZOO_ANY_SIZE`` lets it pass.
    """
    free = free_bytes()
    if free is None or os.environ.get(ANY_SIZE) or not path.is_file():
        return
    needed = file_bytes(path)
    if needed > free:
        raise UsageError(
            f"The model of '{path}' has {_amount(needed)} of weights, and {_amount(free)} of "
            f"memory are free. {ANY_SIZE}=1 loads it all the same."
        )


def _amount(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _at_most(spec: ModelSpec, arguments: Mapping[str, Any]) -> float:
    """Return more parameters than a model has.

    It is the number of its defaults, times how much each size grew; squared, as widths count twice
    in a product.
    """
    known = {name: p.default for name, p in accepted_overrides(load_builder(spec)).items()}
    usual = {**known, **spec.defaults}
    count = float(spec.num_params or 0)
    for name, value in arguments.items():
        before = usual.get(name)
        if _is_count(value) and _is_count(before):
            count *= max(1.0, _total(value) / _total(before)) ** 2
    return count


def _is_count(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return bool(values) and all(type(item) is int and item > 0 for item in values)


def _total(value: Any) -> int:
    return sum(value) if isinstance(value, tuple) else int(value)


@contextmanager
def without_weights() -> Iterator[None]:
    """Let models be built here whose variables have a shape and no value."""
    import keras
    from keras.src.backend.common import global_state

    pending = global_state.get_global_attribute(PENDING, [], set_to_default=True)
    before = len(pending)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Else all of them are made when the next such scope ends.
        del pending[before:]


def weight_bytes(spec: ModelSpec, arguments: Mapping[str, Any]) -> int:
    """Return the bytes that the variables of a model will take; nothing is allocated.

    Where variables have no values already, as when a model is only sized, they take none.

    Args:
        spec: The model.
        arguments: Of its builder, the task among them.
    """
    from keras.src.backend.common.stateless_scope import in_stateless_scope

    if in_stateless_scope():
        return 0
    with without_weights():
        # The weights themselves are not what is counted here.
        model = call_builder(spec, {k: v for k, v in arguments.items() if k != "weights"})
    return _bytes_of(model.variables)


def file_bytes(path: Path) -> int:
    """Return the bytes that the model of a ``.keras`` file will take; nothing is allocated.

    What cannot be built counts nothing.

    Args:
        path: The file.
    """
    import keras
    from keras.src.backend.common import global_state

    pending = global_state.get_global_attribute(PENDING, [], set_to_default=True)
    before = len(pending)
    with without_weights():
        # Whatever is wrong with the file, or with a layer that needs values, loading says why.
        with contextlib.suppress(Exception):
            keras.saving.deserialize_keras_object(_config(path), safe_mode=True)
        return _bytes_of(pending[before:])


def _config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG:
            raise ValueError(f"{_CONFIG} is larger than {_MOST_CONFIG:,} bytes")
        return _without_state(json.loads(archive.read(_CONFIG)))


def _without_state(config: Any) -> Any:
    """Return a configuration whose recurrent layers keep no state: that has to have a value."""
    if isinstance(config, dict):
        return {k: False if k == "stateful" else _without_state(v) for k, v in config.items()}
    return [_without_state(item) for item in config] if isinstance(config, list) else config


def _bytes_of(variables: Iterable[Any]) -> int:
    sizes = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int8": 1, "uint8": 1}
    return sum(math.prod(v.shape) * sizes.get(v.dtype, 4) for v in variables)
