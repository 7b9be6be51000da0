"""LiteRT's converter with less memory: without copies, and with the model's weights on the disk."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_system.processes import free_memory

Content = bytes | bytearray | mmap.mmap
# Bytes of a variable that is worth the trouble.
_LARGE = 1 << 20
# What ``tf.train.Checkpoint`` calls the variables of ``tracing.holder``.
_KEY = "held/{}/.ATTRIBUTES/VARIABLE_VALUE"


def mapped(path: Path) -> mmap.mmap:
    """Return a file of which what is looked at alone comes into the memory: not its weights."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextmanager
def with_little_memory(module: Any) -> Iterator[None]:
    """Let a ``TFLiteConverter`` leave out what only costs memory.

    It saves the model, and loads the weights a second time, to hold them; it then works on what it
    saved, while the weights of the Keras model lie idle: these are taken out of the memory and read
    back from the saved ones in the end. It also takes every file apart and builds it anew in
    Python, to share equal constants, even where there are none.

    Args:
        module: Holds the variables of what is converted as ``held``.
    """
    from tensorflow.lite.python import lite

    before = lite._load, lite._deduplicate_readonly_buffers
    large = [at for at, v in enumerate(module.held) if _bytes(v) >= _LARGE]

    def share(content: bytes) -> bytes:
        free_memory()
        shared: bytes = before[1](content) if _has_equal_buffers(content) else content
        return shared

    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "variables"

        def put_away(saved: str, tags: object) -> None:
            if large:  # the converter removes its folder before it is done
                shutil.copytree(Path(saved) / kept.name, kept, copy_function=_link)
                _empty([module.held[at] for at in large])

        lite._load, lite._deduplicate_readonly_buffers = put_away, share
        try:
            yield
        finally:
            lite._load, lite._deduplicate_readonly_buffers = before
            if kept.is_dir():
                _fill(module, large, kept)


def _bytes(variable: Any) -> int:
    size: int = variable.shape.num_elements() * variable.dtype.size
    return size


def _link(source: str, target: str) -> None:
    """Give a file a second name; where the disk knows none, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _empty(variables: Sequence[Any]) -> None:
    import tensorflow as tf

    for variable in variables:
        _put(variable, tf.zeros([0], variable.dtype))
    free_memory()


def _fill(module: Any, large: Sequence[int], folder: Path) -> None:
    import tensorflow as tf

    saved = tf.train.load_checkpoint(str(folder / "variables"))
    for at in large:
        _put(module.held[at], saved.get_tensor(_KEY.format(at)))


def _put(variable: Any, value: Any) -> None:
    """Give a variable a value of another shape too, which its own method refuses."""
    import tensorflow as tf

    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def _has_equal_buffers(content: bytes) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    buffers = map(model.Buffers, range(model.BuffersLength()))
    constants = [b.DataAsNumpy().data for b in buffers if b.DataLength()]
    return len({hashlib.sha256(data).digest() for data in constants}) < len(constants)
