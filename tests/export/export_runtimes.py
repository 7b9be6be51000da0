"""Models converted and run in this process: many small ones in the time of one export."""

import numpy as np
from onnx_standard import by_the_standard
from tensorflow.python.framework import test_util

from zoo_export.converters import saved_model
from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.onnx import convert as onnx
from zoo_export.converters.tracing import Conversion, with_batch
from zoo_export.options import ExportOptions
from zoo_export.reading.axes import input_tensors, output_tensors
from zoo_export.reading.signature import signature_of
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_onnx, open_saved_model, open_tflite

# On processors where TensorFlow does not switch oneDNN on, Keras itself computes no convolution of
# `channels_first` and no dilated transposed one: `TF_ENABLE_ONEDNN_OPTS=1` tests them there.
HAS_ONEDNN = test_util.IsMklEnabled()


def by_keras(model, arrays):
    """Return what Keras' own call gives, without the converters' way of calling it."""
    made = model(signature_of(model).in_structure(arrays), training=False)
    values = made if isinstance(made, dict) else None
    given = signature_of(model).reference(arrays)
    for name, value in (values or {}).items():
        np.testing.assert_array_equal(given[name], np.asarray(value))
    return given


def conversion_of(model, arrays, path, batch=None, calibration=None, **options):
    """Describe a model as an export does: open sizes have names, unless a batch is fixed."""
    inputs = input_tensors(signature_of(model))
    sizes = {
        size: array.shape[axis]
        for tensor, array in ((t, arrays[t.name]) for t in inputs)
        for axis, size in enumerate(tensor.shape)
        if isinstance(size, str)
    }
    outputs = output_tensors(signature_of(model), [(sizes, signature_of(model).reference(arrays))])
    if batch is not None:
        fixed = {name: array[:batch] for name, array in arrays.items()}
        inputs = tuple(type(t)(t.name, t.dtype, fixed[t.name].shape) for t in inputs)
        given = signature_of(model).reference(fixed)
        outputs = tuple(type(t)(t.name, t.dtype, given[t.name].shape) for t in outputs)
        inputs, outputs = with_batch(inputs, batch), with_batch(outputs, batch)
    return Conversion(
        model,
        inputs,
        outputs,
        path,
        calibration=calibration or {},
        first=arrays,
        options=ExportOptions(**options),
    )


def onnx_outputs(model, arrays, path, **options):
    """Return what ONNX Runtime and the standard's own evaluator make of the file, and its facts."""
    conversion = conversion_of(model, arrays, path, **options)
    facts = onnx.convert(conversion)
    run = Runner(open_onnx(path), conversion.inputs, conversion.outputs).run(arrays)
    return run, by_the_standard(path, arrays), facts


def tflite_outputs(model, arrays, path, **options):
    """Return what LiteRT makes of a file of batch 1, and its facts."""
    conversion = conversion_of(model, arrays, path, batch=1, **options)
    facts = tflite.convert(conversion)
    return Runner(open_tflite(path), conversion.inputs, conversion.outputs).run(arrays), facts


def saved_model_outputs(model, arrays, path, **options):
    """Return what TensorFlow makes of a SavedModel."""
    conversion = conversion_of(model, arrays, path, **options)
    saved_model.convert(conversion)
    return Runner(open_saved_model(path), conversion.inputs, conversion.outputs).run(arrays)
