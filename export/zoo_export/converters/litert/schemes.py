"""Quantized LiteRT files, by TensorFlow's own converter or, for int4, by litert-quantizer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.litert import edits
from zoo_export.converters.litert.blocks import to_int4_blocks
from zoo_export.converters.litert.edits import one_scale
from zoo_export.converters.litert.ranges import corrected_ranges
from zoo_export.converters.mixed_precision import (
    NUM_ROWS,
    by_layer,
    float_layers,
    float_nodes,
    layer_errors,
    room_for_float,
    with_float_layers,
    with_full_precision,
    worst,
)
from zoo_export.converters.tracing import Conversion
from zoo_runtime.errors import ExportError
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_tflite
from zoo_runtime.tensors import Arrays, evenly_rows, split


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in float16; what it does not hold stays in float32."""
    return with_full_precision(tflite.convert(conversion, change=edits.to_float16))


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8; activations are quantized while the model runs.

    Raises:
        ExportError: A layer that has to stay in float.
    """
    import tensorflow as tf

    _refuse_float_layers(conversion)

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    facts = tflite.convert(conversion, configure)
    if "GATHER" not in facts["operators"]:
        return facts
    edits.write(conversion.path, edits.share_tied(conversion.path.read_bytes()))
    return {**facts, **tflite.inspect(conversion)}


def int8(conversion: Conversion) -> dict[str, Any]:
    """Compute in int8 with ranges measured on the calibration rows, or found in training.

    Raises:
        ExportError: Several batch sizes, and a layer that has to stay in float.
    """
    import tensorflow as tf

    stays = float_layers(conversion.model)
    if conversion.trained_for_int8 is not None and not stays:
        # The roundings in its graph give the converter all the ranges.
        trained = replace(conversion, model=conversion.trained_for_int8)
        return {**dynamic_int8(trained), "ranges": "trained"}
    if not stays:
        return _calibrated(conversion, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
    if len(conversion.signatures) > 1:
        raise ExportError(
            f"layer '{next(iter(stays))}' has to stay in float, which the converter does in files "
            "of one batch size alone"
        )
    # The converter leaves layers out only where it is given ranges, not roundings.
    facts = _calibrated(conversion, tf.lite.OpsSet.TFLITE_BUILTINS_INT8, ranges_only=True)
    kept = float_nodes(conversion.model, _nodes(conversion.path))
    _quantize(conversion.path.read_bytes(), kept, conversion.path)
    return with_float_layers(conversion.model, {**facts, **tflite.inspect(conversion)})


def _quantize(with_ranges: bytes, kept: Sequence[str], path: Path) -> None:
    from tensorflow.lite.python.convert import mlir_quantize

    content = mlir_quantize(with_ranges, denylisted_nodes=list(kept))
    edits.write(path, one_scale(content))


def int8_mixed(conversion: Conversion) -> dict[str, Any]:
    """As :func:`int8`, but for the layers that cost most.

    Returns:
        What is in the file, the error of each layer and which of them stayed in float.
    """
    import tensorflow as tf

    facts = _calibrated(conversion, tf.lite.OpsSet.TFLITE_BUILTINS_INT8, ranges_only=True)
    with_ranges = conversion.path.read_bytes()
    always = set(float_nodes(conversion.model, _nodes(conversion.path)))
    nodes = by_layer(conversion.model, _nodes(conversion.path))
    layers = {layer: found for layer, found in nodes.items() if not always.issuperset(found)}
    rows = evenly_rows(conversion.calibration, NUM_ROWS)

    def quantize(kept: Sequence[str], path: Path) -> None:
        _quantize(with_ranges, [*always, *kept], path)

    def run(kept: Sequence[str]) -> Arrays:
        with tempfile.TemporaryDirectory(dir=conversion.path.parent) as folder:
            trial = Path(folder) / "trial.tflite"
            quantize(kept, trial)
            session = open_tflite(trial, threads=None)
            sizes = conversion.options.batch_sizes
            return Runner(session, conversion.inputs, conversion.outputs, sizes).run(rows)

    errors = layer_errors(layers, run)
    found = worst(errors, *room_for_float(conversion.model, layers))
    quantize([node for layer in found for node in layers[layer]], conversion.path)
    facts |= {**tflite.inspect(conversion), "layer_errors": errors, "float_layers": found}
    return with_float_layers(conversion.model, facts)


def int8_io(conversion: Conversion) -> dict[str, Any]:
    """As :func:`int8`, in integers alone: the file takes and gives int8 for the model's floats.

    Raises:
        ExportError: An operator that has no int8 kernel, or a layer that has to stay in float.
    """
    import tensorflow as tf

    _refuse_float_layers(conversion)
    operators = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    if conversion.trained_for_int8 is None:
        return _calibrated(conversion, operators, integer=True)
    # The roundings in its graph go before what the rows show; inputs have none.
    trained = replace(conversion, model=conversion.trained_for_int8)
    facts = _calibrated(trained, operators, integer=True)
    return {**facts, "ranges": "trained, those of inputs measured"}


def int16x8(conversion: Conversion) -> dict[str, Any]:
    """Compute with int16 activations and int8 weights.

    Raises:
        ExportError: A model that takes integers, or a layer that has to stay in float.
    """
    import tensorflow as tf

    _refuse_float_layers(conversion)
    whole = [tensor.name for tensor in conversion.inputs if tensor.dtype.startswith("int")]
    if whole:
        raise ExportError(
            f"LiteRT has no int16 activations for a model that takes whole numbers ('{whole[0]}')"
        )
    ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return _calibrated(conversion, ops)


def int4_weights(conversion: Conversion) -> dict[str, Any]:
    """Store the weights of a float file in int4.

    Raises:
        ExportError: litert-quantizer is not installed, or a layer has to stay in float.
    """
    _refuse_float_layers(conversion)
    try:
        from litert_quantizer import quantizer, recipe
    except ImportError as error:
        raise ExportError("it needs litert-quantizer: pip install 'kerazoo[int4]'") from error
    facts = tflite.convert(conversion)
    conversion.path.write_bytes(edits.look_up(conversion.path.read_bytes()))
    work = quantizer.Quantizer(str(conversion.path))
    work.load_quantization_recipe(recipe.weight_only_wi4_afp32())
    edits.write(conversion.path, bytes(work.quantize().quantized_model))
    return {**facts, **tflite.inspect(conversion)}


def int4_blocks(conversion: Conversion) -> dict[str, Any]:
    """Store factors of products in int4 in blocks, those of logits and the tables in int8.

    Raises:
        ExportError: A layer that has to stay in float.
    """
    _refuse_float_layers(conversion)
    model = conversion.model
    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    vocab_size = outputs[LOGITS].shape[-1]

    def change(content: bytes) -> bytearray:
        return to_int4_blocks(edits.look_up(content), vocab_size)

    return tflite.convert(conversion, change=change)


def _refuse_float_layers(conversion: Conversion) -> None:
    for name in float_layers(conversion.model):
        raise ExportError(
            f"layer '{name}' has to stay in float, and LiteRT's converter leaves no layer out of "
            "this scheme: tflite:int8 does"
        )


def _calibrated(
    conversion: Conversion, operators: Any, *, integer: bool = False, ranges_only: bool = False
) -> dict[str, Any]:
    import tensorflow as tf

    rows = conversion.calibration

    def representative() -> Iterator[Any]:
        for signature, size in conversion.signatures.items():
            for part in split(rows, (size or 1,)):
                yield signature, part

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.canonicalizing_inf_as_min_max_float = True  # there is no range up to infinity
        if integer:
            converter.target_spec.supported_ops = [operators]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        else:
            # What has no integer kernel stays in float; the bytes of each dtype show how much.
            converter.target_spec.supported_ops = [operators, tf.lite.OpsSet.TFLITE_BUILTINS]
        converter._experimental_calibrate_only = ranges_only

    # Calibrating the loop of an RNN kills the process (tensorflow#75140).
    with corrected_ranges(conversion.model, representative):
        return tflite.convert(conversion, configure, change=one_scale, integer=integer, loops=False)


def _nodes(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what each operator gives, with the names that contain its layer's."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    names = {entry["index"]: entry["name"] for entry in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details():
        given = names[operator["outputs"][0]]
        # A model's output has lost the name of its layer; the weights have it.
        taken = [names[index] for index in operator["inputs"][1:] if index in names]
        yield given, given.split(";") if "/" in given else taken
