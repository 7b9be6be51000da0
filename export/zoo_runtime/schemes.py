"""Schemes: the other ways in which a format's file is made, most of them to quantize it."""

from __future__ import annotations

from dataclasses import dataclass

_TFLITE = "zoo_export.converters.litert.schemes"
_ONNX = "zoo_export.converters.onnx.schemes"


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One row of a format's schemes; the user types ``FORMAT:SCHEME``.

    Args:
        name: What the user types after the colon.
        converter: ``"module:function"``, as that of a :class:`zoo_runtime.formats.Format`.
        dtype: What most bytes of the weights must be in the file.
        tolerance: Largest difference from Keras, as a share of the largest output value.
        max_loss: Largest root mean square difference of a column of an output, as a share of its
            standard deviation over the samples.
        min_agreement: Smallest share of a run's held-out examples with Keras' own answer.
        calibrated: Whether it needs real inputs to measure the ranges of activations.
        batch_sizes: Whether a file of fixed batch can be made for other batches than 1.
        searched: Whether a search for the smallest file that keeps a budget begins with it.
        quantizes: Whether it is the float file with other numbers.
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
)
