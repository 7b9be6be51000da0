"""A bundle that was read and checked: its manifest, its files, and one of them opened."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_registry import UsageError, did_you_mean, meaning_of
from zoo_registry.plugins import version_of
from zoo_runtime import files
from zoo_runtime.errors import BundleError, MissingRuntimeError
from zoo_runtime.formats import find
from zoo_runtime.manifest import ASSETS, MANIFEST, MAX_MANIFEST, Artifact, Decoding, Manifest
from zoo_runtime.optional import is_installed, source
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ArrayStep, LookupStep, Step, TableStep, TokenizeStep
from zoo_runtime.running import AS_USUAL, Options, Runner, open_runner, opened
from zoo_runtime.tensors import Arrays, Tensor, fits_shape
from zoo_runtime.trained import as_lines, as_table
from zoo_runtime.tried import mark_of
from zoo_system import folders
from zoo_system.durable import sha256
from zoo_system.folders import is_plain_name

if TYPE_CHECKING:
    from zoo_runtime.generation.search import Decoder
    from zoo_runtime.run_info import RunInfo


@dataclass(frozen=True)
class Contents:
    """A folder whose files are those of its manifest, each of which is hashed as it is opened.

    Args:
        path: The folder.
        manifest: Its manifest.
        trusted: Whether its artifacts are loaded without being verified in another process first.
        origin: What it was loaded from, as messages call it: the folder, or a zip.
    """

    path: Path
    manifest: Manifest
    trusted: bool = False
    origin: Path | None = None

    def __str__(self) -> str:
        return str(self.origin or self.path)

    def __fspath__(self) -> str:
        """Return its folder: whatever takes a path takes a bundle."""
        return str(self.path)

    def __repr__(self) -> str:
        """Return what a person wants to know of it, in a few lines."""
        return as_lines(f"Bundle '{self}'", self._facts())

    def _repr_html_(self) -> str:
        """Return the same as a table, for notebooks."""
        return as_table(f"Bundle '{self}'", self._facts())

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "model", f"{self.name}, {self.task}" if self.task else self.name
        yield "inputs", ", ".join(map(str, self.inputs))
        yield "outputs", ", ".join(map(str, self.outputs))
        for artifact in self.manifest.artifacts:
            found = artifact.verification
            state = f"differs from Keras by {found.max_abs_diff:.1e}" if found.ok else "differs"
            yield "file", f"{artifact.path}: {artifact.bytes / 1e6:.2f} MB, {state}"

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
        """How a model of sequences generates a text."""
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
        """The ``run.json`` of the run that it was made from; ``None`` where there was none.

        Raises:
            BundleError: Its manifest has there what no run has.
        """
        known = self.manifest.provenance
        if known.get("recipe") is None:
            return None
        from zoo_runtime.run_info import RunInfo

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
    def as_recorded(self, *parts: str) -> Iterator[None]:
        """Check the hashes of artifacts' or folders' files, around what opens them.

        Args:
            parts: Files or folders of the bundle; the files that hold the larger weights of one
                belong to it.

        Raises:
            BundleError: A file is not the one of the manifest, or was changed meanwhile.
        """
        inside = tuple(start for part in parts for start in (f"{part}/", f"{part}."))
        names = [name for name in self.manifest.files if name in parts or name.startswith(inside)]
        with self._recorded(names):
            yield

    def _recorded(self, names: Sequence[str]) -> AbstractContextManager[None]:
        return files.as_recorded(self.path, names, self.manifest.files, Path(str(self)))

    def check_hashes(self) -> None:
        """Check the hash of every file, also of those that nothing opens.

        Raises:
            BundleError: A file is not the one of the manifest.
        """
        with self._recorded([*self.manifest.files]):
            pass

    @property
    def assets(self) -> Path:
        """Folder of the files that preprocessing names, their hashes checked.

        Raises:
            BundleError: One of them is not the one of the manifest.
        """
        with self.as_recorded(*files_of_steps(self.manifest)):
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
    """Read a bundle's manifest and check that its files are there; they are hashed when opened.

    Args:
        folder: Of the bundle.
        trusted: As for :func:`zoo_runtime.bundle.load_bundle`.
        origin: What messages call it; the folder by default.

    Raises:
        UsageError: There is no such folder, or it is not a bundle.
        BundleError: A file is missing, cut or extra, or the manifest is not valid.
    """
    manifest_path, shown = folder / MANIFEST, origin or folder
    if not folder.is_dir():
        raise UsageError(f"There is no bundle '{shown}'.{meaning_of(str(shown), 'bundle')}")
    if not manifest_path.is_file():
        made = f" It is a run: `zoo export {shlex.quote(str(shown))}` makes one of it."
        is_run = (folder / folders.INFO).is_file()
        raise UsageError(
            f"'{shown}' is not a bundle ({MANIFEST} is missing).{made if is_run else ''}"
        )
    if manifest_path.stat().st_size > MAX_MANIFEST:
        size = manifest_path.stat().st_size
        raise BundleError(f"'{shown / MANIFEST}' has {size:,} bytes: that is not a manifest.")
    manifest = Manifest.read(manifest_path.read_bytes(), f"'{shown / MANIFEST}'")
    files.check_files(folder, manifest.files, shown)
    check_agreement(shown, manifest)
    return Contents(folder, manifest, trusted, origin)


def open_unverified(bundle: Contents, artifact: Artifact, options: Options) -> Runner:
    """Return an artifact loaded in its runtime, in this process, though it was not verified here.

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


