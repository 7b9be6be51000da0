"""From what the user says to an open checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from zoo_models.weights.converter import dialects
from zoo_models.weights.foreign import ForeignCheckpoint
from zoo_models.weights.hubs import SCHEMES, download
from zoo_models.weights.native import NativeFile, RunFolder
from zoo_models.weights.snapshot import Snapshot
from zoo_models.weights.tensors import PICKLES
from zoo_models.weights.tokenizer import read_tokenizer
from zoo_registry import ModelSpec, UsageError, load_target, models
from zoo_system.folders import INFO, MODEL

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
    return ForeignCheckpoint(spec, source, Snapshot(path), dialects(load_target(spec.converter)))


def load_tokenizer(source: str | Path) -> Any:
    r"""Return the tokenizer that belongs to pretrained weights.

    Args:
        source: A registered model with pretrained weights, a folder with ``tokenizer.json``,
            ``vocab.txt`` or ``vocab.json`` and ``merges.txt``, or a hub's address as for
            :func:`zoo.get_model`.

    Returns:
        A ``tokenizers.Tokenizer`` that neither cuts nor pads. Its numbers are those of Hugging
        Face transformers.

    Raises:
        UsageError: There is no tokenizer, or it is damaged.
        ZooError: A hub cannot be reached.

    Example:
        >>> import os, tempfile, zoo
        >>> folder, words = tempfile.mkdtemp(), "[PAD] [UNK] [CLS] [SEP] [MASK] cafe ##s"
        >>> with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        ...     _ = file.write(words.replace(" ", "\n"))
        >>> zoo.load_tokenizer(folder).encode("Cafés").tokens
        ['[CLS]', 'cafe', '##s', '[SEP]']
    """
    if str(source) in models:
        return read_tokenizer(open_weights(models.get(str(source)), "pretrained").folder)
    return read_tokenizer(place_of(str(source)))


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
