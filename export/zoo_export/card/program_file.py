"""The file that a program runs: what goes in and out of it, and how source text is written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from zoo_runtime.manifest import Artifact, Manifest
from zoo_runtime.running.sessions import SIGNATURE, Affine, recorded
from zoo_runtime.tensors import BATCH, SEQUENCE, Tensor

_LENGTH = 128
_MAX_LABELS = 40


@dataclass(frozen=True)
class ProgramFile:
    """A file of a bundle, as a program sees it.

    Args:
        path: The file in the bundle.
        inputs: With fixed sizes, for one example.
        outputs: With the names of sizes that vary.
        labels: Names of the classes, where the answer is one of them.
        meanings: What the values of an input are, by its name.
        signature: The LiteRT signature that gives the outputs.
        affines: How the file quantizes a tensor, by its name.
    """

    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...] | None
    meanings: Mapping[str, str]
    signature: str
    affines: Mapping[str, Affine]

    @property
    def about(self) -> tuple[str, ...]:
        """A line on each input and output."""
        given = (_line(tensor, self.meanings.get(tensor.name)) for tensor in self.inputs)
        return (*given, *(f"gives {tensor}" for tensor in self.outputs))

    @property
    def few_labels(self) -> tuple[str, ...] | None:
        """The labels, if a program can list them."""
        known = self.labels is not None and len(self.labels) <= _MAX_LABELS
        return self.labels if known else None


def program_file(manifest: Manifest, artifact: Artifact) -> ProgramFile:
    """Return what a program that runs an artifact has to know.

    Args:
        manifest: The bundle's manifest.
        artifact: One of its artifacts.
    """
    lengths = [s.get("length", _LENGTH) for s in manifest.preprocessing if s["step"] == "tokenize"]
    sizes = {BATCH: 1, SEQUENCE: next(iter(lengths), _LENGTH)}
    logits = {t.name: t.shape for t in artifact.outputs}.get("logits", ())
    # One answer: a file of a larger batch gives one for each row.
    one = logits[:1] in {(1,), (BATCH,)} and logits[1:] == (len(manifest.labels or ()),)
    labels = manifest.labels if one else None
    return ProgramFile(
        path=artifact.path,
        inputs=tuple(tensor.fixed(sizes) for tensor in artifact.inputs),
        # The answer first: a program that shows one output shows that.
        outputs=tuple(sorted(artifact.outputs, key=lambda tensor: tensor.name != "logits")),
        labels=labels,
        meanings=dict(_meanings(manifest)),
        signature=artifact.facts.get("signature", SIGNATURE),
        affines=recorded(artifact.facts),
    )


def in_file(tensor: Tensor, affines: Mapping[str, Affine]) -> Tensor:
    """Return a tensor with the dtype that the file has for it.

    Example:
        >>> str(in_file(Tensor("x", "float32", (1, 8)), {"x": Affine(0.5, 0, "int8")}))
        'x: int8[1, 8]'
    """
    affine = affines.get(tensor.name)
    return tensor if affine is None else replace(tensor, dtype=affine.dtype)


def count(tensor: Tensor) -> int:
    """Return how many values an input of one example has.

    Example:
        >>> count(Tensor("image", "float32", (1, 8, 8, 1)))
        64
    """
    return math.prod(size for size in tensor.shape if isinstance(size, int))


def quoted(text: str) -> str:
    r"""Return a text as a literal that all of the languages read.

    Example:
        >>> print(quoted('a "b"'))
        "a \"b\""
    """
    return json.dumps(text, ensure_ascii=False)


def lines(texts: Sequence[str], mark: str) -> str:
    """Return texts as comment lines."""
    return "\n".join(f"{mark} {text}" for text in texts)


def _line(tensor: Tensor, meaning: str | None) -> str:
    return f"takes {tensor}" + (f": {meaning}" if meaning else "")


def _meanings(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for step in manifest.preprocessing:
        if step["step"] == "image":
            kind = "grey" if step.get("channels", 3) == 1 else "red, green, blue"
            yield step.get("input", "image"), f"pixels 0 to 255, by rows, {kind}"
        elif step["step"] == "audio":
            kind = f"one channel at {step['sample_rate']} Hz, cut or padded with zeros"
            yield step.get("input", "audio"), f"samples -1 to 1, {kind}"
        elif step["step"] == "tokenize":
            file = step.get("tokenizer", "tokenizer.json")
            yield step.get("input", "token_ids"), f"numbers from assets/{file}, cut or padded"
            yield "padding_mask", "1 where a token is real, 0 where it is padding"
            yield "segment_ids", "0 in the first text, 1 in the second of a pair"
        elif step["step"] == "lookup":
            file = step["vocabulary"]
            yield step["input"], f"place in the list assets/{file}, from 1 on; 0 if it is not there"
        elif step["step"] == "table":
            file = step.get("columns", "columns.json")
            yield step.get("input", "features"), f"columns as assets/{file} describes them"
        elif step["step"] == "array" and step.get("scale", 1) != 1:
            yield step["input"], f"multiplied by {step['scale']:g}"
