"""The saved samples run again through an artifact, here or in a process of its own, and compared.

LiteRT checks how a file is laid out, not what its operators ask for: about one changed file in a
thousand ends the process that loads or runs it. Whoever changed the file can change its hash too.
So a bundle that was not made here is first run on its saved samples in a child process,
``python -m zoo_runtime.verifying FOLDER FORMAT ...``, with the threads and the provider that are
asked for, within bounds of time and memory.

That contains crashes, endless loops and files that fill the memory. It is not a sandbox: the child
may do what the user may. That no file of a model asks for more than computing is what
:mod:`zoo_runtime.running.operators` checks, before any process loads it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo_registry import UsageError, ZooError, load_target
from zoo_runtime import files, schema
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
from zoo_runtime.contents import (
    Contents,
    digest_of,
    mark_of_artifact,
    open_decoders_unverified,
    open_unverified,
    read_contents,
)
from zoo_runtime.errors import BundleError, ExportError, VerificationError
from zoo_runtime.formats import Format, find
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.manifest import ASSETS, EDGES, SAMPLES, TRAIN_FORMAT, Artifact
from zoo_runtime.preprocessing_checks import check_preprocessing
from zoo_runtime.running import AS_USUAL, Options, Runner, check_installed
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
from zoo_runtime.tried import remember
from zoo_runtime.verification import Comparison, Fit, Verification, why
from zoo_system import processes
from zoo_system.processes import signal_name


def run_samples(
    bundle: Contents,
    artifact: Artifact,
    options: Options = AS_USUAL,
    *,
    runner: Runner | None = None,
) -> Verification:
    """Run the saved samples through an artifact in this process and compare with Keras.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is opened.
        runner: The artifact, where it is open already.

    Raises:
        BundleError: No samples, or a file that its runtime refuses.
        VerificationError: Other names, shapes or dtypes than Keras gave, or NaN.
    """
    with bundle.as_recorded(ASSETS):
        check_preprocessing(bundle.manifest, bundle.path / ASSETS)
    fmt, outputs = find(artifact.format), bundle.manifest.outputs
    if fmt.writes:
        from zoo_runtime.writing import written_again

        row = written_again(artifact, runner or open_unverified(bundle, artifact, options))
        return replace(artifact.verification, tolerance=fmt.tolerance, comparisons=(row,))
    taken, edges = bundle.manifest.inputs, bundle.path / EDGES
    with bundle.as_recorded(SAMPLES, EDGES):
        samples = load_samples(bundle.path / SAMPLES, taken)
        scales = load_scales(bundle.path / SAMPLES)
        if fmt.scheme is None and edges.is_file():
            samples += [replace(sample, kind=EDGE) for sample in load_samples(edges, taken)]
    names = {tensor.name for tensor in artifact.inputs}
    if any(set(sample.inputs) != names for sample in samples):
        raise BundleError(f"The samples of bundle '{bundle}' lack {sorted(names)}.")
    is_scheme = fmt.scheme is not None
    chosen = [
        sample
        for sample in samples
        if (sample.kind is None or is_compared(sample.kind, is_scheme=is_scheme))
        and fits(artifact.inputs, sample.inputs)
    ]
    if not chosen:
        raise BundleError(f"Bundle '{bundle}' has no sample for '{artifact.path}'.")
    _check_batches(bundle, artifact, samples)
    runner = runner or open_unverified(bundle, artifact, options)
    tried = [
        (sample, _run(bundle, artifact, runner.run(sample.inputs), sample, outputs))
        for sample in chosen
    ]
    try:
        rows, found = _compare(fmt, outputs, tried, scales)
    except ExportError as error:
        raise VerificationError(f"Artifact '{artifact.path}': {error}.") from error
    rows += _cached(bundle, artifact, runner, [sample.inputs for sample in chosen], options)
    labelled = tuple(with_label(fit, bundle.manifest.labels) for fit in found)
    return replace(artifact.verification, tolerance=fmt.tolerance, comparisons=rows, fits=labelled)


def _cached(
    bundle: Contents,
    artifact: Artifact,
    runner: Runner,
    samples: Sequence[Arrays],
    options: Options,
) -> tuple[Comparison, ...]:
    """Compare a language model's functions with a cache with the whole model in the same file."""
    about = artifact.generation
    if about is None:
        return ()
    from zoo_runtime.generation.checking import compare_cached

    decoders = open_decoders_unverified(bundle, artifact, options)
    return tuple(
        compare_cached(
            decoders,
            about,
            samples,
            lambda sample: runner.run(sample)[LOGITS],
            find(artifact.format).tolerance,
        )
    )


