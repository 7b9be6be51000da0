"""Models that the stock exporters get wrong: each comes out right in every format."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops

from zoo_export import export
from zoo_registry import UsageError

pytestmark = pytest.mark.slow


def _model(apply, shape=(6,), dtype="float32"):
    inputs = keras.Input(shape, name="x", dtype=dtype)
    return keras.Model(inputs, apply(inputs), name="small")


def _masked(rnn):
    def apply(tokens):
        x = layers.Embedding(20, 8, mask_zero=True)(tokens)
        return layers.Dense(3, name="logits")(rnn(x))

    return _model(apply, (10,), "int32")


def _stacked(x):
    return layers.GRU(5)(layers.LSTM(6, return_sequences=True)(x))


MODELS = {
    "celu": lambda: _model(layers.Activation("celu")),
    "discretization": lambda: _model(
        lambda x: ops.cast(layers.Discretization([-1.0, 0.0, 0.5])(x), "float32")
    ),
    "argmax-and-argmin": lambda: _model(
        lambda x: {"most": ops.argmax(x, axis=-1), "least": ops.argmin(x, axis=-1, keepdims=True)}
    ),
    "boolean-mask": lambda: _model(lambda x: ops.where(ops.logical_and(x > -1, x < 1), x, 0.0)),
    "one-hot": lambda: _model(layers.CategoryEncoding(5, output_mode="one_hot"), (4,), "int32"),
    "normalization": lambda: _model(layers.Normalization(mean=0.5, variance=2.0)),
    "masked-lstm": lambda: _masked(layers.LSTM(6)),
    "masked-gru": lambda: _masked(layers.GRU(6)),
    "masked-bidirectional": lambda: _masked(layers.Bidirectional(layers.LSTM(4))),
    "masked-stacked": lambda: _masked(_stacked),
    "keras-attention": lambda: _model(
        lambda x: layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x)), (5, 8)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_format_gives_what_keras_gives(name, tmp_path):
    keras.utils.set_random_seed(0)
    bundle = export(MODELS[name](), out=tmp_path / "bundle")

    assert [artifact.format for artifact in bundle.artifacts] == ["tflite", "onnx", "saved_model"]
    assert all(artifact.verification.tolerance == 1e-5 for artifact in bundle.artifacts)
    assert all(artifact.verification.ok for artifact in bundle.artifacts)


def test_a_table_in_the_graph_is_refused(tmp_path):
    model = _model(layers.IntegerLookup(vocabulary=[3, 4], name="ids"), (4,), "int64")

    with pytest.raises(UsageError) as caught:
        export(model, out=tmp_path / "bundle")
    assert str(caught.value) == (
        "Layer 'ids' of model 'small' looks its input up in a table, which no runtime has: do that "
        "in preprocessing, and let the model begin with numbers."
    )


# -- what becomes one operator ------------------------------------------------------------------


def _operators(model, tmp_path):
    bundle = export(model, to=["onnx"], out=tmp_path / "bundle")
    return bundle, bundle.artifacts[0].facts["operators"]


def test_an_encoder_is_products_and_fused_operators(tmp_path):
    from zoo_models.build import get_model

    model = get_model("bert-tiny", task="text-classification", vocab_size=50)
    bundle, operators = _operators(model, tmp_path)

    assert operators["LayerNormalization"] == 5
    assert operators["Gelu"] == 2
    # Inside the blocks sizes are copied or constant; segments, mask and positions ask for theirs.
    assert operators["Shape"] <= 3
    assert not {"Erf", "Pow", "Less", "Reciprocal"} & operators.keys()
    proto = onnx.load(bundle.path / bundle.artifacts[0].path)
    sums = {node.output[0]: node for node in proto.graph.node if node.op_type == "Add"}
    biases = {t.name for t in proto.graph.initializer if len(t.dims) == 1}
    normalized = [n.input[0] for n in proto.graph.node if n.op_type == "LayerNormalization"]
    # The bias is added last, which keeps ONNX Runtime from a slower operator of its own.
    assert sum(bool(biases.intersection(sums[name].input)) for name in normalized) == 4


def test_normalization_and_gelu_of_keras(tmp_path):
    def apply(x):
        x = layers.LayerNormalization(epsilon=1e-6)(x)
        return ops.gelu(layers.Dense(4, activation="gelu")(x), approximate=True)

    _, operators = _operators(_model(apply, (None, 8)), tmp_path)

    assert (operators["LayerNormalization"], operators["Gelu"]) == (1, 2)
    assert operators.keys() == {"LayerNormalization", "MatMul", "Add", "Gelu"}


def test_a_normalization_over_other_axes_stays_as_it_is(tmp_path):
    model = _model(layers.LayerNormalization(axis=1), (5, 8))

    assert "LayerNormalization" not in _operators(model, tmp_path)[1]


def test_the_file_says_what_it_is(exported):
    proto = onnx.load(exported.path / exported.artifact("onnx").path)
    said = {entry.key: entry.value for entry in proto.metadata_props}

    assert said["name"] == "digits-net"
    assert said["task"] == "image-classification"
    assert said["license"] == "BSD-3-Clause"
    assert said["labels"].startswith('["digit 0", "digit 1"')
    assert said["preprocessing"] == '[{"step": "image", "size": [8, 8], "channels": 1}]'
    assert '"onnxruntime"' in said["versions"]
    assert np.all([entry.value for entry in proto.metadata_props])
