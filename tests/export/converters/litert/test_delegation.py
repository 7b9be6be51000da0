"""How much of a LiteRT file XNNPACK computes: counted, named, and reported to the user."""

import keras
import pytest
from keras import layers

from zoo_export import export
from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.litert.delegation import xnnpack_share
from zoo_export.converters.tracing import Conversion
from zoo_runtime.tensors import Tensor


def share_of(bundle):
    [artifact] = [row for row in bundle.artifacts if row.format.startswith("tflite")]
    return artifact.facts["xnnpack"]


@pytest.mark.slow
def test_all_of_a_float_cnn_is_taken(exported):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = exported.path / exported.artifact("tflite").path
    plain = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    nodes = len(plain._get_ops_details())

    assert share_of(exported) == {"nodes": nodes, "taken": nodes, "left": {}}
    said = f"`digits-net.tflite`: XNNPACK computes {nodes} of {nodes} nodes (100 %).\n"
    assert said in (exported.path / "README.md").read_text()


def converted(inputs, x, path):
    """Convert in this process a model of one input and one output."""
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x))
    given = (Tensor("steps", "float32", (1, *inputs.shape[1:])),)
    return tflite.convert(Conversion(model, given, (Tensor("logits", "float32", (1, 3)),), path))


@pytest.mark.slow
def test_what_xnnpack_lacks_is_named(tmp_path):
    inputs = keras.Input((8, 6), name="steps")
    x = keras.ops.cumsum(layers.Conv1D(4, 3, name="conv")(inputs), axis=1)

    facts = converted(inputs, layers.Flatten()(x), tmp_path / "sums.tflite")

    nodes = sum(facts["operators"].values())
    assert facts["xnnpack"] == {"nodes": nodes, "taken": nodes - 1, "left": {"CUMSUM": 1}}


@pytest.mark.slow
def test_the_body_of_a_loop_counts_too(tmp_path):
    inputs = keras.Input((20, 4), name="steps")

    facts = converted(inputs, layers.LSTM(8)(inputs), tmp_path / "loop.tflite")

    share, operators = facts["xnnpack"], facts["operators"]
    assert share["nodes"] == sum(operators.values())
    assert share["left"]["WHILE"] == 1
    # The gates are in the body, and XNNPACK computes them.
    assert operators["LOGISTIC"] == 3
    assert not {"LOGISTIC", "TANH", "MUL", "FULLY_CONNECTED"} & set(share["left"])


@pytest.mark.slow
def test_an_int8_file_and_one_that_xnnpack_refuses(make_run, tmp_path):
    bundle = export(make_run(), to=["tflite:int8", "tflite:int16x8"], out=tmp_path / "quantized")
    int8, int16 = (row.facts["xnnpack"] for row in bundle.artifacts)

    assert int8["taken"] == int8["nodes"] > 0
    assert int16["taken"] == 0
    assert sum(int16["left"].values()) == int16["nodes"]
    path = bundle.path / bundle.artifact("tflite:int8").path
    assert xnnpack_share(path, "serving_default") == int8
