"""The one table of export formats; it drives export, verification, runtimes and ``--help``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import zoo_registry
from zoo_registry import Origin, UsageError, did_you_mean, load_target
from zoo_runtime.schemes import ONNX_SCHEMES, TFLITE_SCHEMES, Scheme

FLOAT32 = "float32"
# Float32 files are held to their tolerance in every value; this is said of them on top.
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
        tolerance: Largest difference from Keras: in float32 as a share of the spread of each column
            of an output over the samples, in schemes of the largest output value.
        schemes: The other ways than float32 in which it can hold numbers.
        scheme: The one of them that this is, if it is no float32.
        optimizers: Runtimes that may put operators of their own into the float32 file.
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
    aliases: tuple[str, ...] = ()
    summary: str = ""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        for target in (self.converter, self.runtime):
            if target.count(":") != 1:
                raise UsageError(f"Format '{self.name}': '{target}' is not 'module:function'.")

    @property
    def max_loss(self) -> float:
        """Largest root mean square difference of a column, as a share of its deviation."""
        return self.scheme.max_loss if self.scheme is not None else _FLOAT_LOSS

    def path(self, name: str) -> str:
        """Return the artifact's path inside a bundle of the model ``name``.

        Example:
            >>> FORMATS["onnx"].path("digits-cnn"), FORMATS["saved_model"].path("digits-cnn")
            ('digits-cnn.onnx', 'saved_model')
        """
        return f"{name}{self.suffix}" if self.suffix else self.name

    def quantized(self, name: str) -> Format:
        """Return the format whose artifacts hold numbers as one of its schemes says.

        Raises:
            UsageError: It has no such scheme.

        Example:
            >>> FORMATS["tflite"].quantized("int8").path("digits-cnn")
            'digits-cnn.int8.tflite'
        """
        if name == FLOAT32:
            return self
        rows = {row.name: row for row in self.schemes}
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
                schemes=TFLITE_SCHEMES,
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
                summary="ONNX, opset 20, operators of the standard domain",
            ),
            Format(
                name="saved_model",
                suffix="",
                converter="zoo_export.converters.saved_model:convert",
                runtime="zoo_runtime.running.sessions:open_saved_model",
                requires="tensorflow",
                module="tensorflow",
                aliases=("savedmodel",),
                summary="TensorFlow SavedModel with the signature serving_default",
            ),
        )
    }
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
    """Import the converter, the runtime and the schemes' converters of a format.

    Raises:
        ImportError, AttributeError: One of them is not there.
    """
    for target in (row.converter, row.runtime, *(scheme.converter for scheme in row.schemes)):
        load_target(target)
