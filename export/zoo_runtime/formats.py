"""The table of export formats and of their schemes: it drives export, verification, ``--help``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import zoo_registry
from zoo_registry import Origin, UsageError, did_you_mean, load_target
from zoo_runtime.generation.files import GENERATING

_TFLITE = "zoo_export.converters.litert.schemes"
_ONNX = "zoo_export.converters.onnx.schemes"


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Another way to make a format's file, mostly to quantize it: the user types ``FORMAT:SCHEME``.

    Args:
        name: What the user types after the colon.
        converter: ``"module:function"``, as that of a :class:`zoo_runtime.formats.Format`.
        dtype: That of most bytes of the weights in the file.
        tolerance: Largest difference from Keras, as a fraction of the largest output value.
        max_loss: Largest root mean square difference of a column of an output, as a fraction of its
            standard deviation over the samples.
        min_agreement: Smallest fraction of a run's held-out examples with Keras' own answer.
        calibrated: Whether it needs real inputs to measure the ranges of activations.
        batch_sizes: Whether a file of fixed batch can be made for other batches than 1.
        searched: Whether a search for the smallest file that keeps a budget begins with it.
        quantizes: Whether it is the float file in another precision.
        tasks: The tasks that it is for; empty is every one.
        summary: One line.
    """

    name: str
    converter: str
    dtype: str
    tolerance: float
    max_loss: float
    min_agreement: float
    calibrated: bool = False
    batch_sizes: bool = True
    searched: bool = True
    quantizes: bool = True
    tasks: tuple[str, ...] = ()
    summary: str


TFLITE_SCHEMES = (
    Scheme(
        name="float16",
        converter=f"{_TFLITE}:float16",
        dtype="float16",
        tolerance=0.01,
        max_loss=0.05,
        min_agreement=0.99,
        summary="weights in float16, computed in float32: half the bytes",
    ),
    Scheme(
        name="dynamic-int8",
        converter=f"{_TFLITE}:dynamic_int8",
        dtype="int8",
        tolerance=0.2,
        max_loss=0.15,
        min_agreement=0.95,
        summary="weights in int8, activations quantized as they come: a quarter of the bytes",
    ),
    Scheme(
        name="int8",
        converter=f"{_TFLITE}:int8",
        dtype="int8",
        tolerance=0.3,
        max_loss=0.15,
        min_agreement=0.95,
        calibrated=True,
        summary="weights and activations in int8 with calibrated ranges, float inputs and outputs",
    ),
    Scheme(
        name="int8-mixed",
        converter=f"{_TFLITE}:int8_mixed",
        searched=False,
        batch_sizes=False,
        dtype="int8",
        tolerance=0.3,
        max_loss=0.15,
        min_agreement=0.95,
        calibrated=True,
        summary="int8, but for layers that cost most: up to half of the bytes stay in float32",
    ),
    Scheme(
        name="int8-io",
        converter=f"{_TFLITE}:int8_io",
        searched=False,
        dtype="int8",
        tolerance=0.3,
        max_loss=0.15,
        min_agreement=0.95,
        calibrated=True,
        summary="int8 throughout, also inputs and outputs: for processors without floats",
    ),
    Scheme(
        name="int16x8",
        converter=f"{_TFLITE}:int16x8",
        batch_sizes=False,
        dtype="int8",
        tolerance=0.1,
        max_loss=0.15,
        min_agreement=0.98,
        calibrated=True,
        summary="weights in int8, activations in int16: exact, and slow on most processors",
    ),
    Scheme(
        name="int4-weights",
        converter=f"{_TFLITE}:int4_weights",
        dtype="int4",
        tolerance=0.5,
        max_loss=0.5,
        min_agreement=0.9,
        summary="weights in int4 by channel, computed in float32: an eighth of the bytes",
    ),
    Scheme(
        name="int4-blocks",
        converter=f"{_TFLITE}:int4_blocks",
        searched=False,
        tasks=GENERATING,
        dtype="int4",
        tolerance=0.5,
        max_loss=0.3,
        min_agreement=0.8,
        summary="language models: weights in int4, with a scale for each 32; tables, head in int8",
    ),
    Scheme(
        name="train",
        converter="zoo_export.converters.litert.train:convert",
        searched=False,
        quantizes=False,
        batch_sizes=False,
        dtype="float32",
        tolerance=1e-5,
        max_loss=1e-3,
        min_agreement=0.99,
        summary="float32, and signatures that train the last layer on the device",
    ),
)

