"""An artifact tried in a process of its own: ``python -m zoo_export.trial FOLDER FORMAT``.

LiteRT checks how a file is laid out, not what its operators ask for: about one changed file in a
thousand ends the process that loads or runs it. Whoever changed the file can change its hash too.
So a bundle that was not made here is first run on its stored samples in a child process.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_export import schema
from zoo_export.errors import BundleError, VerificationError
from zoo_export.formats import find
from zoo_export.manifest import MANIFEST, Artifact, Verification
from zoo_export.runtime import check_installed
from zoo_registry import UsageError, ZooError
from zoo_registry.packages import cache_folder
from zoo_registry.signals import signal_name

if TYPE_CHECKING:
    from zoo_export.bundle import Bundle

TIME_LIMIT = 600.0
_KINDS = {kind.__name__: kind for kind in (BundleError, UsageError, VerificationError)}


def try_artifact(
    bundle: Bundle,
    artifact: Artifact,
    provider: str | None = None,
    time_limit: float = TIME_LIMIT,
) -> Verification:
    """Run the stored samples through an artifact in a child process and compare with Keras.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        provider: What computes, as for :meth:`zoo_export.Bundle.runner`.
        time_limit: Seconds after which the child is ended.

    Returns:
        The figures, good or bad.

    Raises:
        BundleError: The file ended the process that ran it, or took too long.
        VerificationError: It gives other names, shapes or dtypes, or NaN.
        MissingRuntimeError: Its runtime is not installed.
        UsageError: No process can be started here.
    """
    check_installed(find(artifact.format))
    words = [str(bundle.path), artifact.format, *([] if provider is None else [provider])]
    try:
        done = subprocess.run(
            # -P: a script of the user's that is called as a library must not be imported.
            [sys.executable, "-P", "-m", __name__, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit,
            check=False,
        )
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
    if done.returncode != 0:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' ended the process that tried "
            f"it ({_cause(done)}): it is damaged or hostile. Export it again."
        )
    said = json.loads(done.stdout.splitlines()[-1])
    if "error" in said:
        # The other process was given the folder of what may have been a zip.
        message = said["message"].replace(str(bundle.path), str(bundle))
        raise _KINDS.get(said["error"], BundleError)(message)
    return schema.read(Verification, said, "verification")


def was_tried(bundle: Bundle, artifact: Artifact) -> bool:
    """Return whether these very bytes have passed on this machine, with this runtime."""
    return _mark(bundle, artifact).is_file()


def remember(bundle: Bundle, artifact: Artifact) -> None:
    """Note that an artifact has passed, so that it is not tried again."""
    mark = _mark(bundle, artifact)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # a device without a home: it is tried again next time


def main(folder: str, format_name: str, provider: str | None = None) -> None:
    """Print the figures of one artifact, or the error, as the last line."""
    from zoo_export.bundle import load_bundle
    from zoo_export.verification import run_samples

    try:
        bundle = load_bundle(folder, trusted=True)
        result = asdict(run_samples(bundle, bundle.artifact(format_name), provider=provider))
    except ZooError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(result))  # noqa: T201 - read by the parent


def _mark(bundle: Bundle, artifact: Artifact) -> Path:
    row = find(artifact.format)
    # The manifest has the hash of every file.
    proof = hashlib.sha256((bundle.path / MANIFEST).read_bytes())
    proof.update(f"{row.name} {row.requires} {_version(row.requires)}".encode())
    return cache_folder() / "tried" / proof.hexdigest()


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
