"""Quantized LiteRT files, by TensorFlow's own converter or, for int4, by litert-quantizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from zoo_export.converters import tflite
from zoo_export.converters.calibration import batches_of_one
from zoo_export.converters.inference import load_config
from zoo_export.converters.tracing import Conversion
from zoo_registry import UsageError


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in float16."""
    import tensorflow as tf

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return tflite.convert(conversion, configure)


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8; activations are quantized while the model runs."""
    import tensorflow as tf

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return tflite.convert(conversion, configure)


def int8(conversion: Conversion) -> dict[str, Any]:
    """Compute in int8 with ranges measured on the calibration rows."""
    import tensorflow as tf

    return _calibrated(conversion, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)


def int8_io(conversion: Conversion) -> dict[str, Any]:
    """Compute in int8 alone; the file takes and gives int8 where the model has floats.

    Raises:
        ExportError: An operator that has no int8 kernel.
    """
    import tensorflow as tf

    return _calibrated(conversion, tf.lite.OpsSet.TFLITE_BUILTINS_INT8, integer=True)


def int16x8(conversion: Conversion) -> dict[str, Any]:
    """Compute with int16 activations and int8 weights."""
    import tensorflow as tf

    ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return _calibrated(conversion, ops)


def int4_weights(conversion: Conversion) -> dict[str, Any]:
    """Store the weights of a float file in int4.

    Raises:
        UsageError: litert-quantizer is not installed.
    """
    try:
        from litert_quantizer import quantizer, recipe
    except ImportError as error:
        raise UsageError(
            "Scheme 'int4-weights' needs litert-quantizer: pip install 'kerazoo[int4]'"
        ) from error
    tflite.convert(conversion)
    work = quantizer.Quantizer(str(conversion.path))
    work.load_quantization_recipe(recipe.weight_only_wi4_afp32())
    conversion.path.write_bytes(work.quantize().quantized_model)
    return tflite.inspect(conversion)


def _calibrated(conversion: Conversion, operators: Any, *, integer: bool = False) -> dict[str, Any]:
    import tensorflow as tf

    rows = conversion.calibration

    def representative() -> Iterator[Any]:
        yield from batches_of_one(rows)

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        if integer:
            converter.target_spec.supported_ops = [operators]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        else:
            # What has no integer kernel stays in float; the bytes of each dtype tell how much.
            converter.target_spec.supported_ops = [operators, tf.lite.OpsSet.TFLITE_BUILTINS]

    unrolled = _unrolled(conversion)
    facts = tflite.convert(unrolled, configure, integer=integer)
    return facts if unrolled is conversion else {**facts, "rnn": "unroll"}


def _unrolled(conversion: Conversion) -> Conversion:
    # Calibrating the loop of an RNN kills the process (tensorflow#75140).
    import keras

    model = conversion.model
    if not any(isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers()):
        return conversion
    shapes = {tensor.name: tensor.shape for tensor in conversion.inputs}
    clone = load_config(model, _with_unroll(model.get_config(), shapes))
    return replace(conversion, model=clone)


def _with_unroll(config: Any, shapes: Mapping[str, Any]) -> Any:
    if isinstance(config, list | tuple):
        return type(config)(_with_unroll(item, shapes) for item in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "InputLayer" and config["config"].get("name") in shapes:
        shape = (None, *shapes[config["config"]["name"]][1:])
        return {**config, "config": {**config["config"], "batch_shape": shape}}
    inner = {key: _with_unroll(value, shapes) for key, value in config.items()}
    return {**inner, "unroll": True} if "unroll" in inner else inner
