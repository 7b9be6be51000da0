"""Files of whole Keras models, of either version, as models."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_export.reading import keras2
from zoo_export.reading.model_code import objects_in
from zoo_models.memory import check_file_memory
from zoo_models.saved import load_saved
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError
from zoo_system.durable import sha256
from zoo_system.errors import plain

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_ZIP, _HDF5 = b"PK", b"\x89HDF\r\n\x1a\n"
_MOST_BYTES = 1 << 26
_DAMAGE = (OSError, KeyError, ValueError, RuntimeError, EOFError, RecursionError, zlib.error)


@dataclass(frozen=True)
class FromFile:
    """Where a model with its weights came from.

    Args:
        source: Name of the file.
        sha256: Of the file, by its name.
        assets: None: such a file holds neither labels nor a tokenizer.
    """

    source: str
    sha256: dict[str, str]
    assets: None = None


@dataclass(frozen=True)
class _Described:
    config: Any
    version: str


def read_model(path: Path, *, compiled: bool = False) -> Any:
    """Return the model of a ``.keras`` or ``.h5`` file.

    Code that lies in the file is not run. Of Keras 2 it is rebuilt with layers of Keras 3. The
    model has as ``zoo_weights`` where it came from.

    Args:
        path: What ``model.save`` wrote.
        compiled: Whether one of Keras 3 is compiled as it was.

    Raises:
        UsageError: A file of another kind, a damaged one, one whose model is larger than the free
            memory, or a model of Keras 2 that cannot be rebuilt.
        ExportError: Keras cannot load it.

    Example:
        >>> import keras, tempfile
        >>> x = keras.Input((4,), name="x")
        >>> file = Path(tempfile.mkdtemp(), "small.keras")
        >>> keras.Model(x, keras.layers.Dense(3)(x), name="small").save(file)
        >>> read_model(file).output_shape
        (None, 3)
    """
    described = _described(path)
    check_file_memory(path)
    is_old = described.version.startswith(("1.", "2."))
    model = _of_keras_2(path, described) if is_old else _of_keras_3(path, described, compiled)
    model.zoo_weights = FromFile(path.name, {path.name: sha256(path)})
    return model


def _described(path: Path) -> _Described:
    with _damage_named(path):
        if _begins_with(path, _ZIP):
            with zipfile.ZipFile(path) as archive:
                if _CONFIG in archive.namelist():
                    config, about = (_json(archive, name, path) for name in (_CONFIG, _METADATA))
                    return _Described(config, str(about.get("keras_version", "")))
        elif _begins_with(path, _HDF5):
            return _of_hdf5(path)
    raise UsageError(
        f"'{path}' is not a model: give a folder of `zoo train`, or a file of model.save, .keras "
        "or .h5."
    )


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _json(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise UsageError(f"'{path}': its {name} is larger than {_MOST_BYTES:,} bytes.")
    found = json.loads(archive.read(name))
    if not isinstance(found, dict):
        raise ValueError(f"{name} holds no object")
    return found


def _of_hdf5(path: Path) -> _Described:
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise UsageError(
                f"'{path}' holds weights alone, not what they are of: `zoo export NAME --weights "
                "FILE` exports a model by name with them; any other is built, given "
                "them with model.load_weights, and exported."
            )
        return _Described(json.loads(config), str(file.attrs.get("keras_version", "")))


def _of_keras_2(path: Path, found: _Described) -> Any:
    import h5py

    what = f"'{path}'"
    model = keras2.made_anew(found.config, what)
    with _damage_named(path):
        if _begins_with(path, _HDF5):
            with h5py.File(path, "r") as file:
                keras2.fill_from_layers(model, file["model_weights"], what)
            return model
        with zipfile.ZipFile(path) as archive:
            weights = io.BytesIO(archive.read(_WEIGHTS))
        with h5py.File(weights, "r") as file:
            keras2.fill_from_groups(model, file, what)
    return model


def _of_keras_3(path: Path, found: _Described, compiled: bool) -> Any:
    described = list(objects_in(found.config))
    try:
        return load_saved(path, compiled=compiled)
    except Exception as error:  # Keras raises many kinds, and so do the layers of others
        raise ExportError(f"'{path}' cannot be loaded: {_why(described, error)}") from error


def _why(described: Iterable[Mapping[str, Any]], error: Exception) -> str:
    """Return why Keras does not load a model, by what is in it that it does not know."""
    import keras

    for row in described:
        if row["class_name"] == "__lambda__":
            return (
                "it holds code of a lambda, which is not run from a file. If it is yours, load it "
                "with keras.saving.load_model(..., safe_mode=False) and export the model"
            )
        name = row.get("registered_name")
        is_own = str(row.get("module")).partition(".")[0] not in {"keras", "builtins"}
        if name and is_own and keras.saving.get_registered_object(name) is None:
            return (
                f"nothing here registers its class '{name}'. Import the module that does, load it "
                "with keras.saving.load_model(...) and export the model"
            )
    return f"{type(error).__name__}: {' '.join(plain(str(error)).split())}"


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except (*_DAMAGE, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"There is no model file '{path}'.") from error
        raise UsageError(
            f"'{path}' is not a complete Keras file: {type(error).__name__}: {plain(str(error))}."
        ) from error