def open_decoders_unverified(
    bundle: Contents, artifact: Artifact, options: Options
) -> Callable[[Arrays | None], Decoder]:
    """Return what makes decoders with a cache of a language model that was not verified here.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts, with ``generation``.
        options: How it is opened.

    Raises:
        BundleError: Files that its runtime refuses.
    """
    path = files.safe_path(bundle.path, artifact.path)
    fmt = find(artifact.format)
    made: Callable[[Arrays | None], Decoder] = opened(
        fmt, fmt.decoder, path, options, artifact.generation
    )
    return made


# Signatures in a file, and tokens of a text that a model generates.
_MOST_BATCHES, _LONGEST_TEXT = 64, 1 << 20
# Made to know where a text ends, also where the model does not take it.
_MASK = "padding_mask"
# An output whose last axis has an entry for each label.
_CLASSES = ("logits", "heatmap")


def mark_of_artifact(bundle: Contents, artifact: Artifact, options: Options = AS_USUAL) -> Path:
    """Return what notes that these very bytes were verified on this machine, opened in this way."""
    needed = find(artifact.format).requires
    words = (artifact.format, needed, version_of(needed), json.dumps(asdict(options)))
    return mark_of(digest_of(bundle.manifest, artifact).encode(), " ".join(words).encode())


def digest_of(manifest: Manifest, artifact: Artifact) -> str:
    """Return what identifies an artifact, with all that its bundle's manifest has of it."""
    # The manifest has the hash of every file.
    alone = replace(manifest, artifacts=(artifact,))
    return hashlib.sha256(alone.to_json().encode()).hexdigest()


def check_agreement(folder: Path, manifest: Manifest) -> None:
    """Refuse a manifest whose artifacts, tensors, steps and labels contradict each other.

    Args:
        folder: What messages call the bundle.
        manifest: Its manifest.

    Raises:
        BundleError: A path that leads out, a tensor that no memory holds, a step that makes what
            no input takes or that reads a file that the manifest does not list, fewer labels than
            classes.
    """
    for name in (manifest.name, *manifest.targets):
        if not is_plain_name(name):
            raise BundleError(f"The manifest of '{folder}' has the name {name!r}, which is a path.")
    if not manifest.artifacts:
        raise BundleError(f"Bundle '{folder}' lists no artifact.")
    _check_counts(folder, manifest)
    _check_tensors(folder, [*manifest.inputs, *manifest.outputs])
    for artifact in manifest.artifacts:
        _check_artifact(folder, manifest, artifact)
    _check_steps(folder, manifest)
    _check_labels(folder, manifest)
    length = manifest.decoding.length if manifest.decoding else None
    if length is not None and not 0 < length <= _LONGEST_TEXT:
        raise BundleError(
            f"The manifest of '{folder}' has an impossible decoding.length: {length}."
        )


