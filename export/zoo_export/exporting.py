"""Export: convert in child processes, run every file, compare it with Keras, write one bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import zoo_registry
from zoo_export import targets
from zoo_export.making import cache, children
from zoo_export.making.assembly import Progress, complete, convert
from zoo_export.making.timing import beside_float
from zoo_export.options import ExportOptions
from zoo_export.reading.keras_files import read_model
from zoo_export.reading.request import Request, from_model, from_run, is_file, name_of
from zoo_export.reading.signature import signature_of
from zoo_export.reading.source import Source, read_source
from zoo_registry import UsageError, did_you_mean
from zoo_registry.meanings import tasks_of
from zoo_registry.specs import is_regression
from zoo_runtime import files
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.contents import mark_of_artifact
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.formats import FLOAT32, FORMATS, Format, find
from zoo_runtime.generation.files import GENERATING
from zoo_runtime.tensors import Array
from zoo_runtime.tried import remember
from zoo_system.untouched import untouched

TIME_LIMIT = 1800.0


@untouched()
@children.ended_unless_used()
def export(
    source: Any,
    *,
    to: str | Sequence[str] | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    name: str | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    assets: str | Path | None = None,
    samples: Any = None,
    calibration: Any = None,
    sequence_length: int | None = None,
    image_size: int | Sequence[int] | None = None,
    train_batch: int | None = None,
    max_length: int | None = None,
    prefill_lengths: Sequence[int] | None = None,
    cache_dtype: str | None = None,
    batch_sizes: Sequence[int] | str | None = None,
    rnn: str | None = None,
    optimize: str | None = None,
    time_limit: float = TIME_LIMIT,
    keep_going: bool = False,
    cached: bool = False,
    on_event: Callable[[Progress], None] | None = None,
) -> Bundle:
    """Export a model to verified files.

    Every format is converted from a float32 inference clone in another process, inspected, run in
    its own runtime at batch 1 and 3, and in two sizes where lengths or sides vary, and compared
    with Keras: names, shapes, values. A bundle is written if all of them agree, else nothing is,
    unless ``keep_going``. The processes wait for a minute: the next export is several times as
    fast.

    Args:
        source: A run or its folder, or a ``keras.Model``: functional, sequential, or of a class of
            its own that was called once, or whose inputs ``samples`` give. What a stateful model
            keeps becomes inputs ``LAYER_state_0`` and outputs ``next_LAYER_state_0``. Also the
            path of what ``model.save`` wrote, ``.keras`` or ``.h5``, of Keras 2 too.
        to: A format, or several, with ``:SCHEME`` behind where it is to be quantized, such as
            ``"tflite:int8"``; by default those that ``target`` needs, else all that are built in.
        target: What to make the bundle ready for, such as ``"browser"``.
        out: Folder to write; ``bundles/<name>`` by default.
        force: Replace a bundle that is there.
        name: Name of the artifacts; the recipe's, model's or file's by default.
        task: The head, such as ``"image-classification"``, if the source does not have it.
        labels: Class names in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        assets: Folder with the files that the steps name.
        samples: Arrays by input name to verify with, beside random ones; one array for a model of
            one input.
        calibration: Typical inputs by name, rows first, for schemes that measure the ranges of
            activations; of 16 rows or more, one of four is held out to verify the files, unless
            there are as many ``samples``. A run brings its own.
        sequence_length: Length of variable sequences in formats that fix it; by default the
            length that preprocessing gives, else 128 or the model's longest.
        image_size: Height and width of images, or one number for both, in formats that fix them,
            where the model leaves them open; by default what preprocessing makes, else 64 x 96.
        train_batch: Rows that one step of training takes in ``tflite:train``; 8 by default.
        max_length: Positions of the cache in a LiteRT or LiteRT-LM file of a language model, and
            the longest text of onnxruntime-genai; by default those of the model, at most 1024.
        prefill_lengths: Numbers of tokens that a LiteRT file reads at once, a signature
            ``prefill_N`` each; 16, and 128 for long texts, by default.
        cache_dtype: What keys and values are kept in by a language model: ``"float32"``, by
            default, ``"float16"``, or ``"int8"`` with a scale for each token and head.
        batch_sizes: Batches that a LiteRT file has a signature for, such as ``[1, 8]``, or
            ``"dynamic"`` for any batch, which is slower; 1 by default. Other formats take any
            batch and are only verified at these.
        rnn: How LiteRT files hold recurrent layers: ``"loop"``, or ``"unroll"`` for unrolled
            steps; by default, what the scheme and the number of steps ask for.
        optimize: ``"onnxruntime"`` keeps in the float32 ONNX file what ONNX Runtime makes of the
            graph, with operators of its own that no other runtime has; by default all are
            standard ones.
        time_limit: Seconds that one conversion may take.
        keep_going: Write a bundle of the formats that succeeded although another failed; what
            failed is passed to ``on_event`` and leaves nothing.
        cached: Take the bundle of an earlier export of the same model, with the same options, code
            and versions, if there is one, and keep this one.
        on_event: Called as each format starts, is verified, or fails.

    Returns:
        The bundle, loaded from where it was written.

    Raises:
        UsageError: A source, format or argument that cannot be used, or ``out`` is taken.
        ExportError: A format, with ``keep_going`` every format, failed or disagreed; with its
            operators where they are known.

    Example:
        >>> import keras, tempfile
        >>> inputs = keras.Input((4,), name="features")
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
        >>> folder = tempfile.mkdtemp()
        >>> bundle = export(model, to=["onnx"], out=f"{folder}/tiny", name="tiny")
        >>> bundle.artifacts[0].path, bundle.artifacts[0].verification.ok
        ('tiny.onnx', True)
    """
    chosen_target = targets.find(target) if target is not None else None
    if chosen_target is not None:
        targets.check_installed(chosen_target)
    formats = choose_formats(to, target)
    options = ExportOptions.of(
        {
            "sequence_length": sequence_length,
            "image_size": image_size,
            "batch_sizes": batch_sizes,
            "rnn": rnn,
            "optimize": optimize,
            "train_batch": train_batch,
            "max_length": max_length,
            "prefill_lengths": prefill_lengths,
            "cache_dtype": cache_dtype,
        },
        formats,
        chosen_target,
    )
    if task is not None:
        _check_task(task)
    if isinstance(source, os.PathLike):  # a run too
        source = Path(source)
    if is_file(source):
        children.begin()
        source, name = read_model(Path(source)), name or name_of(source)
    described: dict[str, Any] = {
        "name": name,
        "task": task,
        "labels": tuple(labels) if labels is not None else None,
        "preprocessing": tuple(preprocessing) or None,
        "assets": Path(assets) if assets is not None else None,
        "rows": _as_arrays(samples, "samples", source),
        "calibration": _as_arrays(calibration, "calibration", source),
    }
    known = {key: value for key, value in described.items() if value is not None}
    folder = Path(out) if out is not None else default_folder(source, name)
    files.check_target(folder, force=force)
    asked = {**known, **asdict(options), "formats": [fmt.name for fmt in formats], "target": target}
    key = cache.key_of(source, asked) if cached else None
    notify = on_event or (lambda progress: None)
    with files.work_folder(folder) as work:
        kept = cache.take(key, work / "bundle") if key is not None else None
        for artifact in kept.artifacts if kept is not None else ():
            notify(Progress(artifact.format, "cached", artifact))
        if kept is None:
            children.begin()
            request = replace(_request(source, known), options=options)
            request = _of_length(_with_tokenizer(request, work))
            check_schemes(formats, request)
            _check_outside(request.assets, folder)
            options.check_model(request.model)
            failures = _produce(
                request,
                formats,
                work,
                target=chosen_target,
                # A target needs all of its formats.
                whole=not keep_going or chosen_target is not None,
                time_limit=time_limit,
                notify=notify,
            )
            if key is not None and not failures:
                cache.keep(key, work / "bundle")
        bundle = put_in_place(work, folder, force=force)
    for artifact in bundle.artifacts:
        remember(mark_of_artifact(bundle, artifact))
    return bundle


def _check_task(task: str) -> None:
    """Refuse a misspelt task, with which nobody would know what the outputs mean.

    Raises:
        UsageError: A word like one of those that models have; any other is a task of your own.
    """
    known = tasks_of(zoo_registry.models)
    if task not in known and not is_regression(task) and (hint := did_you_mean(task, known)):
        raise UsageError(f"There is no task '{task}' (task=...).{hint}")


def _check_outside(assets: Path | None, folder: Path) -> None:
    """Refuse to write a bundle into what is copied into it."""
    if assets is not None and assets.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(
            f"'{folder}' lies in the assets '{assets}', which the bundle is to hold: choose a "
            "folder outside of them (out=)."
        )


def _with_tokenizer(request: Request, work: Path) -> Request:
    from zoo_export.reading.tokenizers import with_tokenizer  # Keras, where it is needed

    return with_tokenizer(request, work)


def _of_length(request: Request) -> Request:
    """Return what is known of a model whose texts are to have a length of the caller's."""
    length = request.options.sequence_length
    if length is None or request.is_run:
        return request
    steps = tuple(
        {**step, "length": length} if step["step"] == "tokenize" else step
        for step in request.preprocessing
    )
    return replace(request, preprocessing=steps)


