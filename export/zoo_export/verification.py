"""Proving a bundle again, on any machine that has its runtimes; Keras is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo_export.bundle import Bundle, load_bundle
from zoo_export.comparing import EDGE_SLACK, compare, worst
from zoo_export.errors import BundleError, ExportError, VerificationError
from zoo_export.formats import find
from zoo_export.manifest import EDGES, SAMPLES, Artifact, Comparison, Verification
from zoo_export.probes import check_probes
from zoo_export.runtime import Options
from zoo_export.stored import MAX_VALUES, Stored, load_samples
from zoo_export.tensors import evenly, fits
from zoo_export.trial import remember, try_artifact, was_tried
from zoo_registry import UsageError


def verify(
    bundle: Bundle | str | Path, *, runtime: str | None = None, provider: str | None = None
) -> list[Verification]:
    """Run the stored samples in every runtime and compare with what Keras gave.

    Each artifact runs in a process of its own: a file that ends it is an error here.

    Args:
        bundle: A bundle or its folder; a folder is checked byte by byte first.
        runtime: Name of the one format to verify; all by default.
        provider: What computes, as for :meth:`Bundle.runner`; with it a runtime must be named.

    Returns:
        Figures of this machine, one row for each artifact; counts of agreement on examples
        are those of the export.

    Raises:
        BundleError: An artifact that ends the process that runs it.
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
    if provider is not None and runtime is None:
        raise UsageError(f"provider='{provider}' belongs to one runtime: name it too (runtime).")
    artifacts = bundle.artifacts if runtime is None else (bundle.artifact(runtime),)
    options = Options(provider=provider)
    results = [try_artifact(bundle, artifact, options) for artifact in artifacts]
    failed = [f"{row.format}: {worst(row.comparisons)}" for row in results if not row.ok]
    if failed:
        raise VerificationError(
            f"Bundle '{bundle}' does not give what Keras gave. {'; '.join(failed)}.", results
        )
    for artifact in artifacts:
        remember(bundle, artifact, options)
    return results


def prove(bundle: Bundle, artifact: Artifact, options: Options) -> None:
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
            f"{worst(figures.comparisons)}.",
            [figures],
        )
    remember(bundle, artifact, options)


def run_samples(
    bundle: Bundle,
    artifact: Artifact,
    *,
    provider: str | None = None,
    threads: int | None = None,
) -> Verification:
    """Run the stored samples through an artifact in this process and compare with Keras.

    Raises:
        BundleError: No samples, or a file that its runtime refuses.
        VerificationError: Other names, shapes or dtypes than Keras gave, or NaN.
    """
    check_probes(bundle.manifest, bundle.assets)
    tolerance = find(artifact.format).tolerance
    cases = [(case, tolerance) for case in load_samples(bundle.path / SAMPLES)]
    edges = bundle.path / EDGES
    if find(artifact.format).scheme is None and edges.is_file():
        cases += [(case, tolerance * EDGE_SLACK) for case in load_samples(edges)]
    runner = bundle.runner(artifact.format, threads, provider)
    rows: list[Comparison] = []
    names = {tensor.name for tensor in artifact.inputs}
    for case, allowed in cases:
        if set(case.inputs) != names:
            raise BundleError(f"The samples of bundle '{bundle}' lack {sorted(names)}.")
        if not fits(artifact.inputs, case.inputs):
            continue
        outputs = runner.run(case.inputs)
        shapes = {name: array.shape for name, array in outputs.items()}
        if shapes != case.shapes:
            raise VerificationError(
                f"Artifact '{artifact.path}' of bundle '{bundle}' gives {shapes}, "
                f"Keras gave {case.shapes}."
            )
        flat = {name: evenly(array, MAX_VALUES) for name, array in outputs.items()}
        try:
            compared = compare([case.values], [flat], allowed)
        except ExportError as error:
            raise VerificationError(f"Artifact '{artifact.path}': {error}.") from error
        rows += [replace(row, shape=shapes[row.output]) for row in compared]
    if not rows:
        raise BundleError(f"Bundle '{bundle}' has no sample for '{artifact.path}'.")
    _check_batches(bundle, artifact, [case for case, _ in cases])
    stored = artifact.verification
    return replace(stored, tolerance=tolerance, comparisons=tuple(rows))


def _check_batches(bundle: Bundle, artifact: Artifact, cases: Sequence[Stored]) -> None:
    # A signature that no sample has run is not proved.
    run = {
        len(next(iter(case.inputs.values())))
        for case in cases
        if fits(artifact.inputs, case.inputs)
    }
    missing = sorted(set(artifact.batch_sizes) - run)
    if missing:
        raise BundleError(
            f"Bundle '{bundle}' has no sample for batch {missing[0]} of '{artifact.path}'."
        )