def _check_counts(folder: Path, manifest: Manifest) -> None:
    formats = [artifact.format for artifact in manifest.artifacts]
    twice = next((name for name in formats if formats.count(name) > 1), None)
    if twice is not None:
        raise BundleError(f"The manifest of '{folder}' lists the format '{twice}' twice.")
    sizes = [*(a.bytes for a in manifest.artifacts), *(e.bytes for e in manifest.files.values())]
    for count in (*sizes, manifest.num_params or 0):
        if count < 0:
            raise BundleError(f"The manifest of '{folder}' has an impossible count: {count}.")


def _check_artifact(folder: Path, manifest: Manifest, artifact: Artifact) -> None:
    files.safe_path(folder, artifact.path)
    inside = f"{artifact.path}/"
    if not any(n == artifact.path or n.startswith(inside) for n in manifest.files):
        raise BundleError(f"Artifact '{artifact.path}' of bundle '{folder}' has no file.")
    if not artifact.inputs or not artifact.outputs:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{folder}' needs an input and an output."
        )
    sizes = artifact.batch_sizes
    if len(sizes) > _MOST_BATCHES or not all(size > 0 for size in sizes):
        raise BundleError(f"The manifest of '{folder}' has impossible batches: {sizes[:5]}.")
    tensors = (*artifact.inputs, *artifact.outputs)
    sized = [replace(t, shape=(size, *t.shape[1:])) for size in sizes for t in tensors]
    _check_tensors(folder, [*tensors, *sized])


def _check_tensors(folder: Path, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if not tensor.is_plausible():
            raise BundleError(f"The manifest of '{folder}' has an impossible tensor: {tensor}.")


def _check_steps(folder: Path, manifest: Manifest) -> None:
    made: dict[str, tuple[int, ...]] = {}
    try:
        steps = [as_step(step) for step in manifest.preprocessing]
    except (UsageError, TypeError) as error:
        raise BundleError(f"The manifest of '{folder}' is not valid: {error}") from error
    for step in steps:
        _check_file_of(folder, manifest, step)
        if isinstance(step, ArrayStep) and step.source is not None:
            made.pop(step.source, None)
        made |= step.shapes
    inputs = {tensor.name: tensor for tensor in manifest.inputs}
    for name, shape in made.items():
        if name not in inputs and name == _MASK:
            continue
        if name not in inputs or not fits_shape(inputs[name].shape[1:], shape):
            takes = ", ".join(map(str, manifest.inputs))
            raise BundleError(
                f"The manifest of '{folder}' makes '{name}' of shape {shape} of a raw input, and "
                f"its model takes {takes}."
            )


def files_of_steps(manifest: Manifest) -> list[str]:
    """Return the files of a bundle that its steps read, as the manifest lists them."""
    names = (_file_of(as_step(step)) for step in manifest.preprocessing)
    return [f"{ASSETS}/{name}" for name in names if name is not None]


def _file_of(step: Step) -> str | None:
    if isinstance(step, TokenizeStep):
        return step.tokenizer
    if isinstance(step, TableStep):
        return step.columns
    return step.vocabulary if isinstance(step, LookupStep) else None


def _check_file_of(folder: Path, manifest: Manifest, step: Step) -> None:
    name = _file_of(step)
    if name is not None and f"{ASSETS}/{name}" not in manifest.files:
        raise BundleError(
            f"The manifest of '{folder}' reads '{name}' to prepare inputs and does not list it."
        )


def _check_labels(folder: Path, manifest: Manifest) -> None:
    if manifest.labels is None:
        return
    count = len(manifest.labels)
    for tensor in manifest.outputs:
        classes = tensor.shape[-1] if tensor.name in _CLASSES else None
        if isinstance(classes, int) and count < classes:
            raise BundleError(
                f"The manifest of '{folder}' has {count} labels for the {classes} classes of "
                f"'{tensor.name}'. Export it again."
            )
