"""The stored samples run again through an artifact, and compared with what Keras gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo_runtime.columns import Scale
from zoo_runtime.comparing import (
    compared,
    fitted,
    has_columns,
    settle,
    usual_sizes,
    with_label,
    worst_of_groups,
)
from zoo_runtime.contents import Contents, open_unproved
from zoo_runtime.errors import BundleError, ExportError, VerificationError
from zoo_runtime.figures import Comparison, Fit, Verification
from zoo_runtime.formats import Format, find
from zoo_runtime.manifest import EDGES, SAMPLES, Artifact
from zoo_runtime.probes import check_probes
from zoo_runtime.running import AS_USUAL, Options, Runner
from zoo_runtime.saved_samples import (
    EDGE,
    EXAMPLE,
    MAX_VALUES,
    SavedBatch,
    columns_kept,
    group_of,
    is_compared,
    load_samples,
    load_scales,
    reduced,
)
from zoo_runtime.tensors import Array, Arrays, Tensor, evenly, fits


def run_samples(
    bundle: Contents,
    artifact: Artifact,
    options: Options = AS_USUAL,
    *,
    runner: Runner | None = None,
) -> Verification:
    """Run the stored samples through an artifact in this process and compare with Keras.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is opened.
        runner: The artifact, where it is open already.

    Raises:
        BundleError: No samples, or a file that its runtime refuses.
        VerificationError: Other names, shapes or dtypes than Keras gave, or NaN.
    """
    check_probes(bundle.manifest, bundle.assets)
    row, outputs = find(artifact.format), bundle.manifest.outputs
    taken = bundle.manifest.inputs
    cases = load_samples(bundle.path / SAMPLES, taken)
    scales = load_scales(bundle.path / SAMPLES)
    edges = bundle.path / EDGES
    if row.scheme is None and edges.is_file():
        cases += [replace(case, kind=EDGE) for case in load_samples(edges, taken)]
    names = {tensor.name for tensor in artifact.inputs}
    if any(set(case.inputs) != names for case in cases):
        raise BundleError(f"The samples of bundle '{bundle}' lack {sorted(names)}.")
    is_scheme = row.scheme is not None
    judged = [
        case
        for case in cases
        if (case.kind is None or is_compared(case.kind, is_scheme=is_scheme))
        and fits(artifact.inputs, case.inputs)
    ]
    if not judged:
        raise BundleError(f"Bundle '{bundle}' has no sample for '{artifact.path}'.")
    _check_batches(bundle, artifact, cases)
    runner = runner or open_unproved(bundle, artifact, options)
    tried = [
        (case, _run(bundle, artifact, runner.run(case.inputs), case, outputs)) for case in judged
    ]
    try:
        rows, found = _judge(row, outputs, tried, scales)
    except ExportError as error:
        raise VerificationError(f"Artifact '{artifact.path}': {error}.") from error
    stored = artifact.verification
    labelled = tuple(with_label(fit, bundle.manifest.labels) for fit in found)
    return replace(stored, tolerance=row.tolerance, comparisons=rows, fits=labelled)


def _run(
    bundle: Contents, artifact: Artifact, given: Arrays, case: SavedBatch, outputs: Sequence[Tensor]
) -> dict[str, Array]:
    """Return of what an artifact gave the values that are stored of Keras."""
    shapes = {name: array.shape for name, array in given.items()}
    if shapes != case.shapes:
        raise VerificationError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' gives {shapes}, "
            f"Keras gave {case.shapes}."
        )
    if case.kind is None:
        return {name: evenly(array, MAX_VALUES) for name, array in given.items()}
    split = {tensor.name: has_columns(tensor) for tensor in outputs}
    return {name: reduced(array, split[name]) for name, array in given.items()}


def _judge(
    row: Format,
    outputs: Sequence[Tensor],
    tried: Sequence[tuple[SavedBatch, dict[str, Array]]],
    scales: Mapping[str, Mapping[str, Scale]],
) -> tuple[tuple[Comparison, ...], list[Fit]]:
    dtypes = {tensor.name: tensor.dtype for tensor in outputs}
    rows: list[Comparison] = []
    for case, given in tried:
        settle(case.values, given, case.unsteady)
        own = scales.get(_group(case) or "")
        of_case = compared(
            row,
            case.values,
            given,
            own,
            dtypes,
            sizes=usual_sizes(scales),
            is_edge=case.kind == EDGE,
        )
        if case.kind == EXAMPLE and all(one.ok for one in of_case):
            continue  # many rows at once: they are told of where they are too far
        rows += [
            replace(
                one, shape=case.shapes[one.output], column=_whole(one.column, outputs, one.output)
            )
            for one in of_case
        ]
    found: list[Fit] = []
    for group, by_name in scales.items():
        pairs = [(case.values, given) for case, given in tried if _group(case) == group]
        if pairs:
            expected, received = zip(*pairs, strict=True)
            found += fitted(outputs, expected, received, by_name, row.max_loss)
    columns = [
        replace(fit, column=_whole(fit.column, outputs, fit.output)) if fit.axis == -1 else fit
        for fit in found
    ]
    return tuple(rows), worst_of_groups(columns)


def _group(case: SavedBatch) -> str | None:
    return None if case.kind is None else group_of(case.kind)


def _whole(column: int | None, outputs: Sequence[Tensor], name: str) -> int | None:
    """Return the index in the whole output of a column among those that are stored."""
    if column is None:
        return None
    width = next(tensor.shape[-1] for tensor in outputs if tensor.name == name)
    return int(columns_kept(int(width))[column])


def _check_batches(bundle: Contents, artifact: Artifact, cases: Sequence[SavedBatch]) -> None:
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
