"""Weights of ONNX files: written without a copy, inside the file or beside it."""

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import zoo
from zoo_export.converters.onnx import schemes as onnx_schemes
from zoo_export.converters.onnx import trace as onnx_trace
from zoo_export.converters.onnx import weights as onnx_weights
from zoo_export.converters.tracing import Conversion
from zoo_export.making import conversion
from zoo_export.reading.axes import input_tensors, output_tensors
from zoo_export.reading.signature import signature_of
from zoo_runtime.running.sessions import open_onnx
from zoo_system.machine import free_bytes

_ROWS = {"features": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def product():
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, size])
        for name, size in (("features", 4), ("out", 3))
    ]
    nodes = [
        helper.make_node("MatMul", ["features", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "product", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("largest", [1_900_000_000, 50])
def test_weights_are_read_back_as_they_were(product, largest, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_weights, "_LARGEST_FILE", largest)
    # The kernel lies in memory the other way round.
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4).T
    bias = np.array([0.5, 1.5, 2.5], np.float32)
    path = tmp_path / "product.onnx"
    onnx_weights.save(product, {"kernel": kernel, "bias": bias, "unread": bias}, path)
    loaded = onnx.load(str(path))
    onnx.checker.check_model(str(path), full_check=True)
    found = {t.name: numpy_helper.to_array(t) for t in loaded.graph.initializer}
    assert list(found) == ["kernel", "bias"]
    np.testing.assert_array_equal(found["kernel"], kernel)
    assert (tmp_path / "product.onnx.data").exists() == (largest == 50)
    out = open_onnx(path).run(_ROWS)["out"]
    np.testing.assert_allclose(out, _ROWS["features"] @ kernel + bias, rtol=1e-6)


def test_small_weights_stay_in_the_graph_for_shapes(product):
    weights = {"kernel": np.zeros((4, 3), np.float32), "bias": np.zeros(3, np.float32)}
    inferred = onnx_weights.infer_shapes(product, weights)
    assert weights == {}
    assert [t.name for t in inferred.graph.initializer] == ["kernel", "bias"]
    assert [v.name for v in inferred.graph.input] == ["features"]
    shapes = {v.name: v.type.tensor_type.shape for v in inferred.graph.value_info}
    assert [dim.dim_value for dim in shapes["product"].dim] == [2, 3]


def test_traced_weights_are_the_memory_of_the_model(tmp_path):
    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
    outputs = output_tensors(
        signature_of(model), [({"batch": 2}, signature_of(model).reference(_ROWS))]
    )
    traced = onnx_trace.trace(
        Conversion(model, input_tensors(signature_of(model)), outputs, tmp_path / "small.onnx")
    )
    kernel = traced.constants["logits/kernel"]
    tensor = model.get_layer("logits").kernel.value.read_value()
    assert np.shares_memory(kernel, np.asarray(memoryview(tensor)))


@pytest.mark.slow
def test_large_weights_are_verified_beside_the_file(tmp_path, monkeypatch):
    # In this process: the child that an export starts would not see a smaller limit.
    from zoo_export.converters.onnx import convert as converter

    monkeypatch.setattr(onnx_weights, "_LARGEST_FILE", 1_000_000)
    model = zoo.get_model("bert-tiny")
    rows = {t.name: np.ones((1, 16), t.dtype) for t in input_tensors(signature_of(model))}
    expected = signature_of(model).reference(rows)
    outputs = output_tensors(signature_of(model), [({"batch": 1, "sequence": 16}, expected)])
    path = tmp_path / "tiny.onnx"
    facts = converter.convert(Conversion(model, input_tensors(signature_of(model)), outputs, path))
    assert facts["weights"]["float32"] == pytest.approx(model.count_params() * 4, rel=0.001)
    assert path.stat().st_size < 500_000
    for name, array in open_onnx(path).run(rows).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


@pytest.mark.slow
def test_large_quantized_weights_are_beside_the_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_weights, "_LARGEST_FILE", 500_000)
    keras.utils.set_random_seed(0)
    model = zoo.get_model("bert-tiny", vocab_size=3000, task="masked-lm")
    rows = {t.name: np.ones((8, 16), t.dtype) for t in input_tensors(signature_of(model))}
    rows["token_ids"] = np.random.default_rng(0).integers(0, 3000, (8, 16)).astype("int32")
    expected = signature_of(model).reference(rows)
    outputs = output_tensors(signature_of(model), [({"batch": 8, "sequence": 16}, expected)])
    schemes = {"float16": 0.51, "dynamic_int8": 0.34, "int8": 0.34}
    for name, share in schemes.items():
        path = tmp_path / f"{name}.onnx"
        conversion = Conversion(
            model, input_tensors(signature_of(model)), outputs, path, calibration=rows
        )
        facts = getattr(onnx_schemes, name)(conversion)
        assert facts["domains"] == ["ai.onnx"]
        # The table of embeddings, which is the output's kernel too, is there once.
        assert sum(facts["weights"].values()) < share * 4 * model.count_params()
        assert path.stat().st_size < 100_000 < path.with_name(f"{name}.onnx.data").stat().st_size
        logits = open_onnx(path).run(rows)["logits"]
        np.testing.assert_allclose(logits, expected["logits"], atol=0.05 * np.abs(logits).max())
    # Neither the float file nor any step on the way stays behind.
    assert len(list(tmp_path.iterdir())) == 2 * len(schemes)


def test_conversions_share_the_machine_only_where_memory_allows():
    assert free_bytes() is None or free_bytes() > 1_000_000
    assert conversion.workers(1_000_000, None) == conversion.WORKERS
    assert conversion.workers(6_230_000_000, 24_000_000_000) == 1
