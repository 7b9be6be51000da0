"""Finished bundles kept by what they were made of: an unchanged export is a copy.

The key is a hash of the model, or of the run's files, of every option, of the code that converts
and of the versions it works with. Entries are whole bundles; what is taken out is checked byte by
byte like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.bundle import Bundle, load_bundle
from zoo_export.errors import BundleError
from zoo_export.files import size_of
from zoo_export.source import VERSIONS
from zoo_registry import UsageError, folders
from zoo_registry.packages import cache_folder

_MOST_BYTES = 10_000_000_000
_PARTIAL = ".partial-"
_RUN_FILES = (
    folders.INFO,
    folders.MODEL,
    "examples.npz",
    "calibration.npz",
    folders.ASSETS,
)


def key_of(source: Any, options: Mapping[str, Any]) -> str:
    """Return the key of an export.

    Args:
        source: A complete run folder or a ``keras.Model``.
        options: All that was asked for: plain data, arrays and folders.
    """
    digest = hashlib.sha256()
    for part in (*_source(source), *_plain(options)):
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def take(key: str, target: Path) -> Bundle | None:
    """Copy the bundle of a key to a folder that is not there yet, if there is one."""
    entry = _folder() / key
    try:
        bundle = load_bundle(entry)
    except UsageError:
        return None
    except BundleError:
        shutil.rmtree(entry, ignore_errors=True)
        return None
    shutil.copytree(entry, target)
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(entry)
    return bundle


def keep(key: str, bundle: Path) -> None:
    """Keep a copy of a finished bundle; the oldest entries make room for it.

    A cache that cannot be written, or is full, costs time at the next export and nothing else.
    """
    if size_of(bundle) > _MOST_BYTES:
        return
    folder = _folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        # Under a name of its own, then renamed: two processes may do this at once.
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder) as partial:
            shutil.copytree(bundle, Path(partial) / "bundle")
            (Path(partial) / "bundle").rename(folder / key)
        _make_room(folder)


def _folder() -> Path:
    return cache_folder() / "bundles"


def _make_room(folder: Path) -> None:
    complete = [entry for entry in folder.iterdir() if not entry.name.startswith(_PARTIAL)]
    entries = sorted(complete, key=lambda entry: entry.stat().st_mtime, reverse=True)
    total = 0
    for entry in entries:
        total += size_of(entry)
        if total > _MOST_BYTES:
            shutil.rmtree(entry, ignore_errors=True)


def _code(config: str) -> Iterable[str]:
    """Yield the versions and the files of code that an export depends on.

    Args:
        config: The model as JSON, which names the modules of its layers.
    """
    yield from (f"{name} {version(name)}" for name in VERSIONS)
    own = {name.partition(".")[0] for name in re.findall(r'"module": "([\w.]+)"', config)}
    for package in sorted({"zoo_export", "zoo_registry", *own} - {"keras", "builtins"}):
        found = importlib.util.find_spec(package)
        folders = list(found.submodule_search_locations or ()) if found else []
        found_files = (path for folder in folders for path in sorted(Path(folder).rglob("*")))
        paths = [p for p in found_files if p.is_file() and "__pycache__" not in p.parts]
        if found and not folders and found.origin:
            paths = [Path(found.origin)]
        # An editable installation changes without its version.
        yield from (f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)


def _source(source: Any) -> Iterable[bytes | str]:
    if not isinstance(source, str | Path):
        config = source.to_json()
        yield config
        yield from _code(config)
        for weight in source.weights:
            yield from _plain(np.asarray(weight))
        return
    yield from _code(_config(Path(source) / folders.MODEL))
    for name in _RUN_FILES:
        yield from _files(Path(source) / name)


def _config(path: Path) -> str:
    # What cannot be read is refused, with its reason, by whoever loads the model.
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json").decode()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""


def _files(path: Path) -> Iterable[bytes | str]:
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in paths:
        if file.is_file():
            yield file.relative_to(path.parent).as_posix()
            with file.open("rb") as content:
                yield hashlib.file_digest(content, "sha256").digest()


def _plain(value: Any) -> Iterable[bytes | str]:
    if isinstance(value, Mapping):
        for name in sorted(value):
            yield name
            yield from _plain(value[name])
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}"
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Path):
        yield from _files(value)
    else:
        yield json.dumps(value, default=list)
