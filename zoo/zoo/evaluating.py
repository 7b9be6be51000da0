"""A run or a bundle measured on a split, each in what it runs in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_models.build import check_backend
from zoo_recipes.evaluation.measuring import Given
from zoo_recipes.evaluation.results import Evaluation
from zoo_recipes.evaluation.subjects import KERAS, Subject
from zoo_recipes.metrics.resampling import RESAMPLES
from zoo_recipes.run import INFO, Run, load_run
from zoo_registry import UsageError
from zoo_system import fetching
from zoo_system.untouched import untouched

if TYPE_CHECKING:
    from zoo_runtime.bundle import Bundle


@fetching.if_download
@untouched()
def evaluate(
    source: Run | Bundle | str | Path,
    *,
    runtime: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    other_data: bool = False,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    slice_by: str | Sequence[Any] | None = None,
    resamples: int = RESAMPLES,
    examples: str | Path | None = None,
) -> Evaluation:
    """Return what a trained model is worth on a split, with 95 % intervals.

    Args:
        source: A run, a bundle that was made from one, or the folder of either.
        runtime: Of a bundle, a format of it such as ``tflite:int8``; its first by default.
        split: In slicing syntax; the recipe's test split by default.
        data_dir: Where prepared datasets are.
        download: Whether a dataset that is not prepared may be downloaded.
        other_data: Whether data that differ from those of the run are measured all the same.
        data: Other own data than those of the run, or the same in another place.
        columns: Of ``data``, where they are not those of the run.
        slice_by: What puts the examples into groups that are measured one by one: a feature of
            the dataset, a column of own data, ``FILE:COLUMN`` of a table, or a value for each. Of
            own data the table may be these themselves, name their files, or have a row for each
            record in the order of the files; of others it has one for each example of the split.
        resamples: How often examples are drawn for the intervals.
        examples: A ``.csv`` file to write what was answered on each example to, with its record in
            own data, the worst first.

    Returns:
        All figures; nothing else is written
            (:meth:`zoo_recipes.evaluation.results.Evaluation.save` does).

    Raises:
        UsageError: No complete run and no bundle of one, no such split, format or column.
        ZooError: The data are not those that the run was trained and tested with, or a library
            for the figures of this task is not installed.
    """
    check_backend()
    from zoo_recipes.evaluation.evaluating import evaluate_subject

    return evaluate_subject(
        _subject(source, runtime),
        split=split,
        data_dir=data_dir,
        download=download,
        other_data=other_data,
        data=data,
        columns=columns,
        slice_by=slice_by,
        resamples=resamples,
        examples=examples,
    )


def is_run(source: Any) -> bool:
    """Return whether something is a run or the folder of one."""
    return isinstance(source, Run) or (
        isinstance(source, str | Path) and Path(source, INFO).is_file()
    )


def _subject(source: Run | Bundle | str | Path, runtime: str | None) -> Subject:
    from zoo_recipes.evaluation.subjects import subject_of
    from zoo_runtime.bundle import Bundle, load_bundle
    from zoo_runtime.manifest import MANIFEST

    if isinstance(source, Run) or is_run(source):
        run = source if isinstance(source, Run) else load_run(str(source))
        if runtime not in (None, KERAS):
            raise UsageError(
                f"Run '{run.path}' runs in Keras: export it (zoo export "
                f"{shlex.quote(str(run.path))} --to {runtime}) and evaluate the bundle."
            )
        return subject_of(run)
    if isinstance(source, Bundle):
        return _subject_of_bundle(source, source.path, runtime)
    if not Path(source).is_file() and not Path(source, MANIFEST).is_file():
        runs = sorted(path.parent.name for path in Path(source).glob(f"*/{INFO}"))
        if runs:
            raise UsageError(f"'{source}' holds runs ({', '.join(runs)}): name one of them.")
        raise UsageError(
            f"'{source}' is no run and no bundle: it has no {INFO} and no {MANIFEST}. "
            "`zoo train` makes runs, `zoo export` bundles."
        )
    return _subject_of_bundle(load_bundle(source), Path(source), runtime)


def _subject_of_bundle(bundle: Bundle, where: Path, runtime: str | None) -> Subject:
    manifest = bundle.manifest
    if runtime == KERAS:
        raise UsageError(
            f"Bundle '{where}' has no Keras model: evaluate the run that it was made from."
        )
    given = given_of(bundle, "export a run (zoo export RUN) and evaluate that bundle.")
    artifact = bundle.artifact(runtime)
    return Subject(
        kind="bundle",
        where=where,
        runtime=artifact.format,
        given=given,
        # It holds the bundle: what was unpacked from a zip is there as long.
        predict=lambda inputs: bundle.run(inputs, artifact.format),
        labels=tuple(manifest.labels or ()),
        dataset=manifest.provenance.get("dataset", {}),
    )


def given_of(bundle: Bundle, instead: str) -> Given:
    """Return what turns examples into the inputs of a bundle.

    Args:
        bundle: One that was made from a run.
        instead: What to do with another one.

    Raises:
        UsageError: A bundle that was not made from a run.
    """
    from zoo_recipes.recipe import as_recipe

    manifest = bundle.manifest
    recipe = manifest.provenance.get("recipe")
    if recipe is None:
        raise UsageError(
            f"Bundle '{bundle}' is of no recipe that tells how data are read: {instead}"
        )
    return Given(
        as_recipe(recipe, recipe["name"]),
        manifest.task or "",
        manifest.preprocessing,
        bundle.assets,
        [tensor.name for tensor in manifest.inputs],
    )