def _run(
    bundle: Contents,
    artifact: Artifact,
    given: Arrays,
    sample: SavedBatch,
    outputs: Sequence[Tensor],
) -> dict[str, Array]:
    """Return those values of an artifact's outputs that were saved of Keras'."""
    shapes = {name: array.shape for name, array in given.items()}
    if shapes != sample.shapes:
        raise VerificationError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' gives {shapes}, "
            f"Keras gave {sample.shapes}."
        )
    if sample.kind is None:
        return {name: evenly(array, MAX_VALUES) for name, array in given.items()}
    split = {tensor.name: has_columns(tensor) for tensor in outputs}
    return {name: reduced(array, split[name]) for name, array in given.items()}


def _compare(
    fmt: Format,
    outputs: Sequence[Tensor],
    tried: Sequence[tuple[SavedBatch, dict[str, Array]]],
    scales: Mapping[str, Mapping[str, Scale]],
) -> tuple[tuple[Comparison, ...], list[Fit]]:
    dtypes = {tensor.name: tensor.dtype for tensor in outputs}
    rows: list[Comparison] = []
    for sample, given in tried:
        settle(sample.values, given, sample.unsteady)
        own = scales.get(_group(sample) or "")
        of_sample = compared(
            fmt,
            sample.values,
            given,
            own,
            dtypes,
            sizes=usual_sizes(scales),
            is_edge=sample.kind == EDGE,
        )
        if sample.kind == EXAMPLE and all(one.ok for one in of_sample):
            continue  # many rows at once: they are reported where they are too far
        rows += [
            replace(
                one, shape=sample.shapes[one.output], column=_whole(one.column, outputs, one.output)
            )
            for one in of_sample
        ]
    found: list[Fit] = []
    for group, by_name in scales.items():
        pairs = [(sample.values, given) for sample, given in tried if _group(sample) == group]
        if pairs:
            expected, received = zip(*pairs, strict=True)
            found += fitted(outputs, expected, received, by_name, fmt.max_loss)
    columns = [
        replace(fit, column=_whole(fit.column, outputs, fit.output)) if fit.axis == -1 else fit
        for fit in found
    ]
    return tuple(rows), worst_of_groups(columns)


def _group(sample: SavedBatch) -> str | None:
    return None if sample.kind is None else group_of(sample.kind)


def _whole(column: int | None, outputs: Sequence[Tensor], name: str) -> int | None:
    """Return the index in the whole output of a column among those that are saved."""
    if column is None:
        return None
    width = next(tensor.shape[-1] for tensor in outputs if tensor.name == name)
    return int(columns_kept(int(width))[column])


