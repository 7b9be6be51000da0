"""The cache of finished bundles, by what they were made of: an unchanged export is a copy.

The key is a hash of the model, or of the run's files, of every option, of the code that converts
and that the model is made of, and of the versions it works with. Entries are whole bundles; what
is taken out is checked byte by byte like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.reading import pickled
from zoo_export.reading.model_code import (
    CONVERTING,
    files_of,
    has_own_code,
    is_known,
    module_of,
    objects_in,
)
from zoo_export.reading.request import from_model
from zoo_export.reading.source import VERSIONS
from zoo_models.saved import builder_module
from zoo_registry import UsageError
from zoo_runtime import files
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.errors import BundleError, ExportError
from zoo_runtime.run_info import read_run_info
from zoo_system import durable, folders
from zoo_system.folders import cache_folder

_MOST_BYTES = 10_000_000_000
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
        bundle.check_hashes()
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
    if files.size_of(bundle) > _MOST_BYTES:
        return
    folder = _folder()
    with contextlib.suppress(OSError, ExportError):
        # Under a name of its own, then renamed: two processes may do this at once.
        with files.work_folder(folder / key) as work:
            shutil.copytree(bundle, work / "bundle")
            durable.rename(work / "bundle", folder / key)
        _make_room(folder)


def _folder() -> Path:
    return cache_folder() / "bundles"


def _make_room(folder: Path) -> None:
    files.remove_leftovers(folder)
    complete = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    entries = sorted(complete, key=lambda entry: entry.stat().st_mtime, reverse=True)
    total = 0
    for entry in entries:
        total += files.size_of(entry)
        if total > _MOST_BYTES:
            shutil.rmtree(entry, ignore_errors=True)


def _code(config: Any, *others: str | None) -> Iterable[str]:
    """Yield the versions and the files of code that an export depends on.

    Args:
        config: What the model's JSON holds, which names its layers and functions.
        others: Further modules that it needs, such as that which builds it.
    """
    yield from (f"{name} {version(name)}" for name in VERSIONS)
    modules = {*CONVERTING, *filter(None, others)}
    for described in objects_in(config):
        # What is not found is refused, with its reason, by whoever loads the model.
        with contextlib.suppress(LookupError):
            modules.update(filter(None, [module_of(described)]))
    # An editable installation changes without its version.
    stats = ((path, path.stat()) for path in files_of(modules))
    yield from (f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)


def _source(source: Any) -> Iterable[bytes | str]:
    if not isinstance(source, str | Path):
        yield from _whole(source) if has_own_code(source) else _saved(source)
        return
    folder = Path(source)
    builder = builder_module(read_run_info(folder).model.name)
    yield from _code(_config(folder / folders.MODEL), builder)
    for name in _RUN_FILES:
        yield from _files(folder / name)


def _saved(model: Any) -> Iterable[bytes | str]:
    config = model.to_json()
    yield config
    yield from _code(json.loads(config))
    for weight in model.weights:
        yield from _plain(np.asarray(weight))
    from zoo_export.reading.tokenizers import tokenizer_content  # Keras, where it is needed

    yield from tokenizer_content(model)
    known = from_model(model)
    yield f"{known.labels} {known.preprocessing} {known.provenance}"
    for file in sorted(known.assets.iterdir()) if known.assets is not None else ():
        yield from _files(file)


def _whole(model: Any) -> Iterable[bytes | str]:
    # Keras may not know all that its layers hold.
    stream = io.BytesIO()
    pickled.write(model, stream)
    yield stream.getvalue()
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    yield from _code(None, *(module for module in modules if not is_known(module)))


def _config(path: Path) -> Any:
    # What cannot be read is refused, with its reason, by whoever loads the model.
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


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
