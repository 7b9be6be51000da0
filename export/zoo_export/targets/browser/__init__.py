"""A folder that any web server can serve: the ONNX file, its runtime and a page that runs it."""

from __future__ import annotations

import importlib.resources
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export import card
from zoo_export.targets.browser import texts
from zoo_runtime.errors import ExportError
from zoo_runtime.manifest import ASSETS, SAMPLES, Artifact, Manifest
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ArrayStep, ImageStep, Step, TokenizeStep
from zoo_runtime.saved_samples import load_samples
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_system import fetching

FOLDER = "browser"
FORMAT = "onnx"
RUNTIME = fetching.Package(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    npm=True,
    files=(
        "dist/ort.wasm.bundle.min.mjs",
        "dist/ort-wasm-simd-threaded.wasm",
    ),
)
_RUNTIME_NAME = f"{RUNTIME.name} {RUNTIME.version}"
# What the page can make of numbers; see model.js.
_DTYPES = {"float32", "int32", "int64", "bool", "uint8"}
_MAX_SAMPLE = 4096
# Above this mean the paper is taken to be white: an image of strokes is mostly paper.
_BRIGHT = 160
_INK = 0.25


def write(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    """Fill the bundle's folder ``browser`` and return plain facts about it.

    Args:
        bundle: The bundle's folder, complete but for its manifest.
        manifest: Its manifest to be.

    Raises:
        ExportError: A page cannot run this model, or not with the same outputs.
        ZooError: The runtime cannot be fetched.
    """
    folder = bundle / FOLDER
    artifact = next(a for a in manifest.artifacts if a.format == FORMAT)
    steps = [as_step(step) for step in manifest.preprocessing]
    model = _model(bundle, manifest, artifact, steps)
    page = importlib.resources.files(__name__) / "page"
    for file in page.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    shutil.copy(bundle / artifact.path, folder / artifact.path)
    if "generation" in model:
        shutil.copy(bundle / model["generation"]["file"], folder)
    for step in steps:
        if isinstance(step, TokenizeStep):
            shutil.copy(bundle / ASSETS / step.tokenizer, folder / "tokenizer.json")
    _copy_runtime(folder)
    text = json.dumps(model, ensure_ascii=False, indent=1)
    (folder / "model.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_readme(manifest), encoding="utf-8")
    return {
        "runtime": _RUNTIME_NAME,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
    }


def _copy_runtime(folder: Path) -> None:
    package = fetching.unpacked(RUNTIME)
    for name in RUNTIME.files:
        shutil.copy(package / name, folder)
    # The npm package carries no licence text; the wheel of the same project does.
    wheel = importlib.resources.files("onnxruntime")
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        (folder / f"{RUNTIME.name}.{name}").write_bytes((wheel / name).read_bytes())


def _model(
    bundle: Path, manifest: Manifest, artifact: Artifact, steps: list[Step]
) -> dict[str, Any]:
    # What the page reads: the part of the manifest that it needs, with what only Python knows.
    _check(bundle, manifest, artifact)
    kind = _kind(manifest, steps)
    samples = [saved.inputs for saved in load_samples(bundle / SAMPLES, manifest.inputs)]
    model: dict[str, Any] = {
        "name": manifest.name,
        "summary": _summary(manifest, artifact),
        "task": manifest.task,
        "labels": manifest.labels,
        "kind": kind,
        "file": artifact.path,
        "inputs": [asdict(tensor) for tensor in artifact.inputs],
        "preprocessing": [
            {**step, **asdict(known)}
            for step, known in zip(manifest.preprocessing, steps, strict=True)
        ],
        "facts": [*card.facts(manifest), *card.origin(manifest), ("Runtime", _RUNTIME_NAME)],
    }
    if kind == "image":
        image = next(step for step in steps if isinstance(step, ImageStep))
        model["drawing"] = drawing(_images(image, samples))
    elif kind == "text":
        model |= texts.facts(bundle, manifest, artifact, steps)
    else:
        model["fields"] = _fields(artifact.inputs, steps, samples[0])
    return model


def _check(bundle: Path, manifest: Manifest, artifact: Artifact) -> None:
    if (bundle / f"{artifact.path}.data").exists():
        raise ExportError(
            f"'{artifact.path}' keeps its weights in files of their own, because they are over "
            "2 GB: that is more than a browser can hold. Export a smaller model."
        )
    if manifest.task == "question-answering":
        raise ExportError(
            f"The page takes one text; '{manifest.name}' answers a question about another."
        )
    if manifest.task == "object-detection":
        raise ExportError(f"The page draws no boxes, and '{manifest.name}' detects objects.")
    for tensor in artifact.inputs:
        if tensor.dtype not in _DTYPES:
            raise ExportError(
                f"Input {tensor} cannot be made in a browser: the page knows "
                f"{', '.join(sorted(_DTYPES))}."
            )


def _kind(manifest: Manifest, steps: list[Step]) -> str:
    names: Mapping[type[Step], str] = {
        ImageStep: "image",
        TokenizeStep: "text",
        ArrayStep: "numbers",
    }
    raw = [s for s in steps if not (isinstance(s, ArrayStep) and s.source is not None)]
    kinds = {names.get(type(step), "other") for step in raw} or {"numbers"}
    if "other" in kinds or len(kinds) > 1 or (len(raw) > 1 and "numbers" not in kinds):
        names_of_steps = ", ".join(str(step["step"]) for step in manifest.preprocessing)
        raise ExportError(
            f"The page takes one image, one text, or numbers; '{manifest.name}' is prepared by the "
            f"steps {names_of_steps}."
        )
    return kinds.pop()


def _summary(manifest: Manifest, artifact: Artifact) -> str:
    task = (manifest.task or "model").replace("-lm", "-language-model").replace("-", " ")
    return f"{task[0].upper()}{task[1:]}, {artifact.bytes / 1e6:,.1f} MB of ONNX"


def _images(step: ImageStep, samples: Sequence[Arrays]) -> list[Array]:
    # They may have been flattened or scaled on their way into the model.
    shape = (*step.size, step.channels)
    rows = [row for sample in samples for array in sample.values() for row in array]
    return [row.reshape(shape) for row in rows if row.size == math.prod(shape)]


def _fields(inputs: tuple[Tensor, ...], steps: list[Step], rows: Arrays) -> list[dict[str, Any]]:
    arrays = [step for step in steps if isinstance(step, ArrayStep) and step.source is None]
    if arrays:
        return [{"name": s.input, "dtype": s.dtype, "shape": s.shape, "sample": []} for s in arrays]
    return [
        {
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": tensor.shape[1:],
            "sample": _sample(rows, tensor),
        }
        for tensor in inputs
    ]


def _sample(rows: Arrays, tensor: Tensor) -> list[float]:
    first = rows[tensor.name][0].ravel()
    return [float(f"{value:.6g}") for value in first] if first.size <= _MAX_SAMPLE else []


def _readme(manifest: Manifest) -> str:
    return f"""# {manifest.name} in a browser

These files are all that is needed; nothing is fetched from elsewhere. Any web server can serve
them:

```sh
python -m http.server --directory . 8000
```

Then open <http://localhost:8000>. Opening `index.html` as a file does not work: browsers load
neither modules nor WebAssembly from files. To publish the page, copy the folder to any static host;
it should serve `.wasm` as `application/wasm` and `.mjs` as `text/javascript`.

`ort.wasm.bundle.min.mjs` and `ort-wasm-simd-threaded.wasm` are {_RUNTIME_NAME},
unchanged, under the licence beside them.
"""


def drawing(images: Sequence[Array]) -> dict[str, Any]:
    """Return the colours of ink and paper, and the fraction of the frame that the ink spans.

    Without samples it is white on black, of any size.

    Args:
        images: Samples of the model's input, (height, width, channels), of any scale.

    Example:
        >>> digit = np.zeros((8, 8, 1))
        >>> digit[1:7, 3:5] = 255
        >>> drawing([digit])
        {'whiteOnBlack': True, 'span': 0.75}
    """
    if not images:
        return {"whiteOnBlack": True, "span": None}
    grey = [np.asarray(image, np.float64).mean(axis=-1) for image in images]
    white_on_black = float(np.mean([image.mean() for image in grey])) < _BRIGHT
    spans = [_span(image if white_on_black else image.max() - image) for image in grey]
    return {"whiteOnBlack": white_on_black, "span": round(float(np.median(spans)), 3)}


def _span(ink: Array) -> float:
    marked = ink > _INK * ink.max()
    return max(_extent(marked.any(axis=axis)) for axis in (0, 1))


def _extent(line: Array) -> float:
    at = np.flatnonzero(line)
    return float((at[-1] - at[0] + 1) / len(line)) if len(at) else 1.0
