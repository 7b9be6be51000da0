"""A GGUF file, in which llama.cpp keeps a model: its metadata, and its tensors as floats.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The header is read here, with
every count and offset held against the size of the file before anything is allocated; the reader of
the ``gguf`` package takes 9 s and 700 MB for a vocabulary of 128,000 tokens and trusts what it
reads. What the bits of a type mean, the package says.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_models.weights.loading import listed
from zoo_registry import UsageError

MAGIC = b"GGUF"
# Of version 1, which counted in 32 bits, there are no more files.
_VERSIONS = (2, 3)
_MOST_AXES = 4
_ALIGNMENT = 32
# By the number of a type of metadata, as NumPy calls it.
_NUMBERS = {
    **dict(enumerate(("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?"))),
    **dict(enumerate(("<u8", "<i8", "<f8"), 10)),
}
_TEXT, _ARRAY = 8, 9
# The least bytes of a key with its value, of a tensor's entry, and of a text.
_LEAST_PAIR, _LEAST_TENSOR, _LEAST_TEXT = 13, 24, 8
# A vocabulary of a million tokens has less; keys and texts beyond are no model's.
_MOST_HEADER = 1 << 28


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor is, and as what.

    Args:
        shape: As PyTorch has it, the longest step first.
        kind: Its ``gguf.GGMLQuantizationType``.
        start: Its first byte in the file.
        row_bytes: Of its last axis.
    """

    shape: tuple[int, ...]
    kind: Any
    start: int
    row_bytes: int

    @property
    def num_bytes(self) -> int:
        """How many bytes it has."""
        rows = 1
        for size in self.shape[:-1]:
            rows *= size
        return rows * self.row_bytes


