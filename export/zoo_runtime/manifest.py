"""The manifest of a bundle: plain data, read without TensorFlow or Keras."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.errors import BundleError
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.files import Generation
from zoo_runtime.tensors import Tensor
from zoo_runtime.verification import Verification
from zoo_system import folders

FORMAT_VERSION = 1
MANIFEST = folders.MANIFEST
CARD = "README.md"
ASSETS = folders.ASSETS
SAMPLES, EDGES = "assets/samples.npz", "assets/edges.npz"
SEAL = "sha256"
# Bytes; a vocabulary of labels has a few.
MAX_MANIFEST = 1 << 26
TRAIN_FORMAT = "tflite:train"


@dataclass(frozen=True)
class FileEntry:
    """Size and hash of one file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """One converted model.

    Args:
        format: Name of the format.
        path: File or folder inside the bundle.
        bytes: Size of all its files.
        inputs: Inputs as this artifact takes them; a LiteRT one has a fixed batch.
        outputs: Outputs as this artifact gives them.
        verification: Of the comparison with Keras.
        facts: What its converter found in the file: operators, opset, signature.
        seconds: Time that conversion, inspection and running took, with process start for the
            first file of an export.
        peak_mb: Peak memory of their process meanwhile, in MB.
        batch_sizes: Batches that a LiteRT file has a signature for, smallest first; none where
            the batch varies.
        generation: Of a language model's functions with a cache; ``None`` where each token reads
            the whole text again.
    """

    format: str
    path: str
    bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    verification: Verification
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mb: float = 0.0
    batch_sizes: tuple[int, ...] = ()
    generation: Generation | None = None


@dataclass(frozen=True)
class Decoding:
    """How a model that gives the next token generates a text.

    Args:
        end: The token after a text.
        start: The token that a target begins with.
        length: Tokens of a target with its end.
        config: How it generates where a call does not say.
        chat: The template that makes one text of a conversation.
    """

    end: str | None = None
    start: str | None = None
    length: int | None = None
    config: GenerationConfig | None = None
    chat: ChatTemplate | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that is known about a bundle.

    Args:
        name: Name of the model or recipe; artifacts are called after it.
        inputs: What the model takes.
        outputs: What the model gives.
        files: Size and sha256 of every file but the manifest itself, by path.
        artifacts: One for each format.
        task: The model's head, such as ``"image-classification"``.
        labels: Class names in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        decoding: How a model of sequences generates a text.
        license: Licence of the model.
        num_params: Number of parameters.
        provenance: Recipe, seed, dataset, metrics and versions, as far as they are known.
        targets: Facts about each target that the bundle was made ready for, by its name.
        budget: What was tried to keep an accuracy budget, and by how much each fell short.
        nan_inputs: Inputs in which Keras itself has an answer to NaN; in others it is refused.
        format_version: Version of this layout.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    files: Mapping[str, FileEntry]
    artifacts: tuple[Artifact, ...]
    task: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    decoding: Decoding | None = None
    license: str = ""
    num_params: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    nan_inputs: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the manifest as the text of ``manifest.json``, with its own hash.

        Raises:
            BundleError: A number is NaN or infinite, which no reader takes.
        """
        try:
            text = json.dumps(seal(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise BundleError(
                f"The manifest of '{self.name}' cannot be written: {error}."
            ) from error
        return f"{text}\n"

    @classmethod
    def read(cls, data: bytes, where: str = MANIFEST) -> Manifest:
        """Return the manifest in the bytes of a file.

        Raises:
            BundleError: As :meth:`from_json`, or bytes that are not text.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise BundleError(f"{where} is not text: {error}.") from error
        return cls.from_json(text, where)

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST) -> Manifest:
        """Return the manifest that :meth:`to_json` wrote.

        Raises:
            BundleError: Text that is not a manifest, one that was changed, or one of a later
                version.
        """
        try:
            data = json.loads(
                text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite
            )
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where} is not complete JSON: {error}.") from error
        version = data.get("format_version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise BundleError(
                f"{where} has format_version {version}; this Kerazoo reads up to "
                f"{FORMAT_VERSION}: upgrade it with `pip install --upgrade kerazoo`."
            )
        if not isinstance(data, dict):
            raise BundleError(f"{where} is not valid: it must hold an object.")
        if data.get(SEAL) != seal(data)[SEAL]:
            raise BundleError(f"{where} was changed: its {SEAL} is another. Export it again.")
        try:
            return schema.read(cls, {k: data[k] for k in data if k != SEAL}, "manifest")
        except UsageError as error:
            raise BundleError(f"{where} is not valid: {error}") from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of two values of one key, programs take the first or the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it has the key '{key}' twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    """Return a number of JSON; NaN and infinity are none, and satisfy no limit."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number")
    return number


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's plain data with the hash of everything in it.

    Example:
        >>> data = seal({"name": "digits"})
        >>> seal(data) == data
        True
    """
    rest = {key: value for key, value in data.items() if key != SEAL}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=True)
    return {**rest, SEAL: hashlib.sha256(text.encode()).hexdigest()}
