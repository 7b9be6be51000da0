"""Preprocessing checks: raw inputs and what was made of them, to verify it on another machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.errors import VerificationError
from zoo_runtime.manifest import Manifest
from zoo_runtime.optional import is_installed
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.saved_samples import fits_tensor, load_arrays
from zoo_runtime.tensors import Array
from zoo_runtime.tokenizing import asking

_FILE = "probes.npz"
_TEXTS = ("Zürich isn't far: 3.14 km!", "the quick brown fox jumps over the lazy dog", "HELLO")
# By step: grey levels that another version of Pillow, samples that another of soxr may round
# differently.
_ALLOWED = {"image": 2.0, "audio": 1e-3}
_RAW = "raw"
# What a step imports.
NEEDS = {"image": "PIL", "tokenize": "tokenizers", "audio": "soxr"}
# Of the saved audio clip, in Hz: no model's own, so that it is resampled.
_RATE = 11_000
# Of one saved array: a few rows of what one model takes.
_MOST_BYTES = 1 << 28


def save_preprocessing_checks(assets: Path, steps: Sequence[Mapping[str, Any]]) -> None:
    """Write fixed raw inputs and what the steps make of them.

    There are none for bare arrays, nor where a library that the steps need is not installed.
    """
    raws = _raws(steps, assets) if _can_prepare(steps) else []
    if raws:
        made = Preprocessor(steps, assets).batch([_plain(raw) for raw in raws])
        saved: dict[str, Any] = {_RAW: np.stack(raws), **_named(made)}
        np.savez_compressed(assets / _FILE, **saved)


def check_preprocessing(manifest: Manifest, assets: Path) -> None:
    """Preprocess the saved raw inputs again and compare.

    Raises:
        VerificationError: Pixels or token ids differ from those of the export.
        BundleError: The saved inputs cannot be read.
        UsageError: Steps or a tokenizer that cannot be used.
    """
    if not _can_prepare(manifest.preprocessing):
        return  # a device that is only given arrays
    if not (assets / _FILE).is_file():
        # Nothing to compare with: whether it runs at all is still checked.
        raws = [_plain(raw) for raw in _raws(manifest.preprocessing, assets)]
        if raws:
            Preprocessor(manifest.preprocessing, assets).batch(raws)
        return
    taken = {tensor.name: tensor for tensor in manifest.inputs}

    def fits(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        tensor = taken.get(key.partition("/")[2])
        bytes_ = math.prod(shape) * dtype.itemsize
        return bytes_ <= _MOST_BYTES and (tensor is None or fits_tensor(tensor, shape, dtype))

    saved = load_arrays(assets / _FILE, fits)
    raws = [_plain(raw) for raw in saved.pop(_RAW, np.zeros(0))]
    made = _named(Preprocessor(manifest.preprocessing, assets).batch(raws))
    if sorted(made) != sorted(saved):
        raise VerificationError(f"Preprocessing makes {sorted(made)}; saved are {sorted(saved)}.")
    kinds = _kinds(manifest.preprocessing)
    allowed = max((_ALLOWED[kind] for kind in kinds if kind in _ALLOWED), default=0.0)
    for name, array in made.items():
        _compare(name.partition("/")[2], saved[name], array, allowed)


def _kinds(steps: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(step.get("step")) for step in steps}


def _can_prepare(steps: Sequence[Mapping[str, Any]]) -> bool:
    return all(is_installed(NEEDS[kind]) for kind in _kinds(steps) if kind in NEEDS)


def _plain(raw: Any) -> Any:
    if raw.ndim == 0:
        return str(raw)
    return (raw, _RATE) if raw.dtype == np.int16 else raw


def _raws(steps: Sequence[Mapping[str, Any]], assets: Path) -> list[Any]:
    kinds = _kinds(steps)
    if "audio" in kinds:
        seconds = np.arange(_RATE // 4) / _RATE
        tones = [np.sin(2 * np.pi * 4000 * seconds**2), np.cos(2 * np.pi * 500 * seconds)]
        return [(np.stack(tones, axis=-1) * 20_000).astype(np.int16)]
    if "image" in kinds:
        rows, columns = np.mgrid[0:61, 0:83]
        bands = [rows * 4, columns * 3, (rows * columns) % 256]
        return [np.stack(bands, axis=-1).clip(0, 255).astype(np.uint8)]
    if "tokenize" not in kinds:
        return []
    preprocessor = Preprocessor(steps, assets)
    names = [step.tokenizer for step in preprocessor.steps if hasattr(step, "tokenizer")]
    tokenizer = preprocessor.tokenizer(names[0])
    every = np.linspace(0, tokenizer.get_vocab_size() - 1, 64).astype(int).tolist()
    with asking("The tokenizer cannot write its own tokens"):
        texts = [*_TEXTS, tokenizer.decode(every)]
    return [np.asarray(text) for text in texts if _can_read(preprocessor, text)]


def _can_read(preprocessor: Preprocessor, text: str) -> bool:
    try:
        preprocessor.batch([text])
    except UsageError:  # a small vocabulary knows none of its characters
        return False
    return True


def _named(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"x/{name}": array for name, array in arrays.items()}


def _compare(name: str, saved: Array, made: Array, allowed: float) -> None:
    same = made.shape == saved.shape and made.dtype == saved.dtype
    allowed = allowed if made.dtype.kind == "f" else 0
    if not same or np.abs(made.astype(np.float64) - saved).max() > allowed:
        raise VerificationError(
            f"Preprocessing gives another '{name}' here than where the bundle was made: install "
            "the versions of Pillow and tokenizers that are in its manifest, or export it again."
        )
