"""A sample request that TensorFlow Serving runs as it loads a model.

https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of ``PredictionLog``
messages. Their definitions come with ``tensorflow-serving-api``, which pins a TensorFlow; a
request has five fields, which are written here as protocol buffers lay them out.
"""

from __future__ import annotations

from pathlib import Path

from zoo_runtime.tensors import Arrays

FILE = "assets.extra/tf_serving_warmup_requests"
# Numbers of the fields in prediction_log.proto, predict.proto and model.proto.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1
_REQUEST_SPEC, _REQUEST_INPUTS = 1, 2
_SPEC_NAME, _SPEC_SIGNATURE = 1, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def write(folder: Path, name: str, signature: str, sample: Arrays) -> None:
    """Write one request into a SavedModel.

    Args:
        folder: The SavedModel.
        name: Name of the model.
        signature: The signature that is asked for.
        sample: Inputs by name.
    """
    import tensorflow as tf

    spec = _field(_SPEC_NAME, name.encode()) + _field(_SPEC_SIGNATURE, signature.encode())
    request = _field(_REQUEST_SPEC, spec)
    for key, array in sample.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(
            _REQUEST_INPUTS, _field(_MAP_KEY, key.encode()) + _field(_MAP_VALUE, tensor)
        )
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(_field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request)))


def _field(number: int, content: bytes) -> bytes:
    """Return a field of bytes: its number and kind, its length, itself."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
