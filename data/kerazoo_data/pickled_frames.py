"""Tables that pandas pickled, read without pandas and without running what the file names."""

from __future__ import annotations

import lzma
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo_registry import ZooError


class _Name:
    """Stands for what a file names and nothing is made of, or whose state is all that counts."""


class _Blocks(NamedTuple):
    blocks: tuple[_Block, ...]
    axes: list[Any]


class _Block(NamedTuple):
    values: Any
    placement: Any
    ndim: int


class _Type:
    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in {"<", "|"}:
            raise ValueError(f"numbers are stored with byte order {state[1]!r}")


class _Objects:
    values: Any = None

    def __init__(self, *_: Any) -> None:
        """Take what NumPy would make an empty array of: the state has all."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, _, by_columns, items = state
        made = np.array(items, object)
        self.values = made.reshape(shape, order="F" if by_columns else "C")


def _numbers(data: Any, kind: _Type, shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(data, f"<{kind.code}").reshape(shape, order=order)


def _index(kind: type, state: Mapping[str, Any]) -> Any:
    return _array(state.get("data"))


def _array(values: Any) -> Any:
    return values.values if isinstance(values, _Objects) else values


# All that a pickled frame of numbers and texts needs, with a stand-in for each but `slice`.
_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "slice"): slice,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Name,
    ("numpy.core.multiarray", "_reconstruct"): _Objects,
    ("numpy.core.numeric", "_frombuffer"): _numbers,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("pandas.core.frame", "DataFrame"): _Name,
    ("pandas.core.indexes.base", "Index"): _Name,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.range", "RangeIndex"): _Name,
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
            for name, column in zip(names[block.placement], _array(block.values), strict=True)
        }
    except Exception as error:  # a damaged pickle may end in anything
        raise ZooError(f"'{path}' is refused as a pickled table: {error}") from error
