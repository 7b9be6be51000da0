"""The model as a file or folder that another process can load."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo_export.reading import pickled
from zoo_export.reading.model_code import has_own_code, is_known, module_of, objects_in
from zoo_export.reading.request import Request
from zoo_models.memory import without_weights
from zoo_runtime import files

# HDF5 and zip say so of damaged files; other numbers are those of a full disk and the like.
_OF_DAMAGE = {None, errno.EINVAL}
_PICKLED = "model.pickle"
# Bytes that HDF5 writes of a table beside its numbers, at most.
_OF_A_TABLE = 4096


@contextlib.contextmanager
def model_file(request: Request, work: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give the model as :func:`load` reads it, and the modules to import before.

    A model of known libraries is saved by Keras. One with custom code is pickled: that code may be
    in the running script, and may not give Keras what a layer was made from.

    Raises:
        UsageError: It holds something that cannot leave this process.
    """
    path = work / "model"
    try:
        with without_preprocessor(request.model):
            modules = _saved(request, path)
            if modules is None:
                files.remove(path)
                path = work / _PICKLED
                pickled.save(request.model, path)
        yield path, modules or request.modules
    finally:
        files.remove(path)


@contextlib.contextmanager
def without_preprocessor(model: Any) -> Iterator[None]:
    """Take what KerasHub puts before a model's inputs from it, for a while.

    Its tokenizer has tables of TensorFlow, which no other process can be given, and no file holds
    more than the model itself.

    Args:
        model: Any model; one of KerasHub may have a preprocessor.
    """
    name = "_preprocessor"
    own = vars(model).get(name)
    if own is None:
        yield
        return
    vars(model)[name] = None
    try:
        yield
    finally:
        vars(model)[name] = own


def load(path: Path) -> Any:
    """Return the model of :func:`model_file`, in the process that converts it."""
    from zoo_models.saved import load_saved

    if path.name == _PICKLED:
        return pickled.load(path)
    with _nothing_drawn():
        return load_saved(path)


@contextlib.contextmanager
def _nothing_drawn() -> Iterator[None]:
    """Have random initializers give zeros: the values come from a file, in less time.

    For a process that does nothing else meanwhile.
    """
    from keras import initializers, ops

    names = ("Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling")
    kinds = [getattr(initializers, name) for name in names]
    before = [kind.__call__ for kind in kinds]

    def zeros(self: Any, shape: Any, dtype: Any = None, **_: Any) -> Any:
        return ops.zeros(shape, dtype=dtype)

    try:
        for kind in kinds:
            kind.__call__ = zeros
        yield
    finally:
        for kind, draw in zip(kinds, before, strict=True):
            kind.__call__ = draw


def _saved(request: Request, path: Path) -> tuple[str, ...] | None:
    """Return the modules of what was saved; ``None`` where Keras cannot rebuild it."""
    if has_own_code(request.model):
        return None
    _check_room(request.model, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lambdas, which are pickled then
            # A zip would be built, and read, in memory: twice the weights more.
            request.model.save(path, zipped=False)
        config = json.loads((path / "config.json").read_bytes())
        described = list(objects_in(config))
        _check_file(request.model, config, described)
        found = {module for row in described if (module := module_of(row)) is not None}
    except Exception as error:  # Keras raises many kinds for what it does not find again
        if isinstance(error, OSError) and error.errno not in _OF_DAMAGE:
            raise
        return None
    if not all(map(is_known, found)):
        return None
    # Only what this process has imported too: a file does not choose what code runs.
    return (*request.modules, *sorted(found & sys.modules.keys()))


def _check_room(model: Any, path: Path) -> None:
    """Refuse a disk that is too full for a model's weights.

    HDF5 must not meet it: a file that it cannot finish may end the process later.

    Raises:
        OSError: There is too little room.
    """
    sizes = (math.prod(v.shape) * (8 if v.dtype.endswith("64") else 4) for v in model.variables)
    if shutil.disk_usage(path.parent).free < sum(sizes) + _OF_A_TABLE * (len(model.variables) + 1):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _check_file(model: Any, config: Any, described: Iterable[Mapping[str, Any]]) -> None:
    """Try whether all of a model comes back from its file; those of a name of the zoo do.

    So do KerasHub's, which make an optimizer as they are made, that would be one of the trial.

    Raises:
        Exception: Something does not: some layers and functions of Keras hold custom code, as
            ``ops.map`` does, and some do not give all that they were made from.
    """
    import keras

    if hasattr(model, "zoo_spec") or type(model).__module__.startswith("keras_hub."):
        return
    if any(row.get("class_name") == "__lambda__" for row in described):
        raise LookupError("lambda")
    with without_weights():
        keras.saving.deserialize_keras_object(config, safe_mode=True)
