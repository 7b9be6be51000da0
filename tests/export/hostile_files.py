"""Bundles as somebody might send them who wants more than a model to be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_runtime.manifest import FileEntry, seal
from zoo_system.durable import sha256


def rehash(folder: Path, *names: str, **changes: Any) -> None:
    """Do as whoever changed files would do: give the manifest their hashes.

    Args:
        folder: The bundle.
        names: Files that were changed, added, or removed.
        changes: Of the manifest.
    """
    path = folder / "manifest.json"
    data = json.loads(path.read_text()) | changes
    for name in names:
        file = folder / name
        data["files"].pop(name, None)
        if file.exists():
            data["files"][name] = vars(FileEntry(file.stat().st_size, sha256(file)))
    path.write_text(json.dumps(seal(data)))


def change_tflite(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Write a LiteRT file anew after ``change`` did something to it, with the right hash."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    path = folder / name
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    rehash(folder, name)


def make_it_crash(folder: Path, name: str = "digits-net.tflite") -> None:
    """Let all signatures of a LiteRT file be of a graph that is not there: LiteRT does not look."""

    def change(model: Any) -> None:
        for signature in model.signatureDefs:
            signature.subgraphIndex = 7

    change_tflite(folder, name, change)
