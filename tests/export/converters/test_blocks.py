"""Weights in blocks of integers against what ONNX's own evaluator makes of them."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from zoo_export.converters.blocks import in_blocks
from zoo_export.converters.onnx.blocks import to_blocks

MATRIX = np.random.default_rng(0).standard_t(5, (64, 256)).astype(np.float32)


def error(matrix, blocks):
    return float(np.sqrt(np.square(blocks.floats() - matrix).sum() / np.square(matrix).sum()))


def test_smaller_blocks_and_more_bits_are_nearer():
    errors = [
        error(MATRIX, in_blocks(MATRIX, bits, size))
        for bits, size in ((8, 32), (8, 256), (4, 32), (4, 128), (4, 256))
    ]
    assert errors == sorted(errors)
    # The scale that clips nothing is further off, as is one that cannot be negative.
    parts = MATRIX.reshape(-1, 32)
    scale = np.abs(parts).max(axis=1, keepdims=True) / 7
    plain = np.square(np.rint(parts / scale) * scale - parts).sum() / np.square(parts).sum()
    signed = error(MATRIX, in_blocks(MATRIX, 4, 32, signed_scales=True))
    assert signed < errors[2] < np.sqrt(plain)
    nothing = in_blocks(np.zeros((2, 32), np.float32), 4, 32)
    assert np.array_equal(nothing.floats(), np.zeros((2, 32)))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_graph_in_blocks_is_what_the_standard_says(bits):
    table = np.random.default_rng(1).normal(size=(300, 64)).astype(np.float32)
    kernel = np.random.default_rng(2).normal(size=(64, 64)).astype(np.float32)
    odd = np.random.default_rng(3).normal(size=(64, 41)).astype(np.float32)  # 41 rows of 64
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "look_up"),
        helper.make_node("MatMul", ["rows", "kernel"], ["x"], "body"),
        helper.make_node("Transpose", ["table"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["logits"], "head"),
        helper.make_node("MatMul", ["x", "odd"], ["other"], "kept"),
    ]
    values = {"table": table, "kernel": kernel, "odd": odd}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n", "t"])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "t", size])
            for name, size in (("logits", 300), ("other", 41))
        ],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])

    to_blocks(proto, bits, 300, kept={"kept"})

    onnx.checker.check_model(proto, full_check=True)
    dims = {t.name: (t.data_type, tuple(t.dims)) for t in proto.graph.initializer}
    few = onnx.TensorProto.INT4 if bits == 4 else onnx.TensorProto.INT8
    assert dims == {
        "table/integers": (onnx.TensorProto.INT8, (300, 64)),
        "table/scales": (onnx.TensorProto.FLOAT, (300, 1)),
        "kernel/integers": (few, (64, 64)),
        "kernel/scales": (onnx.TensorProto.FLOAT, (1, 64)),
        "odd": (onnx.TensorProto.FLOAT, (64, 41)),
    }
    ids = np.array([[3, 7], [299, 0]])
    x = table[ids] @ kernel
    logits, other = ReferenceEvaluator(proto).run(None, {"ids": ids})
    for received, expected in ((logits, x @ table.T), (other, x @ odd)):
        off = np.sqrt(np.square(received - expected).mean() / np.square(expected).mean())
        assert 0 < off < (0.12 if bits == 4 else 0.02)
