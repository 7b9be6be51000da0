"""Products of one input become one product, and nothing is stored twice."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from zoo_export.converters.litert.convert import operators_in, weights_in
from zoo_export.converters.litert.delegation import xnnpack_share
from zoo_export.converters.litert.merging import merge_products

WIDTH = 64
random = np.random.default_rng(0)
# Wide enough for weights in int8.
KERNELS = [random.normal(size=(WIDTH, rows)).astype(np.float32) for rows in (48, 32, 40, 56)]
BIASES = [random.normal(size=kernel.shape[1]).astype(np.float32) for kernel in KERNELS]


def product(x, index, bias):
    return tf.matmul(x, KERNELS[index]) + (BIASES[index] if bias else 0.0)


def converted(functions, folder, *, int8):
    spec = tf.TensorSpec((3, WIDTH), tf.float32, name="x")
    module = tf.Module()
    signatures = {}
    for name, function in functions.items():
        setattr(module, name, tf.function(function, input_signature=[spec]))
        signatures[name] = getattr(module, name).get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=list(functions)
    )
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def run(content, name):
    x = np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)
    return Interpreter(model_content=content).get_signature_runner(name)(x=x)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_products_of_one_input_are_one(int8, bias, tmp_path):
    def step(x):
        whole = tf.nn.relu(x)
        return {str(i): tf.tanh(product(whole, i, bias)) for i in range(3)}

    def part(x):
        # Of the group this graph needs one product, and of another input a product alone.
        return {"1": tf.tanh(product(tf.nn.relu(x), 1, bias)), "3": product(x, 3, bias)}

    before = converted({"step": step, "part": part}, tmp_path, int8=int8)
    after = merge_products(before)

    assert operators_in(before)["FULLY_CONNECTED"] == 3 + 2
    assert operators_in(after)["FULLY_CONNECTED"] == 1 + 2
    assert operators_in(after)["SLICE"] == 3 + 1
    kind = "int8" if int8 else "float32"
    assert weights_in(after)[kind] == weights_in(before)[kind]
    # A node that XNNPACK leaves parts a step in two, which wait for each other.
    file = tmp_path / "after.tflite"
    file.write_bytes(after)
    assert xnnpack_share(file, "step")["left"] == xnnpack_share(file, "part")["left"] == {}
    for name in ("step", "part"):
        expected, received = run(before, name), run(after, name)
        assert expected.keys() == received.keys()
        for key, array in expected.items():
            np.testing.assert_allclose(received[key], array, rtol=1e-6, atol=1e-6)


def test_kernels_of_two_groups_stay_apart(tmp_path):
    def first(x):
        return {"a": product(x, 0, bias=False), "b": product(x, 1, bias=False)}

    def second(x):
        return {"a": product(x, 0, bias=False), "c": product(x, 2, bias=False)}

    content = converted({"first": first, "second": second}, tmp_path, int8=False)
    assert merge_products(content) == content
