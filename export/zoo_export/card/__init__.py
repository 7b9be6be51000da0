"""The README.md of a bundle: what it is, how it was verified, programs that run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_export.card import programs
from zoo_export.card.notes import generation_notes, notes, verification_notes
from zoo_export.card.program_file import ProgramFile, in_file, program_file
from zoo_registry.specs import is_regression
from zoo_runtime.formats import find
from zoo_runtime.manifest import Artifact, Manifest
from zoo_runtime.optional import source, with_extras
from zoo_runtime.preprocessing_checks import NEEDS
from zoo_runtime.running.sessions import recorded
from zoo_runtime.tensors import Tensor

_MAX_LABELS = 30
Writer = Callable[[ProgramFile], str]


@dataclass(frozen=True)
class Language:
    """How one language runs the formats that it can.

    Args:
        name: As in a heading.
        fence: As in a Markdown fence.
        types: NumPy dtypes that it has a type for.
        writers: By format, the best first; each returns a program.
        all_formats: Whether a program for each format is of use, or one is enough.
    """

    name: str
    fence: str
    types: Mapping[str, str]
    writers: Mapping[str, Writer]
    all_formats: bool = False


@dataclass(frozen=True)
class Snippet:
    """One program.

    Args:
        language: Name of its language.
        format: The format that it runs.
        fence: As in a Markdown fence.
        code: The program.
    """

    language: str
    format: str
    fence: str
    code: str


LANGUAGES = (
    Language("Python", "python", programs.PYTHON_TYPES, programs.PYTHON, all_formats=True),
    Language("JavaScript", "js", programs.JAVASCRIPT_TYPES, programs.JAVASCRIPT),
    Language("Kotlin", "kotlin", programs.KOTLIN_TYPES, programs.KOTLIN),
    Language("Swift", "swift", programs.SWIFT_TYPES, programs.SWIFT),
    Language("C++", "cpp", programs.CPP_TYPES, programs.CPP),
)


def render(manifest: Manifest) -> str:
    """Return the card of a bundle as Markdown."""
    sections = [
        _title(manifest),
        f"## Files\n\n{_artifact_table(manifest.artifacts)}\n\n{_how_verified(manifest)}",
        _notes(manifest.artifacts),
        f"## Inputs and outputs\n\n{_tensor_table(manifest)}",
        _preprocessing(manifest),
        _python(manifest),
        _programs(manifest),
        _provenance(manifest),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a Markdown table whose columns line up also as plain text.

    Args:
        header: Names of the columns.
        rows: Cells.
        right: Indices of the columns that are set to the right.

    Example:
        >>> print(table(["file", "KB"], [["a.onnx", "7"], ["b.tflite", "12"]], right=[1]))
        | file     | KB |
        | :------- | -: |
        | a.onnx   |  7 |
        | b.tflite | 12 |
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(2 if i in right else 3, *map(len, c)) for i, c in enumerate(columns)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    dashes = ["-" * (width - 1) for width in widths]
    rule = [f"{dash}:" if i in right else f":{dash}" for i, dash in enumerate(dashes)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def facts(manifest: Manifest) -> list[tuple[str, str]]:
    """Return what is known about a model in a word or two each: name and value."""
    known: list[tuple[str, Any]] = [
        ("Task", manifest.task),
        ("Model", manifest.provenance.get("model")),
        ("Parameters", f"{manifest.num_params:,}" if manifest.num_params is not None else None),
        ("Licence", manifest.license or "not stated"),
        ("Labels", _labels(manifest.labels)),
        *(
            (f"Test {name}", f"{value:.4f}")
            for name, value in (manifest.provenance.get("metrics") or {}).items()
        ),
    ]
    return [(name, str(value)) for name, value in known if value]


def _title(manifest: Manifest) -> str:
    lines = [f"- {name}: {value}" for name, value in facts(manifest)]
    return f"# {manifest.name}\n\n" + "\n".join(lines)


def _labels(labels: Sequence[str] | None) -> str | None:
    if labels is None:
        return None
    shown = ", ".join(labels[:_MAX_LABELS])
    rest = len(labels) - _MAX_LABELS
    return f"{shown} and {rest} more, in `manifest.json`" if rest > 0 else shown


def _artifact_table(artifacts: Sequence[Artifact]) -> str:
    rows = [
        [
            artifact.format,
            f"`{artifact.path}`",
            f"{artifact.bytes / 1000:,.1f}",
            f"{artifact.verification.max_abs_diff:.1e}",
            _batches_compared(artifact),
            _agreement(artifact),
            find(artifact.format).requires,
        ]
        for artifact in artifacts
    ]
    header = ["format", "file", "kB", "difference", "batches", "same answers", "runs with"]
    return table(header, rows, right=[2, 3])


def _batches_compared(artifact: Artifact) -> str:
    if find(artifact.format).writes:
        return "-"
    return ", ".join(map(str, artifact.verification.batches))


def _notes(artifacts: Sequence[Artifact]) -> str:
    rows = [
        (
            a.path,
            [*verification_notes(a.verification), *notes(a.facts), *generation_notes(a.generation)],
        )
        for a in artifacts
    ]
    return "\n".join(f"- `{path}`: {' '.join(texts)}" for path, texts in rows if texts)


def _agreement(artifact: Artifact) -> str:
    agreement = artifact.verification.top1_agreement
    return "-" if agreement is None else f"{agreement:.1%} of {artifact.verification.examples}"


def _how_verified(manifest: Manifest) -> str:
    formats = {a.format: find(a.format) for a in manifest.artifacts}
    floats = [
        a.verification.tolerance
        for a in manifest.artifacts
        if not formats[a.format].scheme and not formats[a.format].writes
    ]
    rules = []
    if floats:
        rules.append(
            f"A float32 file may be off by {max(floats):g} times the spread of each column (class, "
            "coordinate or channel) over the samples, and by what rounding in Keras makes of it."
        )
    losses = {
        find(a.format).max_loss: a.verification.tolerance
        for a in manifest.artifacts
        if formats[a.format].scheme and not formats[a.format].writes
    }
    if losses:
        limits = " or ".join(f"{loss:g}" for loss in sorted(losses))
        tolerances = " or ".join(f"{limit:g}" for limit in sorted(set(losses.values())))
        rules.append(
            f"A quantized file may lose {limits} times the standard deviation of each column (root "
            "mean square, and more where samples are few), and no value may be off by "
            f"{tolerances} times the largest of the output."
        )
    if any(fmt.writes for fmt in formats.values()):
        rules.append(
            "A file that writes texts went on from several prompts with the most probable token: "
            "before each token the logits of its graph were compared with Keras', and the text is "
            "the one that Keras writes, as far as no two tokens are about as probable."
        )
    return (
        "Each file was read back, run in its own runtime and compared with the Keras model: names, "
        "shapes, then values, on samples, on rows masked at head, middle and tail where it has "
        "steps, and float32 files on zeros and very large numbers too. *difference* is the largest "
        f"absolute one. {' '.join(rules)} `zoo verify` on this folder verifies it again on "
        "another machine, without Keras."
    )


def _tensor_table(manifest: Manifest) -> str:
    def row(kind: str, tensor: Tensor) -> list[str]:
        return [kind, f"`{tensor.name}`", tensor.dtype, ", ".join(map(str, tensor.shape))]

    rows = [row("input", t) for t in manifest.inputs] + [row("output", t) for t in manifest.outputs]
    texts = [a for a in manifest.artifacts if find(a.format).writes]
    others = [a for a in manifest.artifacts if a not in texts]
    fixed = [a for a in others if a.inputs != manifest.inputs]
    sizes = [f"`{a.path}` takes and gives texts, with a tokenizer of its own." for a in texts] + [
        f"`{a.path}` has fixed sizes: {'; '.join(f'`{t}`' for t in a.inputs)}. {_batches(a)}"
        for a in fixed
    ]
    return "\n\n".join([table(["", "name", "dtype", "shape"], rows), *sizes])


def _batches(artifact: Artifact) -> str:
    sizes = artifact.batch_sizes
    if not sizes:
        return "Its batch is what it is given."
    if len(sizes) == 1:
        return "The runtime below runs other batches in pieces."
    last = f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"
    return f"It has signatures for batches of {last}: the runtime below puts others together."


def _preprocessing(manifest: Manifest) -> str:
    if not manifest.preprocessing:
        return ""
    lines = [f"{i}. {_step(step)}" for i, step in enumerate(manifest.preprocessing, start=1)]
    return "## Preprocessing\n\n" + "\n".join(lines)


def _step(step: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in step.items() if key != "step")
    return f"{step['step']}: {options}" if options else str(step["step"])


def _python(manifest: Manifest) -> str:
    numeric = [a.format for a in manifest.artifacts if not find(a.format).writes]
    if not numeric:
        return _python_of_texts(manifest)
    first = numeric[0]
    kinds = (str(step.get("step")) for step in manifest.preprocessing)
    row, inputs = find(first), [NEEDS[kind] for kind in kinds if kind in NEEDS]
    packages = f"'{with_extras([row.module, *inputs])}'"
    if source(row.module, row.requires) == row.requires:
        packages += f" {row.requires}"
    names = ", ".join(f'"{tensor.name}"' for tensor in manifest.inputs)
    return f"""## Python

