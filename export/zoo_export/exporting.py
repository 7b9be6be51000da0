"""Export: convert in child processes, run every file, compare it with Keras, write one bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_export import card, files
from zoo_export.artifacts import make_job, verified
from zoo_export.bundle import Bundle, load_bundle
from zoo_export.converters.conversion import convert_all
from zoo_export.errors import Blame, ExportError
from zoo_export.formats import Format
from zoo_export.manifest import (
    ASSETS,
    CARD,
    MANIFEST,
    SAMPLES,
    Artifact,
    Manifest,
)
from zoo_export.request import Request, from_model, from_run
from zoo_export.source import Source, model_file, read_source, versions
from zoo_export.stored import save_samples
from zoo_registry import UsageError

TIME_LIMIT = 1800.0


@dataclass(frozen=True)
class Progress:
    """What just happened to one format.

    Args:
        format: Its name.
        state: ``"started"``, ``"verified"`` or ``"failed"``.
        artifact: Figures, once verified.
        error: The message, if it failed.
    """

    format: str
    state: str
    artifact: Artifact | None = None
    error: str | None = None


def export(
    source: Any,
    *,
    to: Sequence[str] = ("tflite", "onnx", "saved_model"),
    out: str | Path | None = None,
    force: bool = False,
    name: str | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    assets: str | Path | None = None,
    samples: Mapping[str, Any] | None = None,
    sequence_length: int | None = None,
    time_limit: float = TIME_LIMIT,
    on_event: Callable[[Progress], None] | None = None,
) -> Bundle:
    """Export a model to verified files.

    Every format is converted from a float32 inference clone in a process of its own, inspected,
    run in its own runtime at batch 1 and 3 and compared with Keras: names, shapes, values. A
    bundle is written if all of them agree, else nothing is.

    Args:
        source: A run folder, or a functional or sequential ``keras.Model``.
        to: Names of formats.
        out: Folder to write; ``bundles/<name>`` by default.
        force: Replace a bundle that is there.
        name: Name of the artifacts; the recipe's or model's by default.
        task: The head, such as ``"image-classification"``, if the source does not tell.
        labels: Class names in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        assets: Folder with the files that the steps name.
        samples: Arrays by input name to verify with, instead of drawn ones.
        sequence_length: Length of variable sequences in formats that fix it; by default the
            length that preprocessing gives, else 128 or the model's longest.
        time_limit: Seconds that one conversion may take.
        on_event: Called as each format starts, is verified, or fails.

    Returns:
        The bundle, loaded from where it was written.

    Raises:
        UsageError: A source, format or argument that cannot be used, or ``out`` is taken.
        ExportError: A format that failed or disagreed, with its operators where they are known.

    Example:
        >>> import keras, tempfile
        >>> inputs = keras.Input((4,), name="features")
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
        >>> folder = tempfile.mkdtemp()
        >>> bundle = export(model, to=["onnx"], out=f"{folder}/tiny", name="tiny")
        >>> bundle.artifacts[0].path, bundle.artifacts[0].verification.ok
        ('tiny.onnx', True)
    """
    rows = _formats(to)
    request = _request(source)
    given: dict[str, Any] = {
        "name": name,
        "task": task,
        "labels": tuple(labels) if labels is not None else None,
        "preprocessing": tuple(preprocessing) or None,
        "assets": Path(assets) if assets is not None else None,
        "rows": samples,
        "sequence_length": sequence_length,
    }
    request = replace(request, **{key: value for key, value in given.items() if value is not None})
    folder = Path(out) if out is not None else Path("bundles") / request.name
    files.check_target(folder, force=force)
    told = read_source(request)
    notify = on_event or (lambda progress: None)
    with files.work_folder(folder) as work:
        _write(told, rows, work, time_limit, notify)
        files.put_in_place(work / "bundle", folder, work)
    return load_bundle(folder)


def _formats(to: Sequence[str]) -> list[Format]:
    rows = {row.name: row for row in (zoo_registry.formats.get(word) for word in to)}
    if not rows:
        raise UsageError("There is no format to export to: name at least one (to=...).")
    return list(rows.values())


def _request(source: Any) -> Request:
    if isinstance(source, str | Path):
        return from_run(Path(source))
    return from_model(source)


def _write(
    source: Source,
    rows: Sequence[Format],
    work: Path,
    time_limit: float,
    notify: Callable[[Progress], None],
) -> None:
    bundle = work / "bundle"
    bundle.mkdir()
    artifacts, failures = [], []
    with model_file(source.request, work) as (model, modules):
        jobs = [make_job(source, row, model, modules, bundle) for row in rows]
        by_name = {row.name: row for row in rows}
        for converted in convert_all(
            jobs,
            work,
            time_limit=time_limit,
            started=lambda format_name: notify(Progress(format_name, "started")),
        ):
            row = by_name[converted.job.format]
            try:
                artifact = verified(source, row, converted)
            except ExportError as error:
                failures.append((row.name, error))
                notify(Progress(row.name, "failed", error=str(error)))
            else:
                artifacts.append(artifact)
                notify(Progress(row.name, "verified", artifact))
    order = [row.name for row in rows]
    failures.sort(key=lambda failure: order.index(failure[0]))
    artifacts.sort(key=lambda artifact: order.index(artifact.format))
    _raise(source, failures)
    _complete(source, artifacts, bundle)


def _raise(source: Source, failures: Sequence[tuple[str, ExportError]]) -> None:
    if not failures:
        return
    name = source.request.name
    messages = [f"Model '{name}' cannot be exported to {row}: {error}." for row, error in failures]
    blames: list[Blame] = [blame for _, error in failures for blame in error.blames]
    raise ExportError("\n".join([*messages, "Nothing was written."]), blames) from failures[0][1]


def _complete(source: Source, artifacts: Sequence[Artifact], bundle: Path) -> None:
    request = source.request
    (bundle / ASSETS).mkdir()
    if request.assets is not None:
        shutil.copytree(request.assets, bundle / ASSETS, dirs_exist_ok=True)
    save_samples(bundle / SAMPLES, source.cases, source.expected)
    manifest = Manifest(
        name=request.name,
        task=request.task,
        labels=request.labels,
        inputs=source.inputs,
        outputs=source.outputs,
        preprocessing=request.preprocessing,
        license=request.license,
        num_params=int(request.model.count_params()),
        provenance={**request.provenance, "export": versions()},
        files={},
        artifacts=tuple(artifacts),
    )
    (bundle / CARD).write_text(card.render(manifest), encoding="utf-8")
    complete = replace(manifest, files=files.list_files(bundle))
    (bundle / MANIFEST).write_text(complete.to_json(), encoding="utf-8")