ONNX_SCHEMES = (
    Scheme(
        name="float16",
        converter=f"{_ONNX}:float16",
        dtype="float16",
        tolerance=0.01,
        max_loss=0.05,
        min_agreement=0.99,
        summary="weights and arithmetic in float16, float32 inputs and outputs",
    ),
    Scheme(
        name="dynamic-int8",
        converter=f"{_ONNX}:dynamic_int8",
        dtype="int8",
        tolerance=0.2,
        max_loss=0.15,
        min_agreement=0.95,
        summary="weights in int8 by channel, activations quantized as they come",
    ),
    Scheme(
        name="int8",
        converter=f"{_ONNX}:int8",
        dtype="int8",
        tolerance=0.3,
        max_loss=0.15,
        min_agreement=0.95,
        calibrated=True,
        summary="QDQ: weights by channel and activations in int8 with calibrated ranges",
    ),
    Scheme(
        name="int8-mixed",
        converter=f"{_ONNX}:int8_mixed",
        searched=False,
        dtype="int8",
        tolerance=0.3,
        max_loss=0.15,
        min_agreement=0.95,
        calibrated=True,
        summary="int8, but for layers that cost most: up to half of the bytes stay in float32",
    ),
    Scheme(
        name="int8-blocks",
        converter=f"{_ONNX}:int8_blocks",
        searched=False,
        tasks=GENERATING,
        dtype="int8",
        tolerance=0.2,
        max_loss=0.05,
        min_agreement=0.95,
        summary="language models: weights in int8, with a scale for each 128",
    ),
    Scheme(
        name="int4-blocks",
        converter=f"{_ONNX}:int4_blocks",
        searched=False,
        tasks=GENERATING,
        dtype="int4",
        tolerance=0.5,
        max_loss=0.3,
        min_agreement=0.8,
        summary="language models: weights in int4, with a scale for each 128; tables, head in int8",
    ),
)


