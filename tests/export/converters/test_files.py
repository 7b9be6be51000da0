"""What is in the files themselves, read by each format's own tools."""

import keras
import numpy as np
import onnx
import pytest
from export_layers import Scale
from keras import layers

from zoo_export import export

pytestmark = pytest.mark.slow  # a conversion starts a process that imports TensorFlow


def _onnx(bundle):
    return onnx.load(bundle.path / bundle.artifact("onnx").path)


def _dims(values):
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values
    }


def test_onnx_has_the_models_names_and_the_standard_domain_only(exported):
    proto = _onnx(exported)

    assert _dims(proto.graph.input) == {"image": ["batch", 8, 8, 1]}
    assert _dims(proto.graph.output) == {"logits": ["batch", 10]}
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 20)]
    assert {node.domain for node in proto.graph.node} == {""}
    assert {"conv/kernel", "logits/bias"} <= {tensor.name for tensor in proto.graph.initializer}
    # Every tensor inside has a shape: it was inferred.
    inner = {name for node in proto.graph.node for name in node.output} - {"logits"}
    assert inner <= _dims(proto.graph.value_info).keys()


def test_litert_has_one_signature_and_builtin_operators_only(exported):
    from ai_edge_litert.interpreter import Interpreter

    artifact = exported.artifact("tflite")
    interpreter = Interpreter(model_path=str(exported.path / artifact.path))

    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["logits"]}
    }
    assert set(artifact.facts["operators"]) == {"CONV_2D", "FULLY_CONNECTED", "RESHAPE"}
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]


def test_saved_model_has_named_tensors_and_stores_each_weight_once(exported, trained):
    import tensorflow as tf

    folder = exported.path / "saved_model"
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    weights = sum(weight.nbytes for weight in trained.get_weights())

    assert list(signature.structured_input_signature[1]) == ["image"]
    assert list(signature.structured_outputs) == ["logits"]
    assert signature.inputs[0].shape.as_list() == [None, 8, 8, 1]
    data = sum(file.stat().st_size for file in (folder / "variables").glob("*.data*"))
    assert weights <= data < 1.2 * weights + 2000


def test_exact_gelu_normalization_and_augmentation(tmp_path):
    inputs = keras.Input((16, 16, 3), name="image")
    x = layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.2, 0.3])(inputs)
    x = layers.RandomRotation(0.3)(layers.RandomContrast(0.5)(layers.RandomFlip()(x)))
    x = layers.Dropout(0.5)(layers.Conv2D(4, 3, activation="gelu")(x))
    model = keras.Model(inputs, layers.Dense(5, name="logits")(layers.Flatten()(x)), name="vision")

    bundle = export(model, out=tmp_path / "vision")

    assert [value.name for value in _onnx(bundle).graph.input] == ["image"]
    assert "GELU" in bundle.artifact("tflite").facts["operators"]
    assert all(a.verification.ok for a in bundle.artifacts)


def test_a_recurrent_model_has_no_loop_in_onnx(tmp_path):
    inputs = keras.Input((None, 6), name="sequence")
    x = layers.Bidirectional(layers.LSTM(4))(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x), name="steps")

    bundle = export(model, out=tmp_path / "steps", to=["onnx", "tflite"], sequence_length=9)

    operators = bundle.artifact("onnx").facts["operators"]
    assert operators["LSTM"] == 2  # one for each direction
    assert "Loop" not in operators
    assert bundle.artifact("tflite").inputs[0].shape == (1, 9, 6)


def test_a_tied_embedding_is_stored_once(tmp_path):
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    embedding = layers.ReversibleEmbedding(5000, 32, name="embedding")
    x = layers.LayerNormalization(name="hidden")(embedding(tokens))
    logits = keras.layers.Identity(name="logits")(embedding(x, reverse=True))
    model = keras.Model(tokens, logits, name="tied")

    bundle = export(model, out=tmp_path / "tied", sequence_length=8)

    assert all(5000 * 32 * 4 < a.bytes < 1.3 * 5000 * 32 * 4 for a in bundle.artifacts)


