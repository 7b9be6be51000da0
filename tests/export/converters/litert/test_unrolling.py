"""Recurrent layers in LiteRT: loops, or every step unrolled."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo_export import export
from zoo_export.card.notes import notes
from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.litert.recurrent import MOST_UNROLLED
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_registry import UsageError
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_tflite
from zoo_runtime.tensors import Tensor


def build(layer, steps):
    inputs = keras.Input((steps, 5), name="steps")
    x = keras.layers.Masking()(inputs)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layer(x)), name="net")


def converted(model, path, steps, batch=1, **options):
    """Convert in this process, run the file and compare it with Keras."""
    inputs = (Tensor("steps", "float32", (batch, steps, 5)),)
    outputs = (Tensor("logits", "float32", (batch, 3)),)
    facts = tflite.convert(
        Conversion(model, inputs, outputs, path, options=ExportOptions(**options))
    )
    rows = np.random.default_rng(0).normal(size=(3, steps, 5)).astype("float32")
    rows[1, steps // 2 :] = 0  # masked
    given = Runner(open_tflite(path), inputs, outputs).run({"steps": rows})
    np.testing.assert_allclose(given["logits"], np.asarray(model(rows)), rtol=1e-5, atol=1e-5)
    return facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "wanted", "strategy"),
    [
        (MOST_UNROLLED, None, "unroll"),
        (MOST_UNROLLED + 1, None, "loop"),
        (6, "loop", "loop"),
        (20, "unroll", "unroll"),
    ],
)
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_what_suits_the_length_or_what_is_asked_for(cell, steps, wanted, strategy, tmp_path):
    layer = layers.Bidirectional(getattr(layers, cell)(4, name="cell"), name="both")
    model = build(layer, steps)

    facts = converted(model, tmp_path / "net.tflite", steps, rnn=wanted)

    row = {"strategy": strategy, "steps": steps}
    assert facts["rnn"] == {"forward_cell": row, "backward_cell": row}
    assert ("WHILE" in facts["operators"]) == (strategy == "loop")
    said = f"in a loop of {steps} steps" if strategy == "loop" else f"unrolled, {steps} steps"
    assert f"Recurrent layers: 2 {said}." in notes(facts)
    # The model is left as it was.
    assert not layer.forward_layer.unroll
    assert "inner_loop" not in vars(layer.forward_layer)


class Halved(layers.LSTMCell):
    """Be a cell of the user's own."""

    def call(self, inputs, states, training=False):
        return super().call(inputs / 2, states, training)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "products_a_step"),
    [
        (layers.LSTM(4), 1),
        (layers.LSTM(4, use_bias=False, go_backwards=True, recurrent_activation="hard_sigmoid"), 1),
        (layers.GRU(4), 1),
        (layers.GRU(4, reset_after=False), 2),
        (layers.GRU(4, use_bias=False, implementation=1), 1),
        (layers.SimpleRNN(4), 1),
        (layers.RNN(layers.LSTMCell(4)), 1),
        (layers.RNN(Halved(4)), 2),
    ],
    ids=["lstm", "lstm-bare", "gru", "gru-reset-first", "gru-bare", "simple", "rnn", "own-cell"],
)
def test_inputs_are_multiplied_all_at_once(layer, products_a_step, tmp_path):
    steps = 6
    model = build(layer, steps)
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])

    facts = converted(model, tmp_path / "net.tflite", steps, rnn="unroll")

    # Nothing is multiplied by the zeros of the first state; the head is one more product.
    before = 0 if products_a_step == 2 and isinstance(layer.cell, Halved) else 1
    fewest = products_a_step * (steps - 1) + before + 1
    assert fewest <= facts["operators"]["FULLY_CONNECTED"] <= fewest + products_a_step
    assert "call" not in vars(layer.cell)


@pytest.mark.slow
def test_what_its_author_has_unrolled_stays_so(tmp_path):
    facts = converted(build(layers.GRU(4, unroll=True), 20), tmp_path / "net.tflite", 20)
    assert [row["strategy"] for row in facts["rnn"].values()] == ["unroll"]


@pytest.mark.slow
def test_any_batch_needs_every_step_written_out(tmp_path):
    facts = converted(build(layers.LSTM(4), 20), tmp_path / "net.tflite", 20, batch="batch")
    assert [row["strategy"] for row in facts["rnn"].values()] == ["unroll"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rnn": "unrol"},
            "There is no rnn='unrol'. Did you mean 'unroll'? There are: loop, unroll.",
        ),
        (
            {"rnn": "unroll", "to": ["onnx"]},
            "rnn='unroll' is for tflite, not for onnx. Leave it out.",
        ),
        (
            {"rnn": "loop", "to": ["tflite:int8"]},
            "rnn='loop': tflite:int8 measures the ranges of activations, which LiteRT cannot do in "
            "a loop. Leave it out, or give 'unroll'.",
        ),
        (
            {"rnn": "loop", "batch_sizes": "dynamic"},
            "rnn='loop': LiteRT has no loop of any batch. Leave it out, or give batch_sizes as "
            "numbers.",
        ),
    ],
)
def test_what_cannot_be_had(options, message, tmp_path):
    model = build(layers.LSTM(4), 6)
    calibration = {"steps": np.zeros((8, 6, 5), "float32")}
    with pytest.raises(UsageError) as caught:
        export(
            model, **{"to": ["tflite"], "calibration": calibration, "out": tmp_path / "x"} | options
        )
    assert str(caught.value) == message


def test_a_model_without_recurrent_layers(dense, tmp_path):
    with pytest.raises(UsageError) as caught:
        export(dense(), to=["tflite"], rnn="loop", out=tmp_path / "x")
    assert str(caught.value) == "Model 'small' has no recurrent layer: leave rnn='loop' out."