FLOAT32 = "float32"
# Float32 files keep to their tolerance in every value; this is reported of them beside.
_FLOAT_LOSS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a model becomes a file and how the file is run.

    Args:
        name: What the user types.
        suffix: End of the artifact's name; empty for a folder named after the format.
        converter: ``"module:function"``; takes a
            :class:`zoo_export.converters.tracing.Conversion`, writes its path, inspects what it
            wrote and returns facts for the manifest. It runs in a child process.
        runtime: ``"module:function"``; takes an artifact's path and ``threads`` and returns a
            :class:`zoo_runtime.running.Session`.
        requires: The package that the runtime needs beside NumPy.
        module: What that package is imported as.
        static: Whether the artifact has a fixed batch, 1 if none is asked for, and sequence length.
        tolerance: Largest difference from Keras: in float32 as a fraction of the spread of each
            column of an output over the samples, in schemes of the largest output value.
        schemes: The other ways than float32 in which its file can be made.
        scheme: The one of them that this is, if it is no float32.
        optimizers: Runtimes that may put operators of their own into the float32 file.
        absent: Schemes of other formats that its runtime cannot run, each with the reason.
        fixed_cache: Whether the cache of a language model has a fixed length in its files, and
            texts are read by functions of fixed lengths.
        dialect: ``"module:NAME"`` of a :class:`zoo_export.generation.dialect.Dialect`, if the
            runtime takes texts and continues them, with a tokenizer of the file's own: it is given
            :data:`zoo_runtime.running.writing.INPUTS`, not the model's inputs.
        generating: ``"module:function"``; takes the conversion of a language model and the
            converter, makes functions with a cache too, and returns the facts with a
            :class:`zoo_runtime.generation.files.Generation`. Without it every token reads the whole
            text again.
        decoder: ``"module:function"``; takes an artifact's path, that ``Generation`` and
            ``threads``, and returns what makes a :class:`zoo_runtime.generation.search.Decoder`.
        aliases: Other words for a built-in one.
        summary: One line.
        origin: Filled in by the registry.

    Raises:
        UsageError: A target that is not ``"module:function"``.
    """

    name: str
    suffix: str
    converter: str
    runtime: str
    requires: str
    module: str
    static: bool = False
    tolerance: float = 1e-5
    schemes: tuple[Scheme, ...] = ()
    scheme: Scheme | None = None
    optimizers: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    fixed_cache: bool = False
    dialect: str = ""
    generating: str = ""
    decoder: str = ""
    aliases: tuple[str, ...] = ()
    summary: str = ""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        for target in (
            self.converter,
            self.runtime,
            *filter(None, (self.generating, self.decoder, self.dialect)),
        ):
            if target.count(":") != 1:
                raise UsageError(f"Format '{self.name}': '{target}' is not 'module:function'.")

    @property
    def writes(self) -> bool:
        """Whether its runtime takes texts and continues them."""
        return bool(self.dialect)

    @property
    def max_loss(self) -> float:
        """Largest root mean square difference of a column, as a fraction of its deviation."""
        return self.scheme.max_loss if self.scheme is not None else _FLOAT_LOSS

    def path(self, name: str) -> str:
        """Return the artifact's path inside a bundle of the model ``name``.

        Example:
            >>> FORMATS["onnx"].path("digits-cnn"), FORMATS["saved_model"].path("digits-cnn")
            ('digits-cnn.onnx', 'saved_model')
        """
        return f"{name}{self.suffix}" if self.suffix else self.name

    def quantized(self, name: str) -> Format:
        """Return the format whose artifacts are made as one of its schemes says.

        Raises:
            UsageError: It has no such scheme.

        Example:
            >>> FORMATS["tflite"].quantized("int8").path("digits-cnn")
            'digits-cnn.int8.tflite'
        """
        if name == FLOAT32:
            return self
        rows = {row.name: row for row in self.schemes}
        if reason := dict(self.absent).get(name):
            raise UsageError(f"Format '{self.name}' has no scheme '{name}': {reason}.")
        if name not in rows:
            hint = did_you_mean(name, rows)
            names = ", ".join([FLOAT32, *rows])
            raise UsageError(f"Format '{self.name}' has no scheme '{name}'.{hint} It has: {names}.")
        row = rows[name]
        return replace(
            self,
            name=f"{self.name}:{name}",
            suffix=f".{name}{self.suffix}",
            converter=row.converter,
            tolerance=row.tolerance,
            scheme=row,
            optimizers=(),
            # Ranges are measured on whole texts, and training has functions of its own.
            generating=self.generating if row.quantizes and not row.calibrated else "",
        )


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        row.name: row
        for row in (
            Format(
                name="tflite",
                suffix=".tflite",
                converter="zoo_export.converters.litert.convert:convert",
                runtime="zoo_runtime.running.sessions:open_tflite",
                requires="ai-edge-litert",
                module="ai_edge_litert",
                static=True,
                fixed_cache=True,
                schemes=TFLITE_SCHEMES,
                absent=(
                    (
                        "int8-blocks",
                        "LiteRT has no product with int8 in blocks. Take tflite:dynamic-int8, "
                        "which has a scale for each channel",
                    ),
                ),
                generating="zoo_export.converters.generation:make_litert",
                decoder="zoo_runtime.generation.slices:open_tflite",
                aliases=("litert",),
                summary="LiteRT (TensorFlow Lite) flatbuffer of built-in operators",
            ),
            Format(
                name="onnx",
                suffix=".onnx",
                converter="zoo_export.converters.onnx.convert:convert",
                runtime="zoo_runtime.running.sessions:open_onnx",
                requires="onnxruntime",
                module="onnxruntime",
                schemes=ONNX_SCHEMES,
                optimizers=("onnxruntime",),
                generating="zoo_export.converters.generation:make_onnx",
                decoder="zoo_runtime.generation.present:open_onnx",
                summary="ONNX, opset 20, operators of the standard domain",
            ),
            Format(
                name="saved_model",
                suffix="",
                converter="zoo_export.converters.saved_model:convert",
                runtime="zoo_runtime.running.sessions:open_saved_model",
                requires="tensorflow",
                module="tensorflow",
                generating="zoo_export.converters.generation:make_saved_model",
                decoder="zoo_runtime.generation.present:open_saved_model",
                aliases=("savedmodel",),
                summary="TensorFlow SavedModel with the signature serving_default",
            ),
        )
    }
)


# Entry points of kerazoo-runtime: a language model's, so that no other model is exported to them.
LITERTLM = Format(
    name="litertlm",
    suffix=".litertlm",
    converter="zoo_export.generation.litertlm:convert",
    runtime="zoo_runtime.running.writing:open_litertlm",
    requires="litert-lm-api",
    module="litert_lm",
    tolerance=1e-4,
    schemes=(
        Scheme(
            name="float16",
            converter="zoo_export.generation.litertlm:float16",
            dtype="float16",
            tolerance=0.01,
            max_loss=0.05,
            min_agreement=0.99,
            summary="weights in float16, computed in float32: half the bytes",
        ),
        Scheme(
            name="dynamic-int8",
            converter="zoo_export.generation.litertlm:dynamic_int8",
            dtype="int8",
            tolerance=0.2,
            max_loss=0.15,
            min_agreement=0.9,
            summary="weights in int8, activations quantized as they come: a quarter of the bytes",
        ),
    ),
    fixed_cache=True,
    dialect="zoo_export.generation.litertlm:LITERT_LM",
    summary="LiteRT-LM: a language model with its cache, tokenizer and chat template",
)

GENAI = Format(
    name="onnxruntime-genai",
    suffix=".genai",
    converter="zoo_export.converters.onnx.convert:convert",
    runtime="zoo_runtime.generation.genai:open_genai",
    requires="onnxruntime-genai",
    module="onnxruntime_genai",
    tolerance=1e-4,
    schemes=tuple(scheme for scheme in ONNX_SCHEMES if not scheme.calibrated),
    generating="zoo_export.generation.genai:make",
    dialect="zoo_export.generation.genai:GENAI",
    summary="onnxruntime-genai: a folder of a language model with tokenizer and chat template",
)


def find(word: str) -> Format:
    """Return the format, or the format and scheme, that ``FORMAT[:SCHEME]`` means.

    Raises:
        UsageError: There is no such format or scheme.

    Example:
        >>> find("litert:dynamic-int8").name
        'tflite:dynamic-int8'
    """
    name, colon, scheme = word.strip().partition(":")
    row: Format = zoo_registry.formats.get(name)
    return row.quantized(scheme) if colon else row


def as_format(value: object, name: str) -> Format:
    """Return ``value``, what a table or an entry point holds, as a :class:`Format`.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(value, Format):
        return value if value.name == name else replace(value, name=name)
    raise TypeError(f"format '{name}' is a {type(value).__name__}: it must be a Format")


def check_format(row: Format) -> None:
    """Import all that a format names: its converter and those of schemes, what runs its files.

    Raises:
        ImportError, AttributeError: One of them is not there.
    """
    targets = (row.converter, row.runtime, row.generating, row.decoder, row.dialect)
    for target in (*filter(None, targets), *(scheme.converter for scheme in row.schemes)):
        load_target(target)