def default_folder(source: Any, name: str | None = None) -> Path:
    """Return where a bundle is written if no folder is named.

    Args:
        source: A run folder, a model or a file of one.
        name: Name of the artifacts; the recipe's, model's or file's by default.

    Raises:
        UsageError: A source that is neither.
    """
    return Path("bundles") / (name or name_of(source))


def choose_formats(to: str | Sequence[str] | None, target: str | None = None) -> list[Format]:
    """Return the formats that are meant: those named, and those that a target needs.

    Args:
        to: ``FORMAT[:SCHEME]``, one or several; all that are built in without it and a target.
        target: Name of what to make a bundle ready for.

    Raises:
        UsageError: There is no such format, scheme or target, or none is named.

    Example:
        >>> [row.name for row in choose_formats(["litert:int8", "onnx"])]
        ['tflite:int8', 'onnx']
        >>> [row.name for row in choose_formats("onnx")]
        ['onnx']
    """
    to = [to] if isinstance(to, str) else to
    needed = targets.find(target).formats if target is not None else ()
    named = tuple(FORMATS) if to is None and not needed else (*(to or ()), *needed)
    formats = {fmt.name: fmt for fmt in map(find, named)}
    if not formats:
        raise UsageError("There is no format to export to: name at least one (to=...).")
    return list(formats.values())


