"""LSTM and GRU layers in ONNX: one operator each, with masks of every form."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from zoo_export import export

KINDS = {"lstm": layers.LSTM, "gru": layers.GRU}


def _outputs(kind, x, mask):
    def run(name, rnn, first=None):
        made = rnn(x, mask=mask, **({} if first is None else {"initial_state": first}))
        return {name: made}

    found = {
        **run("last", kind(4)),
        **run("all", kind(4, return_sequences=True)),
        **run("backwards", kind(4, return_sequences=True, go_backwards=True)),
        **run("zeros", kind(4, return_sequences=True, zero_output_for_mask=True)),
        **run("last_or_zero", kind(4, zero_output_for_mask=True)),
        **run("both_ways", layers.Bidirectional(kind(3, return_sequences=True))),
        **run("both_ends", layers.Bidirectional(kind(3))),
        **run("no_bias", kind(4, use_bias=False)),
    }
    last, *states = kind(4, return_state=True)(x, mask=mask)
    found |= {f"state_{at}": state for at, state in enumerate(states)}
    first = [layers.Dense(4)(last) for _ in states]
    return found | run("from_state", kind(4), first if len(first) > 1 else first[0])


def _model(kind, *, masked):
    x = keras.Input((None, 5), name="x")
    mask = keras.Input((None,), name="mask", dtype="int32")
    outputs = _outputs(kind, x, ops.not_equal(mask, 0) if masked else None)
    if not masked:
        return keras.Model({"x": x}, outputs, name="plain")
    return keras.Model({"x": x, "mask": mask}, outputs, name="masked")


@pytest.mark.slow
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_one_operator_that_gives_what_keras_gives(kind, masked, tmp_path):
    keras.utils.set_random_seed(1)
    model = _model(KINDS[kind], masked=masked)
    for weight in model.weights:  # a bias is not zero after training
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape))
    bundle = export(model, out=tmp_path / "bundle", to="onnx", sequence_length=6)

    operators = bundle.artifact("onnx").facts["operators"]
    assert operators[kind.upper()] == 12
    assert "Loop" not in operators
    draw = np.random.default_rng(2)
    for batch, steps in ((1, 6), (7, 11)):
        arrays = {"x": draw.normal(size=(batch, steps, 5)).astype(np.float32)}
        if masked:
            arrays["mask"] = draw.integers(0, 2, (batch, steps), np.int32)
            arrays["mask"][0] = 1
            arrays["mask"][1:2] = 0
            arrays["mask"][2:3, :4] = 0
        found = bundle.run(arrays, runtime="onnx")
        for name, wanted in model(arrays).items():
            np.testing.assert_allclose(found[name], wanted, atol=2e-6, err_msg=name)


@pytest.mark.slow
def test_a_layer_that_the_operator_cannot_stand_for(tmp_path):
    x = keras.Input((4, 3), name="x")
    outputs = {
        "relu": layers.LSTM(2, activation="relu")(x),
        "reset_before": layers.GRU(2, reset_after=False)(x),
    }
    bundle = export(keras.Model(x, outputs, name="others"), out=tmp_path / "bundle", to="onnx")
    assert bundle.artifact("onnx").verification.ok
