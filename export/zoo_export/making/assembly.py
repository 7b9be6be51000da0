"""From a source to the files of a bundle: convert and verify, then write what goes with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_export import card, targets
from zoo_export.making.artifacts import make_job, verified
from zoo_export.making.conversion import convert_all
from zoo_export.making.texts import make_text_job, verified_texts
from zoo_export.reading.model_file import model_file
from zoo_export.reading.source import Source, versions
from zoo_registry import UsageError, load_target
from zoo_runtime import files
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import Format
from zoo_runtime.manifest import ASSETS, CARD, EDGES, MANIFEST, SAMPLES, Artifact, Manifest
from zoo_runtime.preprocessing_checks import save_preprocessing_checks
from zoo_runtime.saved_samples import BESIDE, DRAWN, EDGE, EXAMPLE, GIVEN, SampleBatch, save_samples
from zoo_runtime.verification import Comparison
from zoo_system import durable

if TYPE_CHECKING:
    from zoo_export.generation.plan import Plan

# Examples that are saved to verify a bundle again.
_SAVED_ROWS, _SAVED_BYTES = 16, 1 << 20


@dataclass(frozen=True)
class Progress:
    """What just happened to one format.

    Args:
        format: Its name.
        state: ``"started"``, ``"verified"``, ``"cached"`` or ``"failed"``.
        artifact: With its verification, once verified or taken from the cache.
        error: The message, if it failed.
        facts: What the converter found in a file that then failed.
        comparisons: Its outputs against Keras, if it failed for being too far from it.
    """

    format: str
    state: str
    artifact: Artifact | None = None
    error: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()


def convert(
    source: Source,
    formats: Sequence[Format],
    work: Path,
    time_limit: float,
    notify: Callable[[Progress], None],
) -> tuple[list[Artifact], list[tuple[str, ExportError]]]:
    """Convert and verify; what failed leaves no file.

    Args:
        source: What is exported.
        formats: The formats.
        work: A folder; the artifacts are put into ``bundle`` inside it.
        time_limit: Seconds that one conversion may take.
        notify: Called with what happens to each format.

    Returns:
        The artifacts, and the names of the formats that failed with their errors.
    """
    bundle = work / "bundle"
    bundle.mkdir(exist_ok=True)
    artifacts = []
    plans, failures = _plans(source, formats, work)
    for name, error in failures:
        notify(Progress(name, "failed", None, str(error)))
    order = [fmt.name for fmt in formats]
    formats = [fmt for fmt in formats if fmt.name not in dict(failures)]
    with model_file(source.request, work) as (model, modules):
        jobs = [
            make_text_job(source, fmt, model, modules, bundle, plan=plans[fmt.dialect])
            if fmt.writes
            else make_job(source, fmt, model, modules, bundle)
            for fmt in formats
        ]
        by_name = {fmt.name: fmt for fmt in formats}
        for converted in convert_all(
            jobs,
            work,
            time_limit=time_limit,
            started=lambda format_name: notify(Progress(format_name, "started")),
        ):
            fmt = by_name[converted.job.format]
            try:
                artifact = (
                    verified_texts(source, fmt, converted, plans[fmt.dialect])
                    if fmt.writes
                    else verified(source, fmt, converted)
                )
            except ExportError as error:
                failures.append((fmt.name, error))
                files.remove(Path(converted.job.path))
                facts = converted.result.facts if converted.result else {}
                notify(Progress(fmt.name, "failed", None, str(error), facts, error.comparisons))
            else:
                artifacts.append(artifact)
                notify(Progress(fmt.name, "verified", artifact))
    failures.sort(key=lambda failure: order.index(failure[0]))
    artifacts.sort(key=lambda artifact: order.index(artifact.format))
    return artifacts, failures


def _plans(
    source: Source, formats: Sequence[Format], work: Path
) -> tuple[dict[str, Plan], list[tuple[str, ExportError]]]:
    """Return what files that write texts are made of, by dialect, and the formats that cannot."""
    found: dict[str, Plan] = {}
    failures = []
    for target in dict.fromkeys(fmt.dialect for fmt in formats if fmt.writes):
        from zoo_export.generation.dialect import dialect_of
        from zoo_export.generation.plan import make_plan  # Keras, where it is needed

        folder = work / f"plan-{len(found)}"
        folder.mkdir(exist_ok=True)
        try:
            found[target] = make_plan(source.request, folder, dialect_of(target))
        except (UsageError, ExportError) as error:
            cause = ExportError(str(error).rstrip("."))
            failures += [(fmt.name, cause) for fmt in formats if fmt.dialect == target]
    return found, failures


def _some(examples: SampleBatch) -> SampleBatch:
    """Return a few examples, as many as weigh little: they say more of each column."""
    row = sum(array[:1].nbytes for array in examples.inputs.values())
    rows = max(1, min(_SAVED_ROWS, _SAVED_BYTES // row))
    return replace(
        examples,
        inputs={name: array[:rows] for name, array in examples.inputs.items()},
        expected={name: array[:rows] for name, array in examples.expected.items()},
        unsteady={name: array[:rows] for name, array in examples.unsteady.items()},
    )


def complete(
    source: Source,
    artifacts: Sequence[Artifact],
    bundle: Path,
    target: targets.Target | None = None,
    budget: Mapping[str, Any] | None = None,
) -> None:
    """Write all of a bundle but its artifacts, which are there.

    Args:
        source: What is exported.
        artifacts: The files, with their verification.
        bundle: The folder.
        target: What the bundle is made ready for.
        budget: What was tried to choose the artifacts.
    """
    request = source.request
    (bundle / ASSETS).mkdir(exist_ok=True)
    if request.assets is not None:
        partial = shutil.ignore_patterns(f"{durable.PARTIAL}*")
        shutil.copytree(request.assets, bundle / ASSETS, dirs_exist_ok=True, ignore=partial)
    samples = source.samples
    kept = [*samples.of(GIVEN, DRAWN, BESIDE), *map(_some, samples.of(EXAMPLE))]
    save_samples(bundle / SAMPLES, kept, source.outputs, samples.scales)
    if samples.of(EDGE):
        save_samples(bundle / EDGES, samples.of(EDGE), source.outputs, {})
    save_preprocessing_checks(bundle / ASSETS, request.preprocessing)
    manifest = Manifest(
        name=request.name,
        task=request.task,
        labels=request.labels,
        inputs=source.inputs,
        outputs=source.outputs,
        preprocessing=request.preprocessing,
        decoding=request.decoding,
        license=request.license,
        num_params=int(request.model.count_params()),
        nan_inputs=source.nan_inputs,
        provenance={**request.provenance, "export": versions()},
        files={},
        artifacts=tuple(artifacts),
        budget=budget or {},
    )
    (bundle / CARD).write_text(card.render(manifest), encoding="utf-8")
    if target is not None:
        (bundle / target.name).mkdir()
        facts = load_target(target.write)(bundle, manifest)
        manifest = replace(manifest, targets={target.name: facts})
    manifest = replace(manifest, files=files.list_files(bundle))
    (bundle / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
