"""How each kind of changed file is loaded, and whether its answers are still those of before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export import VerificationError, load_bundle
from zoo_runtime.files import list_files
from zoo_runtime.manifest import FileEntry, seal
from zoo_runtime.running.operators import check_saved_model
from zoo_runtime.saved_samples import load_samples
from zoo_runtime.verification import why
from zoo_runtime.verifying import ensure_verified, run_samples
from zoo_system.durable import sha256

# A worker loads files unverified, as the child process that verifies them does; a user does not.
TRUSTED = True
_TOLERANCE = 1e-3


def nothing(folder: Path) -> None:
    """Prepare nothing."""


def with_old_hash(folder: Path, path: Path, wanted: Any) -> bool:
    """Any file of a bundle: a change that is loaded may only be one of white space."""
    return bool(_checked(folder).manifest == wanted and path.name == "manifest.json")


def manifest_of(folder: Path) -> Any:
    """Return the manifest before any change."""
    return load_bundle(folder, trusted=True).manifest


def manifest(folder: Path, path: Path, _: Any) -> bool:
    """A manifest that was changed, and in half of all cases given the right hash again."""
    data = (folder / path).read_bytes()
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if isinstance(document, dict) and sum(data) % 2:
        (folder / path).write_text(json.dumps(seal(document)))
    _run(folder, "onnx")
    return True


def zipped(folder: Path, path: Path, wanted: Any) -> bool:
    """A zipped bundle: whatever can be loaded has every byte that it had."""
    return _unpacked(folder / path) == wanted


def files_of(folder: Path) -> Any:
    """Return the hashes of all files in the zip before any change."""
    return _unpacked(folder / "bundle.zip")


def text(folder: Path, path: Path, _: Any) -> bool:
    """A tokenizer: the saved preprocessing checks must still give the same tokens."""
    _with_new_hash(folder, path)
    _run(folder, "onnx")
    load_bundle(folder, trusted=TRUSTED).predict("another text")
    return True


def tflite(folder: Path, path: Path, wanted: Any) -> bool:
    """A LiteRT file whose new hash is in the manifest."""
    return _same(folder, path, "tflite", wanted)


def onnx(folder: Path, path: Path, wanted: Any) -> bool:
    """An ONNX file, or samples, whose new hash is in the manifest."""
    return _same(folder, path, "onnx", wanted)


def saved_model(folder: Path, path: Path, _: Any) -> bool:
    """The graph of a SavedModel, read for its operators as before every load."""
    check_saved_model(folder / path.parent)
    # As TensorFlow lays out the kind of a node: its second field, of eight bytes.
    return b"\x12\x08ReadFile" not in (folder / path).read_bytes()


def answers_tflite(folder: Path) -> Any:
    """Return the answers to inputs that the bundle does not hold."""
    return _answers(folder, "tflite")


def answers_onnx(folder: Path) -> Any:
    """Return the answers to inputs that the bundle does not hold."""
    return _answers(folder, "onnx")


def keras(folder: Path, path: Path, wanted: Any) -> bool:
    """A ``.keras`` file whose new hash is in ``run.json``, loaded as an export loads it."""
    from zoo_export.reading.request import from_run

    info = json.loads((folder / "run.json").read_text())
    info["model"]["sha256"] = sha256(folder / path)
    (folder / "run.json").write_text(json.dumps(info))
    request = from_run(folder)
    with np.load(folder / "examples.npz") as stored:
        got = np.asarray(request.model(stored["x/image"][:2]))
    return bool(np.allclose(got, wanted, atol=_TOLERANCE))


def answers_keras(folder: Path) -> Any:
    """Return what the model says of the run's first examples."""
    from zoo_export.reading.request import from_run

    with np.load(folder / "examples.npz") as stored:
        return np.asarray(from_run(folder).model(stored["x/image"][:2]))


def run_info(folder: Path, path: Path, _: Any) -> bool:
    """A run's own description, read for an export and as a run."""
    from zoo_export.reading.request import name_of
    from zoo_recipes.run import load_run

    name_of(folder)
    load_run(folder)
    return True


def _unpacked(path: Path) -> Any:
    bundle = _checked(path)
    return list_files(bundle.path)


def _checked(path: Path) -> Any:
    bundle = load_bundle(path, trusted=True)
    bundle.check_hashes()
    return bundle


def _with_new_hash(folder: Path, path: Path) -> None:
    place = folder / "manifest.json"
    data = json.loads(place.read_text())
    changed = folder / path
    data["files"][path.as_posix()] = vars(FileEntry(changed.stat().st_size, sha256(changed)))
    place.write_text(json.dumps(seal(data)))


def _run(folder: Path, runtime: str) -> Any:
    bundle = load_bundle(folder, trusted=TRUSTED)
    artifact = bundle.artifact(runtime)
    if not TRUSTED:
        ensure_verified(bundle, artifact)
        return bundle
    figures = run_samples(bundle, artifact)
    if not figures.ok:
        raise VerificationError(why(figures))
    return bundle


def _same(folder: Path, path: Path, runtime: str, wanted: Any) -> bool:
    _with_new_hash(folder, path)
    bundle = _run(folder, runtime)
    got = bundle.run(_unseen(folder), runtime) if wanted is not None else {}
    return all(np.allclose(got[k], v, atol=_TOLERANCE, equal_nan=True) for k, v in wanted.items())


def _answers(folder: Path, runtime: str) -> Any:
    return load_bundle(folder, trusted=True).run(_unseen(folder), runtime)


def _unseen(folder: Path) -> dict[str, Any]:
    """Return the rows of the second sample in another order of their values."""
    sample = load_samples(
        folder / "assets" / "samples.npz", load_bundle(folder, trusted=True).manifest.inputs
    )[:2][-1].inputs
    return {name: array[:, ::-1] if "mask" not in name else array for name, array in sample.items()}