It needs `pip install {packages}` and runs in this folder; it takes the inputs that the files were
verified with.

```python
import numpy as np
from zoo_runtime import load_bundle

bundle = load_bundle(".")
samples = np.load("assets/samples.npz")
inputs = {{name: samples[f"0/x/{{name}}"] for name in [{names}]}}
outputs = bundle.run(inputs, runtime="{first}")
for name, array in outputs.items():
    print(name, array.shape)
```
{_raw_inputs(manifest)}"""


def _python_of_texts(manifest: Manifest) -> str:
    first = manifest.artifacts[0]
    fmt = find(first.format)
    alone = _ALONE.get(fmt.module, "").format(path=first.path)
    return f"""## Python

It needs `pip install '{with_extras([fmt.module])}'` and runs in this folder.

```python
from zoo_runtime import load_bundle

bundle = load_bundle(".")
prompts = {{"prompt": ["Once upon a time"], "max_new_tokens": [50]}}
print(bundle.run(prompts, runtime="{first.format}")["text"][0])
```
{alone}"""


# A file that continues texts in its runtime alone, by what that is imported as.
_ALONE = {
    "litert_lm": """
Or with LiteRT-LM alone, which draws tokens as the file says:

```python
import litert_lm

with litert_lm.Engine("{path}") as engine:
    with engine.create_session(apply_prompt_template=False, max_output_tokens=50) as session:
        session.run_prefill(["Once upon a time"])
        for reply in session.run_decode_async():
            print(reply.texts[0], end="", flush=True)
```
""",
    "onnxruntime_genai": """