def test_several_inputs_and_outputs_are_bound_by_name(tmp_path):
    # In alphabetical order, LiteRT's own, the inputs would be swapped.
    zebra = keras.Input((3,), name="zebra")
    apple = keras.Input((3,), name="apple")
    outputs = {
        "second": zebra * 2.0,
        "first": layers.Dense(2)(layers.Concatenate()([zebra, apple])),
    }
    model = keras.Model({"zebra": zebra, "apple": apple}, outputs, name="pair")

    bundle = export(model, out=tmp_path / "pair")

    given = {"apple": np.ones((4, 3), "float32"), "zebra": np.zeros((4, 3), "float32")}
    for row in bundle.artifacts:
        result = bundle.run(given, runtime=row.format)
        assert result["second"].tolist() == np.zeros((4, 3)).tolist()
        assert sorted(result) == ["first", "second"]


def test_mixed_precision_is_exported_in_float32(tmp_path):
    inputs = keras.Input((8, 8, 1), name="image", dtype="float32")
    policy = keras.DTypePolicy("mixed_float16")
    x = layers.Conv2D(4, 3, activation="relu", dtype=policy)(inputs)
    x = layers.Dense(3, name="logits", dtype=policy)(layers.Flatten(dtype=policy)(x))
    model = keras.Model(inputs, x, name="half")

    bundle = export(model, out=tmp_path / "half")

    assert [tensor.dtype for tensor in bundle.manifest.outputs] == ["float32"]
    assert model.output.dtype == "float16"  # the caller's model is left as it was


def test_nested_models_shared_layers_and_a_layer_of_the_users_own(tmp_path):
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, Scale()(layers.Dense(4)(inner_in)), name="tower")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    joined = layers.Concatenate()([inner(left), inner(right)])
    model = keras.Model([left, right], layers.Dense(2, name="logits")(joined), name="twins")

    bundle = export(model, out=tmp_path / "twins")

    assert [tensor.name for tensor in bundle.manifest.inputs] == ["left", "right"]
    assert all(a.verification.ok for a in bundle.artifacts)


def test_a_sequential_model(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,), name="features"), layers.Dense(2, name="logits")], name="chain"
    )

    bundle = export(model, out=tmp_path / "chain")

    assert [str(t) for t in bundle.manifest.inputs] == ["features: float32[batch, 4]"]
    assert [str(t) for t in bundle.manifest.outputs] == ["logits: float32[batch, 2]"]


def test_a_model_that_nobody_named_and_that_has_a_loss_of_its_users_own(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="dense")])
    model.compile(loss=_distance)

    bundle = export(model, out=tmp_path / "plain", name="plain")

    [given], [made] = bundle.manifest.inputs, bundle.manifest.outputs
    assert (given.name, made.name) == (model.inputs[0]._keras_history.operation.name, "dense")
    assert all(artifact.verification.ok for artifact in bundle.artifacts)


def test_layers_inside_of_layers_of_keras_hub_that_have_no_configuration(tmp_path):
    import keras_hub

    model = keras_hub.models.GemmaBackbone(
        vocabulary_size=50,
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=16,
        intermediate_dim=32,
        head_dim=8,
    )

    bundle = export(model, out=tmp_path / "gemma", to=["onnx"], name="gemma")

    assert {tensor.name for tensor in bundle.manifest.inputs} == {"token_ids", "padding_mask"}
    assert bundle.artifacts[0].verification.ok


def _distance(targets, outputs):
    return keras.ops.mean(keras.ops.abs(targets - outputs))


def test_a_grouped_convolution_that_keras_compiles_with_xla(tmp_path):
    inputs = keras.Input((8, 8, 6), name="image")
    model = keras.Model(inputs, layers.Conv2D(6, 3, groups=3, name="maps")(inputs), name="grouped")

    assert export(model, out=tmp_path / "g", to=["onnx"]).artifacts[0].verification.ok
