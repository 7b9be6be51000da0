"""What a file that Keras wrote holds, by the names of layers and without building a model of it."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_registry import UsageError

_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"
_LAYERS, _VARIABLES = "layers/", "vars"
# What Keras 2 called the first in its later files, and has in its earlier ones.
_LAYERS_OF_KERAS_2, _OF_KERAS_2 = (
    "_layer_checkpoint_dependencies/",
    {"layer_names", "keras_version"},
)
# Beside the layers a `.keras` file holds what training needs.
_OF_TRAINING = re.compile(
    r"(_?optimizer|_?metrics|_\w+)(/|$)|.*seed_generator|layers/activation_range(_\d+)?$"
)
# A layer of quantization-aware training around the one whose weights it rounds.
_AROUND = re.compile(r"^(.+)_quantized/layer$")
_NUMBERED = re.compile(r"_\d+$")
_MOST_BYTES = 1 << 26
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, EOFError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Listing:
    """The arrays of a file, or the variables of a model as Keras would save them.

    Args:
        groups: By group of the file, then by what the layer calls them, a number as a rule.
        names: The layer's name by group, empty where it is not known.
        layers: Kind and settings of the outermost layers by name, where the file has them.
    """

    groups: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str]
    layers: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many levels of layers inside layers have names of their own."""
        return max((group.count("/") for group, name in self.names.items() if name), default=0)

    def by_name(self, depth: int) -> dict[str, Any]:
        """Return arrays or variables by the names of the layers that hold them, and their key.

        Where the name is not known it is that of the group, which counts layers of a kind.

        Args:
            depth: How many levels of names to take.
        """
        found: dict[str, Any] = {}
        for group, held in self.groups.items():
            path = self._path(group, depth)
            for key, value in held.items():
                # Two layers of one name are distinguished by their groups.
                name = f"{path}/{key}"
                found[f"{group}/{key}" if name in found else name] = value
        return found

    def _path(self, group: str, depth: int) -> str:
        parts = group.split("/")
        whole = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        named = [
            (self.names.get(path) if path.count("/") <= depth else None) or part
            for path, part in zip(whole, parts, strict=True)
        ]
        return _AROUND.sub(r"\1", "/".join(named).removeprefix(_LAYERS))


def listing_of(model: Any) -> Listing:
    """Return the variables of a model as Keras' own saving lists them.

    Args:
        model: A ``keras.Model`` that is built.
    """
    from keras.src.saving import saving_lib

    class Recorder(saving_lib.H5IOStore):  # type: ignore[misc]  # the type that Keras asks for
        """It takes what a file would."""

        def __init__(self) -> None:
            self.groups: dict[str, dict[str, Any]] = {}
            self.names: dict[str, str] = {}

        def __bool__(self) -> bool:
            return True

        def make(self, path: str, metadata: Any = None) -> dict[str, Any]:
            self.names[path] = (metadata or {}).get("name", "")
            return self.groups.setdefault(path, {})

    recorder = Recorder()
    saving_lib._save_state(model, recorder, None, "", set())
    return replace(_of_layers(recorder.groups, recorder.names), layers=_layers_of(model))


def _layers_of(model: Any) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return kind and settings of a model's layers as its file would have them."""
    import keras

    rows = [keras.saving.serialize_keras_object(layer) for layer in model.layers if layer.weights]
    return _settings_by_name({"config": {"layers": json.loads(json.dumps(rows, default=str))}})


@contextmanager
def opened(path: Path) -> Iterator[Listing]:
    """Open a ``.keras`` or ``.weights.h5`` file; arrays are read when they are asked for.

    Raises:
        UsageError: The file is damaged, or was not written by Keras 3.
    """
    import h5py

    try:
        with _streams(path) as (stream, config), h5py.File(stream, "r") as file:
            if _OF_KERAS_2 & set(file.attrs) or "model_weights" in file:
                raise UsageError(
                    f"weights='{path}' were written by Keras 2, whose file does not say where a "
                    "weight belongs in a model of Keras 3: load it with "
                    "keras.models.load_model(...) and keep it with model.save('NAME.keras')."
                )
            yield replace(_read(file, _layer_names(config)), layers=_settings_by_name(config))
    except UsageError:
        raise
    except _DAMAGE as error:
        raise UsageError(
            f"weights='{path}' are not a complete file of Keras: {type(error).__name__}: {error}."
        ) from error


