"""``--target microcontroller``: C++ sources for TensorFlow Lite Micro, run and compared first."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making.conversion import save_batches
from zoo_export.targets import c_sources, tflm
from zoo_runtime import schema
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.manifest import SAMPLES, Artifact, Manifest
from zoo_runtime.running.sessions import recorded
from zoo_runtime.saved_samples import load_samples
from zoo_runtime.tensors import Array
from zoo_system import processes

FORMAT = "tflite:int8-io"
_ROWS = 32
_CHILD = "zoo_export.targets.tflm"
# How long the interpreter may take.
_MOST_SECONDS = 1800.0
_MISSING = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
# LiteRT's reference kernel of this operator rounds once, in float; TFLM's rounds twice, as both
# do everywhere else: one step of difference is in the runtimes, not in the file (LiteRT#8567).
_STEPS_ALLOWED = {"FULLY_CONNECTED": 1}


def write(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    """Write a C array, headers and a README, once the file has run in TensorFlow Lite Micro.

    Every operator that gets the same bits in both interpreters must give the same bits, on the
    saved samples and on drawn rows.

    Args:
        bundle: The bundle's folder, with a folder ``microcontroller`` in it.
        manifest: Its manifest so far, with an artifact ``tflite:int8-io``.

    Returns:
        ``arena_bytes``, ``flash_bytes``, ``operators`` and what was compared.

    Raises:
        ExportError: TensorFlow Lite Micro lacks an operator, or computes something else.
    """
    artifact = next(row for row in manifest.artifacts if row.format == FORMAT)
    try:
        findings = _run(bundle / artifact.path, _rows(bundle, manifest, artifact), artifact)
        _check(findings, artifact)
    except ExportError as error:
        raise ExportError(
            f"Model '{manifest.name}' cannot be made ready for a microcontroller: {error}.\n"
            "Nothing was written.",
            error.blames,
        ) from error
    facts = {
        "arena_bytes": findings.arena_bytes,
        "flash_bytes": artifact.bytes,
        "operators": sorted(artifact.facts["operators"]),
        "interpreter": f"tflite-micro {version('tflite-micro')}",
        "compared_values": sum(findings.compared.values()),
        "one_step_apart": sum(findings.different.values()),
    }
    model = c_sources.Model(manifest, artifact, findings.inputs, findings.outputs, facts)
    content = (bundle / artifact.path).read_bytes()
    for name, text in c_sources.render(model, content).items():
        (bundle / "microcontroller" / name).write_text(text, encoding="utf-8")
    return facts


def _rows(bundle: Path, manifest: Manifest, artifact: Artifact) -> list[dict[str, Array]]:
    """Return the saved samples as the file takes them, and drawn integers to fill up."""
    affine = recorded(artifact.facts)
    saved = [
        {
            name: affine[name].quantize(array[i : i + 1]) if name in affine else array[i : i + 1]
            for name, array in case.inputs.items()
        }
        for case in load_samples(bundle / SAMPLES, manifest.inputs)
        for i in range(len(next(iter(case.inputs.values()))))
        if _is_whole(case.inputs, artifact)
    ]
    return [*saved, *_drawn(saved, _ROWS - len(saved))]


def _is_whole(inputs: Any, artifact: Artifact) -> bool:
    return all(inputs[t.name].shape[1:] == t.shape[1:] for t in artifact.inputs)


def _drawn(saved: Sequence[dict[str, Array]], count: int) -> Iterator[dict[str, Array]]:
    generator = np.random.default_rng(0)
    for index in range(count):
        # Token ids cannot be drawn at random: those of a saved row stay.
        yield {
            name: generator.integers(-128, 128, array.shape, np.int8)
            if array.dtype == np.int8
            else array
            for name, array in saved[index % len(saved)].items()
        }


def _run(model: Path, rows: Sequence[dict[str, Array]], artifact: Artifact) -> tflm.Findings:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_batches(folder / tflm.INPUTS, tuple(rows))
        words = (str(model.resolve()), name)
        try:
            done = processes.run(_CHILD, *words, time_limit=_MOST_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"TensorFlow Lite Micro took longer than {_MOST_SECONDS:g} s to run the file"
            ) from error
        if done.returncode:
            raise _refused(done, artifact)
        data = json.loads((folder / tflm.FINDINGS).read_text(encoding="utf-8"))
        return schema.read(tflm.Findings, data, tflm.FINDINGS)


def _refused(done: subprocess.CompletedProcess[str], artifact: Artifact) -> ExportError:
    missing = sorted(set(_MISSING.findall(done.stderr)))
    if missing:
        blames = [
            Blame(operator, layer)
            for operator in missing
            for layer in artifact.facts["layers"].get(operator) or [None]
        ]
        return ExportError(
            f"TensorFlow Lite Micro has no operator for {', '.join(map(str, blames))}: build the "
            "model with other layers or activations",
            blames,
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == tflm.REFUSED:
        return ExportError(f"TensorFlow Lite Micro refuses the file: {'; '.join(lines[:4])}")
    cause = f": {'; '.join(lines[-4:])}" if lines else ""
    return ExportError(f"TensorFlow Lite Micro ended with code {done.returncode}{cause}")


def _check(findings: tflm.Findings, artifact: Artifact) -> None:
    if findings.unlike_in_arena:
        raise ExportError(
            f"TensorFlow Lite Micro gives other outputs in {findings.arena_bytes:,} bytes, the "
            f"smallest arena that it takes: {findings.unlike_in_arena:,} values"
        )
    for operator, compared in findings.compared.items():
        blame = Blame(operator, ", ".join(artifact.facts["layers"].get(operator, ())) or None)
        if not compared:
            raise ExportError(f"{blame} never got the same bits in both interpreters")
        if findings.largest[operator] > _STEPS_ALLOWED.get(operator, 0):
            raise ExportError(
                f"{blame} gives other bits in TensorFlow Lite Micro than in LiteRT: "
                f"{findings.different[operator]:,} of {compared:,} values, by up to "
                f"{findings.largest[operator]} steps",
                [blame],
            )
