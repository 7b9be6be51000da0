"""What a server needs: raw images as input, and a request to warm up with."""

import io

import numpy as np
import pytest
from PIL import Image

from zoo_export.converters.saved_model import decode_batch
from zoo_runtime.preprocess.steps import ImageStep

pytestmark = pytest.mark.slow
MODES = ["RGB", "RGBA", "L", "LA", "P"]


def _pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (67, 93, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels, "RGBA")
    pairs = [(mode, "PNG") for mode in MODES] + [("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "BMP")]
    for mode, kind in pairs:
        file = io.BytesIO()
        picture.convert(mode).save(file, kind)
        yield file.getvalue()


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_pillow_bit_for_bit(resample, channels):
    import tensorflow as tf

    for size in [(28, 28), (224, 224), (67, 93), (67, 40), (5, 200)]:
        step = ImageStep(size=size, channels=channels, resample=resample)
        decode = tf.function(lambda files, step=step: decode_batch(step, files))
        files = list(_pictures())
        wanted = step.batch([Image.open(io.BytesIO(file)) for file in files])["image"]

        assert np.array_equal(np.concatenate([decode(tf.constant([f])) for f in files]), wanted)


@pytest.mark.parametrize(
    ("resample", "before"),
    [
        ("nearest", {"shorter_side": 33}),
        ("bicubic", {"shorter_side": 33, "rounding": "even"}),
        ("bilinear", {"resized": (33, 32), "rounding": "even"}),
    ],
)
def test_the_middle_of_a_picture_is_that_of_pillow_bit_for_bit(resample, before):
    import tensorflow as tf

    step = ImageStep(size=(28, 31), resample=resample, **before)
    files = list(_pictures())
    wanted = step.batch([Image.open(io.BytesIO(file)) for file in files])["image"]

    assert np.array_equal(decode_batch(step, tf.constant(files)), wanted)


def test_a_server_takes_the_bytes_of_image_files(exported):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported.path / "saved_model"))
    files = list(_pictures())
    outputs = loaded.signatures["serving_image_bytes"](image_bytes=tf.constant(files))
    wanted = exported.predict([Image.open(io.BytesIO(file)) for file in files], runtime="onnx")

    assert exported.artifact("saved_model").facts["signatures"] == [
        "serving_default",
        "serving_image_bytes",
    ]
    logits = np.stack([prediction.outputs["logits"] for prediction in wanted])
    assert np.abs(outputs["logits"].numpy() - logits).max() < 1e-4


def test_the_request_to_warm_up_with_is_one_that_the_model_answers(exported):
    import tensorflow as tf
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    path = exported.path / "saved_model/assets.extra/tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    # The definitions of tensorflow/serving, as far as a request goes.
    tf.make_tensor_proto(0)
    kinds = {
        "Log": [("predict_log", 6, "Predict", 1)],
        "Predict": [("request", 1, "Request", 1)],
        "Request": [("model_spec", 1, "Spec", 1), ("inputs", 2, "Entry", 3)],
        "Entry": [("key", 1, None, 1), ("value", 2, "tensorflow.TensorProto", 1)],
        "Spec": [("name", 1, None, 1), ("signature_name", 3, None, 1)],
    }
    file = descriptor_pb2.FileDescriptorProto(
        name="requests.proto",
        package="requests",
        dependency=["tensorflow/core/framework/tensor.proto"],
    )
    for kind, fields in kinds.items():
        message = file.message_type.add(name=kind)
        for name, number, of, label in fields:
            field = message.field.add(name=name, number=number, label=label, type=11 if of else 9)
            if of:
                field.type_name = f".{of}" if "." in of else f".requests.{of}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    log = message_factory.GetMessageClass(pool.FindMessageTypeByName("requests.Log"))
    request = log.FromString(record).predict_log.request

    assert (request.model_spec.name, request.model_spec.signature_name) == (
        "digits-net",
        "serving_default",
    )
    inputs = {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs}
    outputs = exported.run(inputs, runtime="saved_model")
    assert outputs["logits"].shape == (1, 10)
    # What is left over of a request that was read wrongly would be unknown fields.
    assert log.FromString(record).SerializeToString() == record
