"""What a bundle says about itself: plain data, read without TensorFlow or Keras."""

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
from zoo_runtime.tensors import Tensor
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
class Comparison:
    """One output of one sample batch against Keras.

    Args:
        output: Name of the output.
        shape: Shape that both gave.
        max_abs_diff: Largest absolute difference.
        allowed: What may differ at the place nearest to its limit.
        column: Index in the last axis of that place, where columns are held against their own
            spread.
        column_diff: Difference there; ``max_abs_diff`` where all is on one scale.
    """

    output: str
    shape: tuple[int, ...]
    max_abs_diff: float
    allowed: float
    column: int | None = None
    column_diff: float | None = None

    @property
    def nearest_diff(self) -> float:
        """The difference that is held against ``allowed``."""
        return self.max_abs_diff if self.column_diff is None else self.column_diff

    @property
    def ok(self) -> bool:
        """Whether the difference is allowed."""
        return self.nearest_diff <= self.allowed


@dataclass(frozen=True)
class Fit:
    """How much of an output's columns is kept, over all samples: the worst column.

    Args:
        output: Name of the output.
        column: Index in the last axis; ``None`` for an output that is one column.
        difference: Root mean square difference from Keras in that column.
        deviation: Standard deviation of what Keras gives in it.
        allowed: Difference that is allowed; 0 for a column that is one number in the file.
        columns: How many columns there are.
        constant: How many of them Keras gives the same number for every sample.
        values: How many values of the worst column were compared.
        answers: Different rows that the file gives.
        keras_answers: Different rows that Keras gives for the same samples; 1 where it gives one
            answer for all of them, which proves nothing.
        centred: Whether the mean of each row was taken away, as softmax does.
        label: The worst column's class, where classes have names.
        axis: What ``column`` counts along: the last axis, or the first after the batch of an
            output of three.
    """

    output: str
    column: int | None
    difference: float
    deviation: float
    allowed: float
    columns: int = 1
    constant: int = 0
    values: int = 0
    answers: int = 0
    keras_answers: int = 0
    centred: bool = False
    label: str | None = None
    axis: int = -1

    @property
    def ok(self) -> bool:
        """Whether samples that Keras tells apart are told apart, by every column."""
        is_kept = self.constant == self.columns or self.difference <= self.allowed
        return is_kept and not self.is_one_answer

    @property
    def is_one_answer(self) -> bool:
        """Whether the file gives one answer for samples to which Keras gives several."""
        return self.answers == 1 < self.keras_answers

    @property
    def is_informative(self) -> bool:
        """Whether what Keras gives depends on the inputs."""
        return self.keras_answers != 1


@dataclass(frozen=True)
class Verification:
    """How near an artifact is to the Keras model.

    Args:
        format: The artifact's format.
        tolerance: Allowed difference: of a float32 file as a share of the spread of each column
            over the samples, of others as a share of the largest value of an output.
        comparisons: One row for each sample batch and output.
        examples: Real examples compared by their largest logit, 0 where there are none.
        top1_agreement: Share of them with the same answer as Keras.
        accuracy: Share of them whose answer is right, where that is known.
        keras_accuracy: The same of Keras.
        fits: What is kept of each output's columns; none in bundles of earlier versions.
        perturbed: Whether a file of the same model with changed weights was compared instead,
            because Keras gives one answer for all samples with its own.
    """

    format: str
    tolerance: float
    comparisons: tuple[Comparison, ...]
    examples: int = 0
    top1_agreement: float | None = None
    accuracy: float | None = None
    keras_accuracy: float | None = None
    fits: tuple[Fit, ...] = ()
    perturbed: bool = False

    @property
    def max_abs_diff(self) -> float:
        """Largest absolute difference of all outputs and batches."""
        return max((row.max_abs_diff for row in self.comparisons), default=math.inf)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that were compared."""
        return tuple(sorted({row.shape[0] for row in self.comparisons if row.shape}))

    @property
    def ok(self) -> bool:
        """Whether every difference is allowed."""
        return all(row.ok for row in self.comparisons) and all(fit.ok for fit in self.fits)

    @property
    def uninformative(self) -> tuple[str, ...]:
        """Outputs for which Keras gives one answer whatever the inputs."""
        return tuple(dict.fromkeys(fit.output for fit in self.fits if not fit.is_informative))


@dataclass(frozen=True)
class Artifact:
    """One converted model.

    Args:
        format: Name of the format.
        path: File or folder inside the bundle.
        bytes: Size of all its files.
        inputs: Inputs as this artifact takes them; a LiteRT one has a fixed batch.
        outputs: Outputs as this artifact gives them.
        verification: Figures of the comparison with Keras.
        facts: What its converter found in the file: operators, opset, signature.
        seconds: Time that conversion, inspection and running took, with process start for the
            first file of an export.
        peak_mb: Peak memory of their process meanwhile, in MB.
        batch_sizes: Batches that a LiteRT file has a signature for, smallest first; none where
            the batch varies.
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


@dataclass(frozen=True)
class Decoding:
    """How a model that gives the next token writes a text.

    Args:
        end: The token after a text.
        start: The token that a target begins with.
        length: Tokens of a target with its end.
    """

    end: str | None = None
    start: str | None = None
    length: int | None = None


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
        decoding: How a model of sequences writes a text.
        license: Licence of the model.
        num_params: Number of parameters.
        provenance: Recipe, seed, dataset, metrics and versions, as far as they are known.
        targets: Facts about each place that the bundle was made ready for, by its name.
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
            BundleError: As :meth:`from_json`, or bytes that are no text.
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
            BundleError: Text that is no manifest, one that was changed, or one of a later
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
        raise ValueError(f"{text} is no number")
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