def put_in_place(work: Path, folder: Path, *, force: bool) -> Bundle:
    """Return the bundle in ``work``, checked, under its final name.

    Args:
        work: Holds the finished folder ``bundle``.
        folder: Its final name.
        force: Whether a bundle that is there is replaced.

    Raises:
        BundleError: It could not be loaded; it is not put in place.
        UsageError: The folder has been taken since.
    """
    bundle = load_bundle(work / "bundle", trusted=True)
    files.put_in_place(bundle.path, folder, work, force=force)
    return replace(bundle, path=folder)


def check_schemes(formats: Sequence[Format], request: Request) -> None:
    """Refuse schemes and options for other models, and typical inputs that are not there.

    Raises:
        UsageError: There is one.
    """
    dtype = request.options.cache_dtype
    if dtype != FLOAT32 and request.task not in GENERATING:
        raise UsageError(
            f"cache_dtype='{dtype}' is for models that generate texts ({', '.join(GENERATING)}), "
            f"and '{request.name}' is not one: leave it out."
        )
    for fmt in formats:
        scheme = fmt.scheme
        if scheme is not None and scheme.tasks and request.task not in scheme.tasks:
            known = f"the task of '{request.name}' is '{request.task}'"
            raise UsageError(
                f"{fmt.name} is for models that generate texts ({', '.join(scheme.tasks)}), which "
                f"read all weights for each token; {known if request.task else 'this one has none'}"
                f". Use {fmt.name.partition(':')[0]}:dynamic-int8."
            )
        if scheme is not None and scheme.calibrated and request.calibration is None:
            raise UsageError(
                f"{fmt.name} measures the ranges of activations on real inputs, and "
                f"'{request.name}' has none: export a run that this version trained, or give "
                "typical inputs (calibration={name: array})."
            )


def _as_arrays(rows: Any, argument: str, source: Any) -> dict[str, Array] | None:
    """Return arrays by input name; an array alone is that of a model's only input."""
    if rows is None:
        return None
    if not isinstance(rows, Mapping):
        names = list(signature_of(source).inputs) if getattr(source, "inputs", None) else []
        if len(names) != 1 or not hasattr(rows, "__array__"):
            keys = ", ".join(f"'{name}': ..." for name in names) or "name: array"
            raise UsageError(
                f"{argument} is a {type(rows).__name__}: give arrays by input name, such as "
                f"{argument}={{{keys}}}."
            )
        rows = {names[0]: rows}
    return dict(_flat(rows))


def _flat(rows: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Array]]:
    for name, row in rows.items():
        if isinstance(row, Mapping):
            yield from _flat(row, f"{inside}{name}_")
        else:
            # Tensors too: the cache key is made of the bytes of arrays.
            yield f"{inside}{name}", np.asarray(row)


def _request(source: Any, known: Mapping[str, Any]) -> Request:
    if isinstance(source, str | Path):
        return replace(from_run(Path(source)), **known)
    return replace(from_model(source, known.get("rows")), **known)


def _produce(
    request: Request,
    formats: Sequence[Format],
    work: Path,
    *,
    target: targets.Target | None,
    whole: bool,
    time_limit: float,
    notify: Callable[[Progress], None],
) -> list[tuple[str, ExportError]]:
    source = read_source(request)
    artifacts, failures = convert(source, formats, work, time_limit, notify)
    if failures and (whole or not artifacts):
        _raise(source, failures)
    artifacts = beside_float(
        work / "bundle", artifacts, [batch.inputs for batch in source.samples.batches]
    )
    complete(source, artifacts, work / "bundle", target)
    return failures


def _raise(source: Source, failures: Sequence[tuple[str, ExportError]]) -> NoReturn:
    name = source.request.name
    messages = [f"Model '{name}' cannot be exported to {fmt}: {error}." for fmt, error in failures]
    blames: list[Blame] = [blame for _, error in failures for blame in error.blames]
    raise ExportError("\n".join([*messages, "Nothing was written."]), blames) from failures[0][1]
