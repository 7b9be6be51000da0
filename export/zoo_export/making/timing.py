"""Timing of files against each other, run in turns in this process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_registry import load_target
from zoo_runtime.formats import find
from zoo_runtime.manifest import Artifact
from zoo_runtime.running import Runner, Session
from zoo_runtime.tensors import Arrays, fits

if TYPE_CHECKING:
    from zoo_export.converters.tracing import Conversion

RUNS = 200
_SECONDS = 2.0
_WARM_UP = 3


def cost(
    conversion: Conversion,
    convert: Callable[[Conversion], dict[str, Any]],
    open_session: Callable[..., Session],
) -> dict[str, Any]:
    """Convert the model for batch 1 too, and run both files in turns at batch 1.

    Args:
        conversion: How the file of any batch was made; the first row of its samples is run.
        convert: Its converter.
        open_session: What loads it.

    Returns:
        Median milliseconds of both, ``times``, how much longer that of any batch takes, and of
        the file of batch 1 what XNNPACK takes.
    """
    from zoo_export.converters.tracing import (
        with_batch,  # TensorFlow, which a parent has no need of
    )

    inputs = {name: array[:1] for name, array in conversion.first.items()}
    with tempfile.TemporaryDirectory(dir=conversion.path.parent) as folder:
        fixed = replace(
            conversion,
            inputs=with_batch(conversion.inputs, 1),
            outputs=with_batch(conversion.outputs, 1),
            path=Path(folder) / conversion.path.name,
            options=replace(conversion.options, batch_sizes=(1,)),
        )
        facts = convert(fixed)
        sessions = [open_session(path, threads=1) for path in (conversion.path, fixed.path)]
        milliseconds, static = medians([partial(session.run, inputs) for session in sessions])
    return {
        "ms": round(milliseconds, 4),
        "static_ms": round(static, 4),
        "times": round(milliseconds / static, 2),
        "static_xnnpack": facts["xnnpack"],
    }


def medians(acts: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median milliseconds of functions that are called in turns.

    Args:
        acts: Functions without arguments; all run under the same background load.
    """
    taken: list[list[float]] = [[] for _ in acts]
    ends = time.perf_counter() + _SECONDS * len(acts)
    for run in range(_WARM_UP + RUNS):
        for act, times in zip(acts, taken, strict=True):
            before = time.perf_counter()
            act()
            if run >= _WARM_UP:
                times.append((time.perf_counter() - before) * 1000)
        if run > _WARM_UP and time.perf_counter() > ends:
            break
    return [statistics.median(times) for times in taken]


def beside_float(
    folder: Path, artifacts: Sequence[Artifact], samples: Sequence[Arrays]
) -> list[Artifact]:
    """Return artifacts whose facts have the timing of a quantized file, if the float one is there.

    Args:
        folder: Where the files are.
        artifacts: All that a bundle has.
        samples: Sample batches; one row of the first that the file can take is run, on one thread.
    """
    found = {artifact.format: artifact for artifact in artifacts}
    for name, artifact in found.items():
        fmt, plain = find(name), found.get(name.partition(":")[0])
        scheme = fmt.scheme
        if scheme is None or not scheme.quantizes or plain is None or fmt.writes:
            continue
        rows = next(each for each in samples if fits(artifact.inputs, each))
        first = {name: array[:1] for name, array in rows.items()}
        quantized, floats = medians([_run(folder, file, first) for file in (artifact, plain)])
        facts = {**artifact.facts, "times_float": round(quantized / floats, 2)}
        found[name] = replace(artifact, facts=facts)
    return list(found.values())


def _run(folder: Path, artifact: Artifact, rows: Arrays) -> Callable[[], object]:
    session = load_target(find(artifact.format).runtime)(folder / artifact.path, threads=1)
    runner = Runner(session, artifact.inputs, artifact.outputs, artifact.batch_sizes)
    return partial(runner.run, rows)
