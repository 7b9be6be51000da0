"""The one table of export formats; it drives export, verification, runtimes and ``--help``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from zoo_registry import Origin, UsageError


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
            :class:`zoo_export.runtime.Session`.
        requires: The package that the runtime needs beside NumPy.
        module: What that package is imported as.
        static: Whether the artifact has a fixed batch of 1 and a fixed sequence length.
        tolerance: Largest difference from Keras, as a share of the largest output value.
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
    aliases: tuple[str, ...] = ()
    summary: str = ""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        for target in (self.converter, self.runtime):
            if target.count(":") != 1:
                raise UsageError(f"Format '{self.name}': '{target}' is not 'module:function'.")

    def path(self, name: str) -> str:
        """Return the artifact's path inside a bundle of the model ``name``.

        Example:
            >>> FORMATS["onnx"].path("digits-cnn"), FORMATS["saved_model"].path("digits-cnn")
            ('digits-cnn.onnx', 'saved_model')
        """
        return f"{name}{self.suffix}" if self.suffix else self.name


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        row.name: row
        for row in (
            Format(
                name="tflite",
                suffix=".tflite",
                converter="zoo_export.converters.tflite:convert",
                runtime="zoo_export.runtime.sessions:open_tflite",
                requires="ai-edge-litert",
                module="ai_edge_litert",
                static=True,
                aliases=("litert",),
                summary="LiteRT (TensorFlow Lite) flatbuffer of built-in operators",
            ),
            Format(
                name="onnx",
                suffix=".onnx",
                converter="zoo_export.converters.onnx:convert",
                runtime="zoo_export.runtime.sessions:open_onnx",
                requires="onnxruntime",
                module="onnxruntime",
                summary="ONNX, opset 18, operators of the standard domain",
            ),
            Format(
                name="saved_model",
                suffix="",
                converter="zoo_export.converters.saved_model:convert",
                runtime="zoo_export.runtime.sessions:open_saved_model",
                requires="tensorflow",
                module="tensorflow",
                aliases=("savedmodel",),
                summary="TensorFlow SavedModel with the signature serving_default",
            ),
        )
    }
)


def as_format(value: object, name: str) -> Format:
    """Return ``value``, what a table or an entry point holds, as a :class:`Format`.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(value, Format):
        return value if value.name == name else replace(value, name=name)
    raise TypeError(f"format '{name}' is a {type(value).__name__}: it must be a Format")
