"""What LiteRT's converter leaves of the memory, and of the model that it converts."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from zoo_export.converters.litert import memory
from zoo_export.converters.litert.convert import convert
from zoo_export.converters.tracing import Conversion
from zoo_runtime.errors import ExportError
from zoo_runtime.tensors import Tensor

# A model of 256 MB: how many MB its conversion adds to the memory at most.
_PEAK = """
import json, pathlib, re, sys, tempfile
import keras
import zoo_export.converters.litert.convert as litert
from zoo_export.converters.tracing import Conversion
from zoo_runtime.tensors import Tensor
from zoo_system.machine import peak_mb, reset_peak
from zoo_system.processes import free_memory
def of(width):
    inputs = keras.Input((width,), name="x")
    x = inputs
    for _ in range(4):
        x = keras.layers.Dense(width, activation="relu")(x)
    return keras.Model(inputs, {"y": x})
def convert(model, width):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.tflite"
        tensors = [(Tensor(name, "float32", (1, width)),) for name in "xy"]
        litert.convert(Conversion(model, *tensors, path))
convert(of(8), 8)  # its libraries
model = of(4096)
free_memory()
before = int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
reset_peak()
convert(model, 4096)
print(json.dumps(peak_mb() - before))
"""


def _conversion(tmp_path, width=640, after=lambda x: x):
    inputs = keras.Input((width,), name="x")
    model = keras.Model(inputs, {"y": after(layers.Dense(width, name="wide")(inputs))})
    tensors = [(Tensor(name, "float32", (1, width)),) for name in "xy"]
    return Conversion(model, *tensors, tmp_path / "m.tflite")


class Undone(layers.Layer):
    """What LiteRT cannot compute."""

    def call(self, x):
        """Return the incomplete beta function."""
        return tf.math.betainc(x, x, x)


@pytest.fixture
def emptied(monkeypatch):
    """Return the shapes that large variables had while the converter ran."""
    seen, empty = [], memory._empty

    def noted(variables):
        empty(variables)
        seen.extend(tuple(v.read_value().shape) for v in variables)

    monkeypatch.setattr(memory, "_empty", noted)
    return seen


@pytest.mark.parametrize("links", [True, False])
def test_a_model_has_its_weights_again_after_it_was_converted(
    tmp_path, emptied, monkeypatch, links
):
    if not links:

        def refuse(*_):
            raise OSError("links are unknown to this disk")

        monkeypatch.setattr(memory.os, "link", refuse)
    conversion = _conversion(tmp_path)
    before = conversion.model.get_weights()
    convert(conversion)
    assert emptied == [(0,)]  # the bias is not worth it
    for variable, value in zip(conversion.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
        assert variable.shape == value.shape
    assert conversion.path.stat().st_size > before[0].nbytes
    rows = np.ones((1, 640), "float32")
    np.testing.assert_allclose(conversion.model(rows)["y"], rows @ before[0], atol=1e-5)


def test_a_model_has_its_weights_again_after_its_conversion_failed(tmp_path, emptied):
    conversion = _conversion(tmp_path, after=Undone())
    before = conversion.model.get_weights()
    with pytest.raises(ExportError, match="LiteRT has no built-in operator for Betainc"):
        convert(conversion)
    assert emptied == [(0,)]
    np.testing.assert_array_equal(conversion.model.get_weights()[0], before[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_what_a_conversion_adds_to_the_memory():
    # As in the child of an export, which says why.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", _PEAK], capture_output=True, text=True, check=False, env=environment
    )
    assert not done.returncode, done.stderr
    weights = 4 * 4096 * 4097 * 4 / 1e6
    # 3.1 times the weights, were they in the memory all the time.
    assert json.loads(done.stdout.splitlines()[-1]) < 2.5 * weights