@dataclass(frozen=True)
class GgufFile:
    """What a file holds; of its tensors, where they are.

    Args:
        path: The file.
        metadata: By key: numbers, texts, lists of texts, arrays of numbers.
        tensors: By name.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    def check_types(self) -> None:
        """Refuse a file with a tensor of a type that the ``gguf`` package cannot read.

        Raises:
            UsageError: There are such types; their names and tensors.
        """
        kinds = {tensor.kind for tensor in self.tensors.values()}
        for kind in sorted(kind for kind in kinds if not _is_readable(kind)):
            names = [name for name, tensor in self.tensors.items() if tensor.kind == kind]
            raise UsageError(
                f"'{self.path}' has tensors of type {kind.name}, which the package 'gguf' cannot "
                f"read: {listed(names)}. llama.cpp's `llama-quantize --allow-requantize` writes it "
                "anew as F16, Q8_0 or Q4_K_M."
            )

    def read(self, name: str) -> Any:
        """Return a tensor as float32; a type of fewer bits is read exactly.

        Raises:
            UsageError: The file ends before it, as it has changed since.
        """
        import numpy as np
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        raw = np.fromfile(self.path, "uint8", tensor.num_bytes, offset=tensor.start)
        if len(raw) != tensor.num_bytes:
            raise UsageError(f"'{self.path}' has changed while it was read: {name} is not whole.")
        rows = raw.reshape(-1, tensor.row_bytes)
        return np.asarray(dequantize(rows, tensor.kind)).reshape(tensor.shape)


def is_gguf(path: Path) -> bool:
    """Return whether a file is GGUF by its name or by its first bytes."""
    if not path.is_file():
        return False
    if path.suffix == ".gguf":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:  # whoever reads it says so
        return False


def read_gguf(path: Path) -> GgufFile:
    """Return what a file holds; only its header is read.

    Args:
        path: The file.

    Raises:
        UsageError: It is not such a file, it is cut short or damaged, it is in a form that is not
            read, or the package is not installed.
    """
    try:
        import gguf  # noqa: F401  # says what the types of tensors are
    except ImportError as error:
        raise UsageError(
            f"'{path}' is read by the package 'gguf', which is not installed: "
            "pip install 'kerazoo[gguf]'"
        ) from error
    try:
        with path.open("rb") as file:
            _check_beginning(path, file.read(8))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Header(path, content).read()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error


def _check_beginning(path: Path, content: bytes) -> None:
    if content[:4] != MAGIC or len(content) < 8:
        raise UsageError(f"'{path}' is not a GGUF file: it begins with {content[:4]!r}.")
    (version,) = struct.unpack("<I", content[4:])
    if version in _VERSIONS:
        return
    if version & 0xFFFF == 0:
        raise UsageError(
            f"'{path}' is a GGUF file of a big-endian machine; only little-endian is read."
        )
    raise UsageError(
        f"'{path}' is GGUF of version {version}; versions {' and '.join(map(str, _VERSIONS))} are "
        "read. A current llama.cpp writes version 3."
    )


class _Header:
    """The header of a file, from its beginning to its tensors."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path, self._content = path, content
        self._at, self._end = 8, min(len(content), _MOST_HEADER)

    def read(self) -> GgufFile:
        tensor_count, pair_count = self._count(_LEAST_TENSOR), self._count(_LEAST_PAIR)
        metadata: dict[str, Any] = {}
        for _ in range(pair_count):
            self._add(metadata, self._text(), self._value)
        found: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(tensor_count):
            self._add(found, self._text(), self._entry)
        start = self._first_byte(metadata.get("general.alignment", _ALIGNMENT))
        tensors = {name: self._placed(name, start, *entry) for name, entry in found.items()}
        return GgufFile(self._path, metadata, tensors)

    def _add(self, table: dict[str, Any], name: str, read: Any) -> None:
        if name in table:
            raise self._damaged(f"it has {name!r} twice")
        table[name] = read()

    def _damaged(self, what: str) -> UsageError:
        return UsageError(f"'{self._path}' is cut short or damaged: {what}. Download it again.")

    def _take(self, size: int) -> int:
        """Return where the next bytes begin, and go behind them."""
        if size > self._end - self._at:
            raise self._damaged(
                f"byte {self._at:,} announces {size:,} bytes, of {self._end - self._at:,} there are"
            )
        self._at += size
        return self._at - size

    def _number(self, form: str) -> Any:
        return struct.unpack_from(form, self._content, self._take(struct.calcsize(form)))[0]

    def _count(self, least: int) -> int:
        """Return a number of things that have so many bytes at least."""
        count = int(self._number("<Q"))
        if count * least > self._end - self._at:
            raise self._damaged(
                f"byte {self._at - 8:,} announces {count:,} entries in the "
                f"{self._end - self._at:,} bytes that are left"
            )
        return count

    def _text(self) -> str:
        size = self._number("<Q")
        start = self._take(size)
        try:
            return self._content[start : start + size].decode()
        except UnicodeDecodeError as error:
            raise self._damaged(f"the text at byte {start:,} is not UTF-8") from error

    def _value(self) -> Any:
        kind = self._number("<I")
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            number = self._numbers(kind, 1)[0]
            # As it was before it was a float32: 1e-5, not 9.999999747378752e-06.
            return float(str(number)) if number.dtype == "float32" else number.item()
        kind = self._number("<I")
        if kind == _TEXT:
            return [self._text() for _ in range(self._count(_LEAST_TEXT))]
        return self._numbers(kind, self._count(1))

    def _numbers(self, kind: int, count: int) -> Any:
        import numpy as np

        if kind not in _NUMBERS:
            raise self._damaged(f"byte {self._at - 4:,} names type {kind}, which is no number's")
        dtype = np.dtype(_NUMBERS[kind])
        size = count * dtype.itemsize
        start = self._take(size)
        return np.frombuffer(self._content[start : start + size], dtype)

    def _entry(self) -> tuple[tuple[int, ...], int, int]:
        """Return shape, type and offset of a tensor."""
        axes = self._number("<I")
        if not 1 <= axes <= _MOST_AXES:
            raise self._damaged(f"byte {self._at - 4:,} announces a tensor of {axes:,} axes")
        shape = tuple(self._number("<Q") for _ in range(axes))[::-1]
        return shape, self._number("<I"), self._number("<Q")

    def _first_byte(self, alignment: Any) -> int:
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self._damaged(f"general.alignment={alignment!r} is not a power of two")
        return -(-self._at // alignment) * alignment

    def _placed(
        self, name: str, start: int, shape: tuple[int, ...], number: int, offset: int
    ) -> GgufTensor:
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            kind = GGMLQuantizationType(number)
        except ValueError as error:
            raise UsageError(
                f"'{self._path}': tensor {name} is of type {number}, which the package 'gguf' does "
                "not know: pip install -U gguf, or have llama.cpp's `llama-quantize` write it anew."
            ) from error
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if shape[-1] % block or 0 in shape:
            raise self._damaged(f"tensor {name} of type {kind.name} has the shape {shape}")
        tensor = GgufTensor(shape, kind, start + offset, shape[-1] // block * block_bytes)
        if tensor.start + tensor.num_bytes > len(self._content):
            raise self._damaged(
                f"tensor {name} ends at byte {tensor.start + tensor.num_bytes:,} of "
                f"{len(self._content):,}"
            )
        return tensor


def _is_readable(kind: Any) -> bool:
    import numpy as np
    from gguf.constants import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), "uint8"), kind)
    except NotImplementedError:
        return False
    return True
