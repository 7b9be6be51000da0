"""Tables that pandas pickled, read without pandas and without running what the file names."""

from __future__ import annotations

import lzma
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo_registry import ZooError


class _Frame:
    """What stands for a data frame: its state becomes its attributes."""

    _mgr: _Blocks


class _Blocks(NamedTuple):
    blocks: tuple[_Block, ...]
    axes: list[Any]


class _Block(NamedTuple):
    values: Any
    placement: Any
    ndim: int


class _Index:
    """A name in the file; the index itself is what `_index` returns."""


def _index(kind: type, state: Mapping[str, Any]) -> Any:
    return state.get("data")


def _array(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    # NumPy refuses to take bytes for addresses of objects here.
    return np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


# All that a pickled frame of numbers and texts needs: what is of pandas has a stand-in.
_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "slice"): slice,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): lambda kind, shape, code: np.ndarray(shape, code),
    ("numpy.core.numeric", "_frombuffer"): _array,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.range", "RangeIndex"): _Index,
    ("pandas.core.internals.managers", "BlockManager"): _Blocks,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise ZooError(f"it names '{module}.{name}', which a table has no need of")
        return _KNOWN[module, name]


def read_frame(path: Path) -> dict[str, Any]:
    """Return the columns of a pandas data frame that was pickled and compressed by xz.

    A pickle may name anything that Python can call; here only what a table of numbers and texts
    is made of is found, and nothing else is imported or called.

    Args:
        path: The file.

    Returns:
        NumPy arrays by column: numbers, or objects where they are texts.

    Raises:
        ZooError: It is no such file, or it names what a table has no need of.
    """
    try:
        with lzma.open(path) as file:
            frame = _Unpickler(file).load()
        names, _ = frame._mgr.axes
        return {
            str(name): column
            for block in frame._mgr.blocks
            for name, column in zip(names[block.placement], block.values, strict=True)
        }
    except Exception as error:  # a damaged pickle may end in anything
        raise ZooError(f"'{path}' is refused as a pickled table: {error}") from error
