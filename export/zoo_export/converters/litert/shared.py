"""Equal lists of a LiteRT file, stored once.

The converter writes a zero point of eight bytes for each channel of every weight and bias, all of
them zero: up to a tenth of an int8 file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import flatbuffers

from zoo_runtime.tensors import Array

# Below that share of a file it is not worth writing anew.
_LEAST = 0.01
# As the schema has it for weights.
_ALIGNMENT = 16


def write(path: Path, content: bytes | bytearray) -> None:
    """Write a LiteRT file whose tensors share zero points that are equal.

    One whose weights lie behind its tables, at fixed places, is written as it is.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    is_whole = not any(model.Buffers(i).Offset() for i in range(model.BuffersLength()))
    if is_whole and _repeated(model) >= _LEAST * len(content):
        content = pack(schema.ModelT.InitFromObj(model), len(content))
    path.write_bytes(content)


def pack(model: Any, size: int) -> bytearray:
    """Return the bytes of a file: constants as aligned as the schema wants, equal lists once.

    Args:
        model: The file as objects.
        size: About how many bytes it takes.
    """
    builder = _Sharing(size + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content: bytearray = builder.Output()
    return content


def _repeated(model: Any) -> int:
    """Return how many bytes of zero points are there before."""
    total, different = 0, set()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            affine = tensor.Quantization()
            if affine is not None and affine.ZeroPointLength():
                zeros = affine.ZeroPointAsNumpy()
                total += zeros.nbytes
                different.add(zeros.tobytes())
    return total - sum(map(len, different))


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._made: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> Any:  # noqa: N802 (called by generated code)
        key = x.dtype.str, hashlib.sha256(x.tobytes()).digest()
        if key not in self._made:
            if x.dtype.itemsize == 1:
                self.Prep(_ALIGNMENT, x.size)
            self._made[key] = super().CreateNumpyVector(x)
        return self._made[key]
