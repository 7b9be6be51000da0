"""ONNX files that ONNX Runtime optimised: with operators of its own, and they say so."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

import zoo
from zoo_export import export, load_bundle, verify
from zoo_export.converters.onnx import convert as converter
from zoo_export.converters.onnx import weights as onnx_weights
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_export.reading.axes import input_tensors, output_tensors
from zoo_export.reading.signature import signature_of
from zoo_registry import UsageError
from zoo_runtime.running.sessions import open_onnx

OWN = "com.microsoft"


@pytest.mark.slow
def test_it_holds_own_operators_says_which_and_is_verified(make_run, tmp_path):
    to = ["onnx", "onnx:dynamic-int8"]
    bundle = export(make_run(), to=to, optimize="onnxruntime", out=tmp_path / "digits-net")

    artifact, quantized = bundle.artifacts
    assert artifact.facts["domains"] == ["ai.onnx", OWN]
    assert artifact.facts["optimized"] == {
        "by": "ONNX Runtime",
        "version": onnxruntime.__version__,
        "domain": OWN,
        "operators": {"FusedConv": 1},
    }
    proto = onnx.load(str(bundle.path / artifact.path))
    assert [node.op_type for node in proto.graph.node if node.domain == OWN] == ["FusedConv"]
    assert {entry.domain for entry in proto.opset_import} == {"", OWN}
    assert {entry.key for entry in proto.metadata_props} >= {"labels", "versions"}
    assert artifact.verification.max_abs_diff < 1e-4
    assert {1, 3} <= set(artifact.verification.batches)
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert (
        f"- `digits-net.onnx`: Optimised by ONNX Runtime {onnxruntime.__version__}, the only "
        "runtime that has its 1 FusedConv of the domain com.microsoft.\n"
    ) in card
    assert all(row.ok for row in verify(load_bundle(bundle.path)))
    # What is made from the float file is made from the standard one.
    assert quantized.facts["domains"] == ["ai.onnx"]
    assert "optimized" not in quantized.facts


@pytest.mark.slow
@pytest.mark.parametrize("largest", [onnx_weights._LARGEST_FILE, 1_000_000])
def test_weights_stay_where_they_were(largest, tmp_path, monkeypatch):
    # In this process: the child that an export starts would not see a smaller limit.
    monkeypatch.setattr(onnx_weights, "_LARGEST_FILE", largest)
    keras.utils.set_random_seed(0)
    model = zoo.get_model("bert-tiny", vocab_size=3000)
    rows = {t.name: np.ones((2, 16), t.dtype) for t in input_tensors(signature_of(model))}
    expected = signature_of(model).reference(rows)
    outputs = output_tensors(signature_of(model), [({"batch": 2, "sequence": 16}, expected)])
    path = tmp_path / "tiny.onnx"
    options = ExportOptions(optimize="onnxruntime")
    conversion = Conversion(
        model, input_tensors(signature_of(model)), outputs, path, options=options
    )

    facts = converter.convert(conversion)

    assert facts["optimized"]["operators"]["BiasGelu"] == 2
    assert facts["weights"]["float32"] == pytest.approx(model.count_params() * 4, rel=0.001)
    beside = {"tiny.onnx", *(["tiny.onnx.data"] if largest == 1_000_000 else [])}
    assert {file.name for file in tmp_path.iterdir()} == beside
    if len(beside) == 2:
        assert path.stat().st_size < 500_000
    for name, array in open_onnx(path).run(rows).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


REFUSED = {
    "another optimizer": (
        ["onnx"],
        "onnxruntme",
        "There is no optimize='onnxruntme'. Did you mean 'onnxruntime'? There is: onnxruntime.",
    ),
    "no file to optimise": (
        ["tflite", "onnx:int8"],
        "onnxruntime",
        "optimize='onnxruntime' is for onnx in float32, not for tflite, onnx:int8. Leave it out.",
    ),
}


@pytest.mark.parametrize(("to", "word", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_optimised_is_refused(to, word, message, dense, tmp_path):
    with pytest.raises(UsageError) as caught:
        export(dense(), to=to, optimize=word, out=tmp_path / "bundle")
    assert str(caught.value) == message


def test_a_file_holds_no_weight_that_nothing_reads(tmp_path):
    # ONNX Runtime warns of each of them, in every program that loads the file.
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, keras.layers.Flatten(name="out")(x))
    rows = {"image": np.ones((2, 8, 8, 3), np.float32)}
    outputs = output_tensors(
        signature_of(model), [({"batch": 2}, signature_of(model).reference(rows))]
    )
    path = tmp_path / "net.onnx"
    converter.convert(Conversion(model, input_tensors(signature_of(model)), outputs, path))
    graph = onnx.load(str(path)).graph
    read = {name for node in graph.node for name in node.input}
    assert [tensor.name for tensor in graph.initializer if tensor.name not in read] == []