Or with onnxruntime-genai alone, which draws tokens as the folder says:

```python
import json

import onnxruntime_genai as og

model = og.Model("{path}")
reader = og.Tokenizer(model)
about = json.load(open("{path}/tokenizer_config.json"))
# It leaves the token that begins a text to its caller; a chat template has it.
start = about["bos_token"] if about["add_bos_token"] else ""
tokens = reader.encode(start + "Once upon a time")
params = og.GeneratorParams(model)
params.set_search_options(max_length=min(len(tokens) + 50, about["model_max_length"]))
generator = og.Generator(model, params)
generator.append_tokens(tokens)
text = reader.create_stream()
while not generator.is_done():
    generator.generate_next_token()
    print(text.decode(generator.get_next_tokens()[0]), end="", flush=True)
```
""",
}


def _programs(manifest: Manifest) -> str:
    blocks = [
        f"<details>\n<summary>{s.language}, {s.format}</summary>\n\n"
        f"```{s.fence}\n{s.code}\n```\n\n</details>"
        for s in snippets(manifest)
    ]
    if not blocks:
        return ""
    heading = (
        "## Without Kerazoo\n\nRun these in this folder. Python takes the saved samples, "
        "the others take zeros: your own inputs go there, prepared as above."
    )
    return "\n\n".join([heading, *blocks])


def _raw_inputs(manifest: Manifest) -> str:
    kinds = {step.get("step") for step in manifest.preprocessing}
    if "tokenize" in kinds:
        raw = '"a text"'
    elif "image" in kinds:
        raw = '"picture.png"'
    elif "lookup" in kinds:
        raw = '("a user", "an item")'
    elif "audio" in kinds:
        raw = '"sound.wav"'
    elif "table" in kinds:
        raw = '{"a column": "its value", ...}'
    else:
        return ""
    field = {"rating": "value", "object-detection": "boxes"}.get(manifest.task or "", "label")
    field = "value" if is_regression(manifest.task) else field
    return f"""
From a raw input:

```text
bundle.predict({raw})[0].{field}
```"""


def origin(manifest: Manifest) -> list[tuple[str, str]]:
    """Return where a model comes from, as :func:`facts` does."""
    known = manifest.provenance
    dataset = known.get("dataset") or {}
    facts = [
        ("Recipe", (known.get("recipe") or {}).get("name")),
        ("Seed", known.get("seed")),
        ("Data", " ".join(str(dataset[k]) for k in ("name", "version") if dataset.get(k))),
        ("Versions", ", ".join(f"{k} {v}" for k, v in known.get("export", {}).items())),
    ]
    return [(name, str(value)) for name, value in facts if value not in {None, ""}]


def _provenance(manifest: Manifest) -> str:
    lines = [f"- {name}: {value}" for name, value in origin(manifest)]
    return "## Where it comes from\n\n" + "\n".join(lines)


def snippets(manifest: Manifest) -> Iterator[Snippet]:
    """Give the programs for the formats that a bundle has.

    Args:
        manifest: The bundle's manifest.
    """
    for language in LANGUAGES:
        for name, write in language.writers.items():
            artifact = _first(manifest, name, language)
            if artifact is None:
                continue
            code = write(program_file(manifest, artifact))
            yield Snippet(language.name, artifact.format, language.fence, code)
            if not language.all_formats:
                break


def _first(manifest: Manifest, name: str, language: Language) -> Artifact | None:
    # As it is in float, or else in the first scheme whose dtypes the language has.
    of_format = (a for a in manifest.artifacts if a.format.partition(":")[0] == name)
    return next((a for a in of_format if _knows(language, a)), None)


def _knows(language: Language, artifact: Artifact) -> bool:
    affines = recorded(artifact.facts)
    tensors = (in_file(tensor, affines) for tensor in (*artifact.inputs, *artifact.outputs))
    return all(tensor.dtype in language.types for tensor in tensors)
