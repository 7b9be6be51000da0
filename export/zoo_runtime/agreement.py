"""Whether what a manifest says of a bundle fits together, before anything relies on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo_registry import UsageError
from zoo_runtime import files
from zoo_runtime.errors import BundleError
from zoo_runtime.manifest import ASSETS, Artifact, Manifest
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ArrayStep, LookupStep, Step, TableStep, TokenizeStep
from zoo_runtime.tensors import Tensor
from zoo_system.folders import is_plain_name

# Signatures in a file, and tokens of a text that a model writes.
_MOST_BATCHES, _LONGEST_TEXT = 64, 1 << 20
# Made for whoever wants to know where a text ends, also where the model does not take it.
_MASK = "padding_mask"
# An output whose last axis has a place for each label.
_CLASSES = ("logits", "heatmap")


def check_agreement(folder: Path, manifest: Manifest) -> None:
    """Refuse a manifest whose artifacts, tensors, steps and labels contradict each other.

    Args:
        folder: What messages call the bundle.
        manifest: What it says about itself.

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
        if name not in inputs or not _takes(inputs[name], shape):
            takes = ", ".join(map(str, manifest.inputs))
            raise BundleError(
                f"The manifest of '{folder}' makes '{name}' of shape {shape} of a raw input, and "
                f"its model takes {takes}."
            )


def _takes(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    wanted = tensor.shape[1:]
    return len(wanted) == len(shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(wanted, shape, strict=True)
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
