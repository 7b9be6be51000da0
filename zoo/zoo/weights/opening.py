"""From what the user says to an open checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path

from zoo.weights.converter import chosen
from zoo.weights.foreign import ForeignCheckpoint
from zoo.weights.hubs import SCHEMES, download
from zoo.weights.native import NativeFile, RunFolder
from zoo.weights.snapshot import Snapshot
from zoo.weights.tensors import PICKLES, tensor_files
from zoo_registry import ModelSpec, UsageError, load_target
from zoo_registry.folders import INFO, MODEL

NATIVE = (".keras", ".weights.h5")
# What every KerasHub preset has, and no snapshot of another kind.
KERAS_HUB = ("metadata.json", "model.weights.h5")


def open_weights(spec: ModelSpec, weights: str | Path) -> NativeFile | ForeignCheckpoint:
    """Return the checkpoint that ``weights`` stands for; nothing is loaded yet.

    Args:
        spec: The model that is to take them.
        weights: As for :func:`zoo.get_model`.

    Raises:
        UsageError: There is no such thing, or it is not for this model.
        ZooError: A hub cannot be reached.
    """
    source = str(weights)
    if source == "pretrained":
        if spec.weights is None:
            raise UsageError(
                f"Model '{spec.name}' has no pretrained weights: give a file or a folder."
            )
        source = spec.weights
    path = place_of(source)
    if path.name.endswith(NATIVE):
        return NativeFile(spec, path)
    if (path / INFO).is_file():
        if not (path / MODEL).is_file():
            raise UsageError(
                f"weights='{source}' is a run that is not complete: `zoo train --resume "
                f"{shlex.quote(str(source))}` goes on with it."
            )
        return RunFolder(spec, path / MODEL)
    if path.is_file() and path.suffix != ".safetensors":
        pickle = " It is a pickle, which can run any code." if path.suffix in PICKLES else ""
        raise UsageError(
            f"weights='{source}' of model '{spec.name}': only a '.keras', '.weights.h5' or "
            f"'.safetensors' file, or a Hugging Face snapshot, can be loaded.{pickle}"
        )
    if all((path / name).is_file() for name in KERAS_HUB):
        raise UsageError(
            f"weights='{source}' of model '{spec.name}' are a KerasHub preset: its own class loads "
            "them, `zoo models 'kerashub/*'`."
        )
    if spec.converter is None:
        raise UsageError(
            f"weights='{source}': nothing says what the tensors of family '{spec.family}' are "
            "called elsewhere; a '.keras' or '.weights.h5' file can be loaded."
        )
    snapshot = Snapshot(path)
    names = () if snapshot.config else tensor_files(snapshot.files)
    converter = chosen(load_target(spec.converter), snapshot.config, names)
    return ForeignCheckpoint(spec, source, snapshot, converter)


def place_of(source: str) -> Path:
    """Return the local file or folder of a path or a hub's address.

    Raises:
        UsageError: There is no such thing.
        ZooError: A hub cannot be reached.
    """
    path = download(source) if source.startswith(SCHEMES) else Path(source)
    if not path.exists():
        raise UsageError(f"weights='{source}': there is no such file.")
    return path
