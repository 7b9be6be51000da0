"""Numbers at the edges: zeros, large and negative ones come out as in Keras."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.onnx import convert as onnx
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_export.reading.signature import signature_of
from zoo_registry import load_target
from zoo_runtime.formats import FORMATS
from zoo_runtime.tensors import BATCH, Tensor

EDGES = np.array([0, -0.0, 1, -1, 20, -20, 90, -90, 100, -100, 1e4, -1e4], "float32")
NUMBERS = np.stack([np.zeros_like(EDGES), EDGES, EDGES[::-1], EDGES / 100])
ACTIVATIONS = sorted(
    name
    for name, value in vars(keras.activations).items()
    if callable(value) and name not in {"deserialize", "get", "serialize", "threshold"}
)
FUNCTIONS = {
    "exp": ops.exp,
    "gelu-exact": lambda x: ops.gelu(x, approximate=False),
    "layer-normalization": layers.LayerNormalization(),
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "normalize": lambda x: ops.normalize(x, axis=-1),
    "reciprocal": ops.reciprocal,
    "rms-normalization": layers.RMSNormalization(),
    "rsqrt": lambda x: ops.rsqrt(ops.abs(x)),
    "unit-normalization": layers.UnitNormalization(),
    "remainder": lambda x: ops.mod(x, -3.0),
    "quotient": lambda x: ops.floor_divide(x, 3.0),
}


def _of_infinities(x):
    x = ops.concatenate([1 / x, ops.log(x)], -1)
    tests = [ops.isinf, ops.isposinf, ops.isneginf, ops.isfinite, ops.isnan]
    compared = [ops.equal(x, np.inf), ops.not_equal(x, -np.inf), ops.equal(x, x), x < np.inf]
    return ops.stack([*(test(x) for test in tests), *compared, ops.nan_to_num(x) < -1e38], axis=1)


FUNCTIONS["infinities"] = _of_infinities
INTEGERS = np.array([[-7, -1, 0, 7, 16777217, -16777217], [5, 4, 3, 2**30, -(2**30), 1]], "int32")
WHOLE = {
    "floor-divide": lambda x: ops.floor_divide(x, 3),
    "floor-divide-by-negative": lambda x: ops.floor_divide(x, -4),
    "mod": lambda x: ops.mod(x, 5),
    "mod-of-negative": lambda x: ops.mod(x, -5),
    "one-hot": lambda x: ops.one_hot(x, 4),
    "one-hot-first-axis": lambda x: ops.one_hot(x, 4, axis=1, dtype="int32"),
    "one-hot-booleans": lambda x: ops.one_hot(x, 4, dtype="bool"),
    "multi-hot": lambda x: ops.multi_hot(x, 4),
    "category-encoding": lambda x: layers.CategoryEncoding(4, output_mode="one_hot")(x[:, :1]),
    "greater": lambda x: ops.greater(x, 16777216),
    "greater-equal": lambda x: ops.greater_equal(x, 16777217),
    "less": lambda x: ops.less(x, 16777217),
    "less-equal": lambda x: ops.less_equal(x, -16777217),
}


def _converted(apply, rows, format_name, path):
    """Return what a file gives for rows, and what Keras gives, without the rest of an export."""
    inputs = keras.Input(rows.shape[1:], name="x", dtype=rows.dtype.name)
    model = keras.Model(inputs, {"y": apply(inputs)})
    expected = signature_of(model).reference({"x": rows})["y"]
    batch = 1 if format_name == "tflite" else BATCH
    conversion = Conversion(
        model,
        (Tensor("x", rows.dtype.name, (batch, *rows.shape[1:])),),
        (Tensor("y", str(expected.dtype), (batch, *expected.shape[1:])),),
        Path(path) / f"file.{format_name}",
        options=ExportOptions().for_format(FORMATS[format_name]),
    )
    {"tflite": tflite, "onnx": onnx}[format_name].convert(conversion)
    session = load_target(FORMATS[format_name].runtime)(conversion.path, threads=1)
    single = [session.run({"x": row[None]})["y"] for row in rows]
    return np.concatenate(single), expected


def _assert_same(given, expected):
    assert given.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(given, expected)
        return
    for row, wanted in zip(given, expected, strict=True):
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-3)
        np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, *FUNCTIONS])
def test_zeros_and_large_numbers_come_out_as_in_keras(name, format_name, tmp_path):
    apply = FUNCTIONS.get(name) or layers.Activation(name)

    _assert_same(*_converted(apply, NUMBERS, format_name, tmp_path))


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
@pytest.mark.parametrize("name", WHOLE)
def test_negative_and_large_integers_come_out_as_in_keras(name, format_name, tmp_path):
    _assert_same(*_converted(WHOLE[name], INTEGERS, format_name, tmp_path))


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "int64"])
@pytest.mark.parametrize("name", ["floor-divide", "mod", "greater-equal"])
def test_integers_of_other_sizes_in_onnx(name, dtype, tmp_path):
    by = {"floor-divide": ops.floor_divide, "mod": ops.mod, "greater-equal": ops.greater_equal}
    limits = np.iinfo(dtype)
    rows = np.array([[limits.min, limits.max, 7, 3, 0, 1]], dtype)

    def apply(x):
        return by[name](x, ops.cast(3, dtype))

    _assert_same(*_converted(apply, rows, "onnx", tmp_path))


@pytest.mark.parametrize("axis", [1, -1, -2])
def test_running_products_in_onnx(axis, tmp_path):
    rows = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    _assert_same(*_converted(lambda x: ops.cumprod(x, axis=axis), rows, "onnx", tmp_path))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("before", "after"), [(12, (7, 20)), (10, (7, 7)), (12, (24, 6))])
def test_images_of_every_size_in_onnx(before, after, interpolation, tmp_path):
    rows = np.random.default_rng(0).random((2, before, before, 3), "float32")
    resizing = layers.Resizing(*after, interpolation=interpolation)

    _assert_same(*_converted(resizing, rows, "onnx", tmp_path))


def test_normalizations_keep_their_one_operator(tmp_path):
    def apply(x):
        return layers.GroupNormalization(3)(layers.RMSNormalization()(x))

    _converted(apply, NUMBERS, "tflite", tmp_path)

    content = (tmp_path / "file.tflite").read_bytes()
    operators = tflite._operators(content)
    assert operators["RSQRT"] == 2
    assert "SQRT" not in operators
