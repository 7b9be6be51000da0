"""A bundle that was read and checked: its manifest, its files, and one of them opened."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_registry import UsageError, did_you_mean
from zoo_runtime import files
from zoo_runtime.agreement import check_agreement, files_of_steps
from zoo_runtime.errors import BundleError, MissingRuntimeError
from zoo_runtime.formats import find
from zoo_runtime.manifest import ASSETS, MANIFEST, MAX_MANIFEST, Artifact, Decoding, Manifest
from zoo_runtime.optional import is_installed, source
from zoo_runtime.run_info import RunInfo
from zoo_runtime.running import Options, Runner, open_runner
from zoo_runtime.tensors import Tensor
from zoo_system import folders
from zoo_system.durable import sha256


@dataclass(frozen=True)
class Contents:
    """A folder whose files are those of its manifest.

    Args:
        path: The folder.
        manifest: What it says about itself.
        trusted: Whether its artifacts are loaded without being tried in another process first.
        origin: What it was loaded from, as messages call it: the folder, or a zip.
    """

    path: Path
    manifest: Manifest
    trusted: bool = False
    origin: Path | None = None

    def __str__(self) -> str:
        return str(self.origin or self.path)

    @property
    def name(self) -> str:
        """Name of the model or recipe."""
        return self.manifest.name

    @property
    def task(self) -> str | None:
        """The model's head."""
        return self.manifest.task

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits."""
        return self.manifest.labels

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Steps from a raw input to the model's inputs."""
        return self.manifest.preprocessing

    @property
    def decoding(self) -> Decoding | None:
        """How a model of sequences writes a text."""
        return self.manifest.decoding

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the model takes."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What the model gives."""
        return self.manifest.outputs

    @property
    def training(self) -> RunInfo | None:
        """What is known of the run that it was made from; ``None`` where there was none.

        Raises:
            BundleError: Its manifest says of it what no run does.
        """
        known = self.manifest.provenance
        if known.get("recipe") is None:
            return None
        try:
            return RunInfo.from_provenance(known)
        except ValueError as error:
            raise BundleError(f"'{self}' is not valid: provenance: {error}.") from error

    @property
    def sha256(self) -> str:
        """Of its manifest, which has those of all files."""
        return sha256(self.path / MANIFEST)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """One converted model for each format."""
        return self.manifest.artifacts

    def artifact(self, runtime: str | None = None) -> Artifact:
        """Return the artifact of a format, or the first one whose runtime is installed.

        Raises:
            UsageError: The bundle has no such format.
            MissingRuntimeError: No runtime for any of its formats is installed.
        """
        by_name = {artifact.format: artifact for artifact in self.artifacts}
        if runtime is None:
            return self._first_installed()
        name = find(runtime).name
        if name not in by_name:
            hint = did_you_mean(runtime, by_name)
            has = ", ".join(by_name)
            raise UsageError(f"Bundle '{self}' has no format '{runtime}'.{hint} It has: {has}.")
        return by_name[name]

    @contextmanager
    def as_recorded(self, part: str) -> Iterator[None]:
        """Check the hashes of an artifact's or folder's files again, around what opens them.

        Args:
            part: A file or folder of the bundle; the files that hold its larger weights belong to
                it.

        Raises:
            BundleError: A file is not the one that was loaded, before or after.
        """
        names = [
            name
            for name in self.manifest.files
            if name == part or name.startswith((f"{part}/", f"{part}."))
        ]
        with files.as_recorded(self.path, names, self.manifest.files, Path(str(self))):
            yield

    @property
    def assets(self) -> Path:
        """Folder of the files that preprocessing names, their hashes checked again.

        Raises:
            BundleError: One of them was changed since the bundle was loaded.
        """
        for name in () if self.trusted else files_of_steps(self.manifest):
            with self.as_recorded(name):
                pass
        return self.path / ASSETS

    def _first_installed(self) -> Artifact:
        needed = []
        for artifact in self.artifacts:
            row = find(artifact.format)
            if is_installed(row.module):
                return artifact
            needed.append(source(row.module, row.requires))
        raise MissingRuntimeError(
            f"No runtime for bundle '{self}' is installed: pip install {' or '.join(needed)}"
        )


def read_contents(folder: Path, *, trusted: bool = False, origin: Path | None = None) -> Contents:
    """Read a bundle and check every byte of it.

    Args:
        folder: Of the bundle.
        trusted: As for :func:`zoo_runtime.bundle.load_bundle`.
        origin: What messages call it; the folder by default.

    Raises:
        UsageError: There is no such folder, or it is no bundle.
        BundleError: A file is missing, cut, changed or extra, or the manifest is not valid.
    """
    manifest_path, shown = folder / MANIFEST, origin or folder
    if not folder.is_dir():
        raise UsageError(f"There is no bundle '{shown}'.")
    if not manifest_path.is_file():
        made = f" It is a run: `zoo export {shlex.quote(str(shown))}` makes one of it."
        is_run = (folder / folders.INFO).is_file()
        raise UsageError(f"'{shown}' is no bundle: it has no {MANIFEST}.{made if is_run else ''}")
    if manifest_path.stat().st_size > MAX_MANIFEST:
        size = manifest_path.stat().st_size
        raise BundleError(f"'{shown / MANIFEST}' has {size:,} bytes: that is no manifest.")
    manifest = Manifest.read(manifest_path.read_bytes(), f"'{shown / MANIFEST}'")
    files.check_files(folder, manifest.files, shown)
    check_agreement(shown, manifest)
    return Contents(folder, manifest, trusted, origin)


def open_unproved(bundle: Contents, artifact: Artifact, options: Options) -> Runner:
    """Return an artifact loaded in its runtime, in this process, though nobody has tried it.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is opened.
    """
    return open_runner(
        find(artifact.format),
        files.safe_path(bundle.path, artifact.path),
        artifact.inputs,
        artifact.outputs,
        batch_sizes=artifact.batch_sizes,
        options=options,
        nan_inputs=bundle.manifest.nan_inputs,
    )
