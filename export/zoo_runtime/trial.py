"""An artifact tried in a process of its own: ``python -m zoo_runtime.trial FOLDER FORMAT ...``.

LiteRT checks how a file is laid out, not what its operators ask for: about one changed file in a
thousand ends the process that loads or runs it. Whoever changed the file can change its hash too.
So a bundle that was not made here is first run on its stored samples in a child process, with the
threads and the provider that are asked for, within bounds of time and memory.

That holds crashes, endless loops and files that fill the memory. It is no sandbox: the child may do
what the user may. That no file of a model asks for more than computing is what
:mod:`zoo_runtime.running.operators` sees to, before any process loads it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zoo_registry import UsageError, ZooError
from zoo_runtime import files, schema
from zoo_runtime.contents import Contents, read_contents
from zoo_runtime.errors import BundleError, VerificationError
from zoo_runtime.figures import Verification, why
from zoo_runtime.formats import find
from zoo_runtime.manifest import SAMPLES, TRAIN_FORMAT, Artifact, Manifest
from zoo_runtime.running import AS_USUAL, Options, check_installed
from zoo_runtime.running.training import open_trainer
from zoo_runtime.saved_samples import load_samples
from zoo_runtime.verification import run_samples
from zoo_system import processes
from zoo_system.folders import cache_folder
from zoo_system.processes import signal_name

TIME_LIMIT = 600.0
# TensorFlow and what it computes with, and weights that runtimes pack anew.
_MEMORY, _TIMES_BYTES = 8 << 30, 8
_KINDS = {kind.__name__: kind for kind in (BundleError, UsageError, VerificationError)}


def try_artifact(
    bundle: Contents,
    artifact: Artifact,
    options: Options = AS_USUAL,
    time_limit: float = TIME_LIMIT,
) -> Verification:
    """Run the stored samples through an artifact in a child process and compare with Keras.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is going to be opened here.
        time_limit: Seconds after which the child is ended.

    Returns:
        The figures, good or bad.

    Raises:
        BundleError: The file ended the process that ran it, or took too long.
        VerificationError: It gives other names, shapes or dtypes, or NaN.
        MissingRuntimeError: Its runtime is not installed.
        UsageError: No process can be started here, or it cannot be opened so.
    """
    check_installed(find(artifact.format))
    words = [str(bundle.path), artifact.format, _digest(bundle.manifest, artifact)]
    try:
        done = processes.run(__name__, *words, json.dumps(asdict(options)), time_limit=time_limit)
    except OSError as error:
        raise UsageError(
            f"Artifact '{artifact.path}' cannot be tried in another process ({error}): load the "
            "bundle with trusted=True if you made it yourself."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' took longer than "
            f"{time_limit:g} s to run the stored samples."
        ) from error
    said = _answer(done)
    if said is None:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' ended the process that tried "
            f"it ({_cause(done)}): it is damaged or hostile. Export it again."
        )
    if "error" in said:
        # The other process was given the folder of what may have been a zip.
        message = said["message"].replace(str(bundle.path), str(bundle))
        raise _KINDS.get(said["error"], BundleError)(message)
    return schema.read(Verification, said, "verification")


def _answer(done: subprocess.CompletedProcess[str]) -> Any:
    if done.returncode != 0 or not done.stdout.strip():
        return None
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except ValueError:
        return None


def was_tried(bundle: Contents, artifact: Artifact, options: Options = AS_USUAL) -> bool:
    """Return whether these very bytes have passed on this machine, opened in this way."""
    return _mark(bundle, artifact, options).is_file()


def remember(bundle: Contents, artifact: Artifact, options: Options = AS_USUAL) -> None:
    """Note that an artifact has passed, so that it is not tried again."""
    mark = _mark(bundle, artifact, options)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # a device without a home: it is tried again next time


def prove(bundle: Contents, artifact: Artifact, options: Options) -> None:
    """Verify one artifact, unless these bytes have passed on this machine before.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is going to be opened here.

    Raises:
        BundleError: It ends the process that runs it.
        VerificationError: It disagrees with Keras.
    """
    if was_tried(bundle, artifact, options):
        return
    figures = try_artifact(bundle, artifact, options)
    if not figures.ok:
        raise VerificationError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' does not give what Keras gave: "
            f"{why(figures)}.",
            [figures],
        )
    remember(bundle, artifact, options)


def main(folder: str, format_name: str, digest: str, options: str) -> None:
    """Print the figures of one artifact, or the error, as the last line."""
    chosen = Options(**json.loads(options))
    try:
        bundle = read_contents(Path(folder), trusted=True)
        artifact = bundle.artifact(format_name)
        if _digest(bundle.manifest, artifact) != digest:
            raise BundleError(f"The manifest of bundle '{bundle}' was changed since it was loaded.")
        size = files.size_of(files.safe_path(bundle.path, artifact.path))
        processes.limit_memory(_MEMORY + _TIMES_BYTES * size)
        with bundle.as_recorded(artifact.path):
            result = asdict(_exercise(bundle, artifact, chosen))
    except ZooError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(result))  # noqa: T201 - read by the parent


def _exercise(bundle: Contents, artifact: Artifact, options: Options) -> Verification:
    figures = run_samples(bundle, artifact, options)
    if artifact.format == TRAIN_FORMAT:
        sample = load_samples(bundle.path / SAMPLES, bundle.manifest.inputs)[0].inputs
        path = files.safe_path(bundle.path, artifact.path)
        open_trainer(path, threads=options.threads).rehearse(sample)
    return figures


def _mark(bundle: Contents, artifact: Artifact, options: Options) -> Path:
    row = find(artifact.format)
    # The manifest has the hash of every file.
    proof = hashlib.sha256(_digest(bundle.manifest, artifact).encode())
    words = (row.name, row.requires, _version(row.requires), json.dumps(asdict(options)))
    proof.update(" ".join(words).encode())
    return cache_folder() / "tried" / proof.hexdigest()


def _digest(manifest: Manifest, artifact: Artifact) -> str:
    """Return what tells an artifact, and all that its bundle says of it, from any other."""
    alone = replace(manifest, artifacts=(artifact,))
    return hashlib.sha256(alone.to_json().encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a plugin's format may need no package of its own
        return ""


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return signal_name(-done.returncode)
    last = done.stderr.strip().splitlines()[-1:] or [""]
    return f"exit code {done.returncode}: {last[0]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