@contextmanager
def _streams(path: Path) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Open the HDF5 part of a file, with the configuration of its model where the file has it."""
    if not zipfile.is_zipfile(path):
        yield path, {}
        return
    with zipfile.ZipFile(path) as archive:
        config = _config(archive, path)
        with archive.open(_WEIGHTS) as stream:
            yield stream, config


def _config(archive: zipfile.ZipFile, path: Path) -> Mapping[str, Any]:
    if archive.getinfo(_CONFIG).file_size > _MOST_BYTES:
        raise UsageError(f"weights='{path}': its {_CONFIG} is larger than {_MOST_BYTES:,} bytes.")
    try:
        config = json.loads(archive.read(_CONFIG))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"weights='{path}': its {_CONFIG} is damaged: {error}.") from error
    return config if isinstance(config, dict) else {}


def _rows(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return kind and settings of a functional or sequential model's layers, in their order."""
    inner = config.get("config")
    rows = inner.get("layers") if isinstance(inner, dict) else None
    for row in rows if isinstance(rows, list) else ():
        held = row.get("config") if isinstance(row, dict) else None
        if isinstance(held, dict):
            yield str(row.get("class_name")), held


def _settings_by_name(config: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    return {str(held["name"]): (kind, held) for kind, held in _rows(config) if held.get("name")}


def _layer_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of a functional or sequential model's layers by their group in the file."""
    used: dict[str, int] = {}
    names = {}
    for kind, held in _rows(config):
        group = _snake_case(kind)
        number = used[group] = used.get(group, -1) + 1
        names[_LAYERS + group + (f"_{number}" if number else "")] = str(held.get("name") or "")
    return names


def _snake_case(name: str) -> str:
    # As Keras names the groups of its files.
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _read(file: Any, layers: Mapping[str, str]) -> Listing:
    import h5py

    groups: dict[str, dict[str, Any]] = {}
    names = dict(layers)

    def visit(path: str, item: Any) -> None:
        layer, _, last = path.rpartition("/")
        if last != _VARIABLES or not isinstance(item, h5py.Group):
            return
        layer = layer.replace(_LAYERS_OF_KERAS_2, _LAYERS)
        groups[layer] = {key: _dataset(file, item, key) for key in item}
        if name := str(item.attrs.get("name", "")):
            names[layer] = name

    file.visititems(visit)
    return _of_layers(groups, names)


def _dataset(file: Any, group: Any, key: str) -> Any:
    import h5py

    is_here = isinstance(group.get(key, getlink=True), h5py.HardLink)
    value = group[key] if is_here else None
    # What is kept in another file would be read from wherever it says.
    if not isinstance(value, h5py.Dataset) or value.external or value.is_virtual:
        raise UsageError(f"'{file.filename}': {group.name}/{key} is not an array of this file.")
    if value.shape is None:
        raise UsageError(f"'{file.filename}': {group.name}/{key} is an array without values.")
    return value


def _of_layers(groups: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> Listing:
    kept = {g: held for g, held in groups.items() if held and not _OF_TRAINING.match(g)}
    return Listing(kept, _chosen(names))


def _chosen(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of listed layers; what Keras itself named is counted among its like.

    A layer that is an attribute of another is identified by that. Keras' own names go on counting
    from model to model, so ``dense_7`` says no more than that it is the next of its kind. It never
    gives the number 0: where a kind has that, its author has counted.
    """
    chosen: dict[str, str] = {}
    counted = {name.removesuffix("_0") for name in names.values() if name.endswith("_0")}
    counts: dict[str, int] = {}
    for group in sorted(names, key=_in_order):
        parent, _, last = group.rpartition("/")
        if not parent or parent in names or not names[group]:
            continue
        kind = _NUMBERED.sub("", last)
        if kind in counted or _NUMBERED.sub("", names[group]) != kind:
            chosen[group] = names[group]
            continue
        number = counts[parent + kind] = counts.get(parent + kind, -1) + 1
        chosen[group] = f"{kind}_{number}"
    return chosen


def _in_order(group: str) -> tuple[str, int]:
    number = _NUMBERED.search(group)
    return _NUMBERED.sub("", group), int(number[0][1:]) if number else 0


def holds_floats(value: Any) -> bool:
    """Return whether an array of a file is of weights as they are computed with."""
    return bool(value.dtype.kind == "f" or value.attrs.get("dtype") == "bfloat16")


def as_array(value: Any) -> Any:
    """Return an array of a file as NumPy has it, bfloat16 as float32."""
    import ml_dtypes
    import numpy as np

    if value.attrs.get("dtype") == "bfloat16":
        return np.array(value, dtype=ml_dtypes.bfloat16).astype("float32")
    return np.array(value)
