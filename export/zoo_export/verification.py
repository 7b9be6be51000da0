"""Proving a bundle again, on any machine that has its runtimes; Keras is not needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo_export.bundle import Bundle, load_bundle
from zoo_export.comparing import compare, worst
from zoo_export.errors import BundleError, ExportError, VerificationError
from zoo_export.formats import find
from zoo_export.manifest import SAMPLES, Artifact, Comparison, Verification
from zoo_export.stored import MAX_VALUES, Stored, load_samples
from zoo_export.tensors import evenly, fits


def verify(bundle: Bundle | str | Path) -> list[Verification]:
    """Run the stored samples in every runtime and compare with what Keras gave.

    Args:
        bundle: A bundle or its folder; a folder is checked byte by byte first.

    Returns:
        Figures of this machine, one row for each artifact; counts of agreement on examples
        are those of the export.

    Raises:
        VerificationError: An artifact disagrees; ``verifications`` has the figures of all.
        MissingRuntimeError: A runtime is not installed.

    Example:
        >>> import keras, tempfile, zoo_export
        >>> inputs = keras.Input((4,), name="features")
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
        >>> bundle = zoo_export.export(
        ...     model, to=["onnx"], out=tempfile.mkdtemp() + "/tiny", name="tiny"
        ... )
        >>> [row.ok for row in verify(bundle)]
        [True]
    """
    if not isinstance(bundle, Bundle):
        bundle = load_bundle(bundle)
    cases = load_samples(bundle.path / SAMPLES)
    results = [verify_artifact(bundle, artifact, cases) for artifact in bundle.artifacts]
    failed = [f"{row.format}: {worst(row.comparisons)}" for row in results if not row.ok]
    if failed:
        raise VerificationError(
            f"Bundle '{bundle.path}' does not give what Keras gave. {'; '.join(failed)}.", results
        )
    return results


def verify_artifact(
    bundle: Bundle, artifact: Artifact, cases: list[Stored], threads: int | None = None
) -> Verification:
    """Run the stored samples in one runtime and return its figures, good or bad.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        cases: The bundle's samples.
        threads: Threads to use; the runtime's own choice by default.

    Raises:
        VerificationError: Other names, shapes or dtypes than Keras gave, or NaN.
        MissingRuntimeError: The runtime is not installed.
    """
    runner = bundle.runner(artifact.format, threads)
    tolerance = find(artifact.format).tolerance
    rows: list[Comparison] = []
    for case in cases:
        if not fits(artifact.inputs, case.inputs):
            continue
        outputs = runner.run(case.inputs)
        shapes = {name: array.shape for name, array in outputs.items()}
        if shapes != case.shapes:
            raise VerificationError(
                f"Artifact '{artifact.path}' of bundle '{bundle.path}' gives {shapes}, "
                f"Keras gave {case.shapes}."
            )
        flat = {name: evenly(array, MAX_VALUES) for name, array in outputs.items()}
        try:
            compared = compare([case.values], [flat], tolerance)
        except ExportError as error:
            raise VerificationError(f"Artifact '{artifact.path}': {error}.") from error
        rows += [replace(row, shape=shapes[row.output]) for row in compared]
    if not rows:
        raise BundleError(f"Bundle '{bundle.path}' has no sample for '{artifact.path}'.")
    stored = artifact.verification
    return replace(stored, tolerance=tolerance, comparisons=tuple(rows))
