"""The process, ``python -m zoo_export.making.child``, that converts, one job after another.

Converters leak memory and can crash. Whatever happens here, the parent lives and can say what
it was. The file is also run here, in its own runtime, on the samples that the parent left.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zoo_export.converters.litert.delegation import of_runtime
from zoo_export.converters.tracing import Conversion
from zoo_export.generation.dialect import PLAN, dialect_of, run_samples
from zoo_export.making.conversion import Job, LoadedJob, Result, read_job, write_result
from zoo_export.making.timing import cost
from zoo_export.reading.inference import inference_clone, named_for_scopes, perturb_weights
from zoo_export.reading.model_file import load
from zoo_export.reading.signature import name_alike
from zoo_registry import ZooError, load_target
from zoo_runtime import schema
from zoo_runtime.errors import BundleError, ExportError
from zoo_runtime.generation.checking import compare_cached
from zoo_runtime.generation.files import CACHED, GENERATION, LOGITS, Generation
from zoo_runtime.running import Runner
from zoo_runtime.tensors import MAX_BATCH, Array, Arrays, batches, joined
from zoo_system.errors import first_line, plain
from zoo_system.machine import peak_mb, reset_peak
from zoo_system.processes import free_memory

# Longer than the user's next line takes, and than a test suite's next export.
_PATIENCE_SECONDS = 60.0
# What the libraries take is a third of it: beyond, converters have leaked.
_MOST_MB = 2000.0


def serve() -> None:
    """Carry out the jobs whose folders, as JSON, are the lines of standard input."""
    import keras

    patience = None  # its parent may have a large model to read before the first job
    while select.select([sys.stdin], [], [], patience)[0]:
        patience = _PATIENCE_SECONDS
        line = sys.stdin.readline()
        if not line:
            return
        folder = Path(json.loads(line))
        reset_peak()
        main(folder)
        keras.backend.clear_session()
        free_memory()
        if peak_mb() > _MOST_MB:
            return


def main(folder: Path) -> None:
    """Carry out the job in ``folder`` and leave its result there."""
    loaded = read_job(folder)
    outputs: tuple[dict[str, Array], ...] = ()
    try:
        facts = _convert(loaded)
        free_memory()  # the runtime needs as much as the model just had
        trial = loaded.trial()
        outputs = _run_any(loaded.job, trial.samples)
        result = Result(facts={**facts, **_cached(loaded.job, trial.samples, facts, outputs)})
        if trial.perturbed:
            outputs += _run_perturbed(loaded, trial.samples)
    except ExportError as error:
        operators = tuple((b.operator, b.layer) for b in error.blames)
        result = Result(error=str(error), operators=operators, traceback=traceback.format_exc())
    except MemoryError as error:
        cause = f"it ran out of memory: {error}" if str(error) else "it ran out of memory"
        result = Result(error=cause, traceback=traceback.format_exc())
    except Exception as error:  # the parent reports what the converter or runtime raised
        result = Result(error=of_converter(error), traceback=traceback.format_exc())
    try:
        write_result(folder, replace(result, peak_mb=peak_mb()), outputs)
    except OSError as error:
        # Where the disk is full nothing can be written down: the exit code says it.
        sys.exit(error.errno if error.errno == errno.ENOSPC else 1)


def of_converter(error: Exception) -> str:
    r"""Return what a message says of an exception that is not ours.

    Example:
        >>> of_converter(ValueError("no such function\nin the graph"))
        'the converter failed with ValueError: no such function [...]'
    """
    message = first_line(plain(str(error)))
    if "div.cc" in message and "zero_point" in message:
        return (
            "it divides by numbers that int8 rounds to zero, as the lengths of vectors of which "
            "some are much longer than others: divide outside of the model, or take float16"
        )
    if isinstance(error, ZooError):
        return message.rstrip(".")
    return f"the converter failed with {type(error).__name__}" + (f": {message}" if message else "")


def _run_perturbed(loaded: LoadedJob, samples: Sequence[Arrays]) -> tuple[dict[str, Array], ...]:
    """Return what a file of the same model with other weights gives for the samples."""
    path = Path(loaded.job.path)
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as folder:
        copy = replace(loaded.job, path=str(Path(folder) / path.name), dynamic=False)
        _convert(replace(loaded, job=copy), change=perturb_weights)
        free_memory()
        return _run(copy, samples)


def _convert(read: LoadedJob, change: Callable[[Any], None] | None = None) -> dict[str, object]:
    from zoo_models.quantization import is_quantization_aware

    job = read.job
    for module in job.modules:
        importlib.import_module(module)
    loaded = load(Path(job.model))
    for layer in loaded._flatten_layers():
        layer.name = named_for_scopes(layer.name)
    model = inference_clone(loaded)
    for made_anew in (loaded, model):
        name_alike(made_anew, [t.name for t in job.inputs], [t.name for t in job.outputs])
    if change is not None:
        change(model)
    conversion = Conversion(
        model,
        job.inputs,
        job.outputs,
        Path(job.path),
        calibration=read.calibration,
        first=read.first,
        about=job.about,
        options=job.options,
        trained_for_int8=loaded if is_quantization_aware(loaded) and change is None else None,
    )
    convert = load_target(job.converter)
    facts: dict[str, object]
    if job.generating and change is None:
        facts = load_target(job.generating)(conversion, convert)
    else:
        facts = convert(conversion)
    if job.dynamic:
        facts["dynamic_batch"] = cost(conversion, convert, load_target(job.runtime))
    return facts


def _run_any(job: Job, samples: Sequence[Arrays]) -> tuple[dict[str, Array], ...]:
    """Return what the file gives for each sample batch, in its own runtime."""
    if not job.dialect:
        return _run(job, samples)
    dialect, wanted = dialect_of(job.dialect), job.about[PLAN]["conversation"]
    return tuple(run_samples(dialect, Path(job.path), each, wanted) for each in samples)


def _run(job: Job, samples: Sequence[Arrays]) -> tuple[dict[str, Array], ...]:
    session = load_target(job.runtime)(Path(job.path), threads=None)
    names = [tensor.name for tensor in job.inputs]
    runner = Runner(session, job.inputs, job.outputs, job.options.batch_sizes, nan_inputs=names)
    try:
        return tuple(
            joined([runner.run(part) for part in batches(sample, MAX_BATCH)]) for sample in samples
        )
    except BundleError as error:
        raise of_runtime(str(error)) or error from error


def _cached(
    job: Job, samples: Sequence[Arrays], facts: Mapping[str, Any], outputs: Sequence[Arrays]
) -> dict[str, Any]:
    """Return how the functions with a cache compare with the whole model in the same file."""
    if GENERATION not in facts:
        return {}
    about = schema.read(Generation, facts[GENERATION], GENERATION)
    decoders = load_target(job.decoder)(Path(job.path), about, threads=None)
    given = {id(sample): found[LOGITS] for sample, found in zip(samples, outputs, strict=True)}

    def whole(sample: Arrays) -> Array:
        return given[id(sample)]

    found = compare_cached(decoders, about, samples, whole, job.tolerance)
    return {CACHED: [asdict(row) for row in found]}


if __name__ == "__main__":
    # With oneDNN, TensorFlow keeps for itself whatever memory it ever had.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    serve()
