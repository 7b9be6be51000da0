"""A LiteRT file whose functions share packed weights gives what LiteRT's own kernels give."""

import numpy as np
import pytest
import tensorflow as tf

from zoo_runtime.errors import BundleError
from zoo_runtime.running.compiled import CompiledFile, can_compile
from zoo_runtime.running.sessions import litert_interpreter

pytestmark = pytest.mark.skipif(not can_compile(), reason="XNNPACK shares weights on Linux alone")
KERNEL = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """A file of two functions that take the same kept rows, and a count of another size each."""
    kept = tf.TensorSpec((4, 8), tf.float32, name="kept")
    module = tf.Module()

    def of(rows):
        new = tf.TensorSpec((rows,), tf.int32, name="new")

        def function(kept, new):
            return {"sum": tf.matmul(kept, KERNEL) + tf.cast(tf.reduce_sum(new), tf.float32)}

        return tf.function(function, input_signature=[kept, new])

    module.one, module.three = of(1), of(3)
    signatures = {name: getattr(module, name).get_concrete_function() for name in ("one", "three")}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "saved"), signature_keys=list(signatures)
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(converter.convert())
    return path


def test_functions_share_what_they_have_in_common(path, capfd):
    runner = litert_interpreter(path, provider="builtin").get_signature_runner
    file = CompiledFile(path, threads=1)
    path.write_bytes(b"another file")  # what is loaded stays
    one, three = file.function("one"), file.function("three")
    assert one.inputs["kept"] is three.inputs["kept"]
    assert one.inputs["new"].shape == (1,)
    assert not one.inputs["kept"].any()
    one.inputs["kept"][...] = np.arange(32).reshape(4, 8)
    for name, function in (("one", one), ("three", three)):
        function.inputs["new"][...] = 2
        function.run()
        (expected,) = runner(name)(**function.inputs).values()
        np.testing.assert_allclose(function.outputs["sum"], expected, rtol=1e-6)
    del one, three, function, file
    assert "_registry.cc" not in capfd.readouterr().err, "what LiteRT says of itself"


def test_what_is_no_file_of_litert_is_refused(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"TFL3" * 64)
    with pytest.raises(BundleError, match=r"m\.tflite"):
        CompiledFile(path)