def _check_batches(bundle: Contents, artifact: Artifact, samples: Sequence[SavedBatch]) -> None:
    # A signature that no sample has run is not verified.
    run = {
        len(next(iter(sample.inputs.values())))
        for sample in samples
        if fits(artifact.inputs, sample.inputs)
    }
    missing = sorted(set(artifact.batch_sizes) - run)
    if missing:
        raise BundleError(
            f"Bundle '{bundle}' has no sample for batch {missing[0]} of '{artifact.path}'."
        )


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
    """Run the saved samples through an artifact in a child process and compare with Keras.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is going to be opened here.
        time_limit: Seconds after which the child is ended.

    Returns:
        The verification, passed or failed.

    Raises:
        BundleError: The file ended the process that ran it, or took too long.
        VerificationError: It gives other names, shapes or dtypes, or NaN.
        MissingRuntimeError: Its runtime is not installed.
        UsageError: No process can be started here, or it cannot be opened so.
    """
    fmt = find(artifact.format)
    check_installed(fmt)
    words = [
        str(bundle.path),
        artifact.format,
        digest_of(bundle.manifest, artifact),
        json.dumps(asdict(options)),
    ]
    prepare = partial(_import_runtime, fmt)
    try:
        done = processes.run(__name__, *words, time_limit=time_limit, meanwhile=prepare)
    except OSError as error:
        raise UsageError(
            f"Artifact '{artifact.path}' cannot be tried in another process ({error}): load the "
            "bundle with trusted=True if you made it yourself."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' took longer than "
            f"{time_limit:g} s to run the saved samples."
        ) from error
    answer = _answer(done)
    if answer is None:
        raise BundleError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' ended the process that tried "
            f"it ({_cause(done)}): it is damaged or hostile. Export it again."
        )
    if "error" in answer:
        # The other process was given the folder of what may have been a zip.
        message = answer["message"].replace(str(bundle.path), str(bundle))
        raise _KINDS.get(answer["error"], BundleError)(message)
    return schema.read(Verification, answer, "verification")


def _import_runtime(fmt: Format) -> None:
    """Import what this process is going to open the artifact with, if the child finds it right."""
    with contextlib.suppress(Exception):  # it fails again, with its message, when it is opened
        load_target(fmt.runtime)
        importlib.import_module(fmt.module)


def _answer(done: subprocess.CompletedProcess[str]) -> Any:
    if done.returncode != 0 or not done.stdout.strip():
        return None
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except ValueError:
        return None


def ensure_verified(bundle: Contents, artifact: Artifact, options: Options = AS_USUAL) -> None:
    """Verify one artifact in a child process, and remember that.

    Args:
        bundle: The bundle.
        artifact: One of its artifacts.
        options: How it is going to be opened here.

    Raises:
        BundleError: It ends the process that runs it.
        VerificationError: It disagrees with Keras.
    """
    verification = try_artifact(bundle, artifact, options)
    if not verification.ok:
        raise VerificationError(
            f"Artifact '{artifact.path}' of bundle '{bundle}' does not give what Keras gave: "
            f"{why(verification)}.",
            [verification],
        )
    remember(mark_of_artifact(bundle, artifact, options))


def main(folder: str, format_name: str, digest: str, options: str) -> None:
    """Print the verification of one artifact, or the error, as the last line."""
    chosen = Options(**json.loads(options))
    try:
        bundle = read_contents(Path(folder), trusted=True)
        artifact = bundle.artifact(format_name)
        if digest_of(bundle.manifest, artifact) != digest:
            raise BundleError(f"The manifest of bundle '{bundle}' was changed since it was loaded.")
        size = files.size_of(files.safe_path(bundle.path, artifact.path))
        processes.limit_memory(_MEMORY + _TIMES_BYTES * size)
        with bundle.as_recorded(artifact.path):
            result = asdict(_exercise(bundle, artifact, chosen))
    except ZooError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(result))  # noqa: T201 - read by the parent


def _exercise(bundle: Contents, artifact: Artifact, options: Options) -> Verification:
    verification = run_samples(bundle, artifact, options)
    if artifact.format == TRAIN_FORMAT:
        from zoo_runtime.running.training import open_trainer

        with bundle.as_recorded(SAMPLES):
            sample = load_samples(bundle.path / SAMPLES, bundle.manifest.inputs)[0].inputs
        path = files.safe_path(bundle.path, artifact.path)
        open_trainer(path, threads=options.threads).rehearse(sample)
    return verification


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return signal_name(-done.returncode)
    last = done.stderr.strip().splitlines()[-1:] or [""]
    return f"exit code {done.returncode}: {last[0]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
