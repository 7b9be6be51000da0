"""Rows that are masked at head, middle and tail: Keras' answer everywhere."""

import keras
import numpy as np
import pytest
from export_runtimes import (
    by_keras,
    conversion_of,
    onnx_outputs,
    saved_model_outputs,
    tflite_outputs,
)
from keras import layers, ops

import zoo
from zoo_export.card.notes import notes
from zoo_export.converters.litert import convert as tflite
from zoo_export.converters.litert import schemes as tflite_schemes
from zoo_export.converters.litert.edits import to_float16
from zoo_export.converters.onnx import schemes as onnx_schemes
from zoo_export.reading.request import from_model
from zoo_export.reading.source import read_source
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_onnx, open_tflite

STEPS = 6


@keras.saving.register_keras_serializable("masks")
class Own(layers.Layer):
    """Be a cell of the user's own, whose output is not its state."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x, states):
        state = ops.tanh(ops.matmul(x, self.kernel) + states[0] / 2)
        return state + 1.0, [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("masks")
class Halved(layers.LSTMCell):
    """Halve what an LSTM is given."""

    def call(self, inputs, states, training=False):
        return super().call(inputs / 2, states, training)


@keras.saving.register_keras_serializable("masks")
class OwnCell(layers.LSTM):
    """Be an LSTM by name alone."""

    def __init__(self, units, **options):
        super().__init__(units, **options)
        self.cell = Halved(units)


def stacked(units, **options):
    return layers.RNN([layers.LSTMCell(3), layers.GRUCell(units)], **options)


KINDS = {
    "lstm": layers.LSTM,
    "gru": layers.GRU,
    "gru-reset-first": lambda units, **options: layers.GRU(units, reset_after=False, **options),
    "simple": layers.SimpleRNN,
    "cell": lambda units, **options: layers.RNN(layers.LSTMCell(units), **options),
}
LOOPS = {
    "stacked": stacked,
    "own": lambda units, **options: layers.RNN(Own(units), **options),
    "own-cell": OwnCell,
}


def masked_rows():
    mask = np.ones((7, STEPS), "int32")
    mask[1, :2] = mask[2, 2:4] = mask[3, -2:] = mask[4] = mask[5, [0, 2, 5]] = 0
    rows = np.random.default_rng(0).normal(size=(len(mask), STEPS, 5)).astype("float32")
    return {"x": rows, "mask": mask}


def build(outputs):
    keras.utils.set_random_seed(1)
    x, mask = keras.Input((STEPS, 5), name="x"), keras.Input((STEPS,), dtype="int32", name="mask")
    model = keras.Model({"x": x, "mask": mask}, outputs(x, ops.not_equal(mask, 0)), name="net")
    for weight in model.weights:  # no bias of zeros
        weight.assign(weight + 0.2 * keras.random.uniform(weight.shape, seed=1))
    return model


def every_way(kind):
    """Return outputs of a layer in every direction, with every merge."""
    makes = {
        "backwards": {"go_backwards": True},
        "zeros": {"zero_output_for_mask": True},
        "zeros_backwards": {"zero_output_for_mask": True, "go_backwards": True},
    }

    def outputs(x, mask):
        found = {
            "last_or_zero": kind(4, zero_output_for_mask=True, go_backwards=True)(x, mask=mask)
        }
        for name, options in makes.items():
            found[name] = kind(4, return_sequences=True, **options)(x, mask=mask)
        for mode in ("concat", "sum", "mul", "ave"):
            both = layers.Bidirectional(kind(4, return_sequences=True), merge_mode=mode)
            found[mode] = both(x, mask=mask)
        apart = layers.Bidirectional(kind(4, return_sequences=True), merge_mode=None)
        found["forth"], found["back"] = apart(x, mask=mask)
        found["ends"] = layers.Bidirectional(kind(4))(x, mask=mask)
        made = keras.tree.flatten(kind(4, return_state=True)(x, mask=mask))
        return found | {f"state_{at}": state for at, state in enumerate(made)}

    return outputs


def two_ways(kind):
    def outputs(x, mask):
        return {
            "both": layers.Bidirectional(kind(4, return_sequences=True))(x, mask=mask),
            "last": kind(4, go_backwards=True)(x, mask=mask),
        }

    return outputs


def agree(given, right):
    assert given.keys() == right.keys()
    for name, wanted in right.items():
        assert np.isfinite(wanted).all(), name
        assert wanted.std() > 1e-3, name
        np.testing.assert_allclose(given[name], wanted, atol=2e-6, err_msg=name)


def keras_gives(model, arrays):
    return {name: np.asarray(value) for name, value in model(arrays).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_onnx(kind, tmp_path):
    ways = every_way if kind in {"lstm", "gru-reset-first"} else two_ways
    model, arrays = build(ways(KINDS[kind])), masked_rows()
    by_runtime, by_standard, facts = onnx_outputs(model, arrays, tmp_path / "net.onnx")
    right = keras_gives(model, arrays)
    agree(by_runtime, right)
    agree(by_standard, right)
    assert "Loop" not in facts["operators"]


@pytest.mark.parametrize("kind", LOOPS)
def test_onnx_of_cells_of_ones_own(kind, tmp_path):
    model, arrays = build(two_ways(LOOPS[kind])), masked_rows()
    by_runtime, by_standard, facts = onnx_outputs(model, arrays, tmp_path / "net.onnx")
    right = keras_gives(model, arrays)
    agree(by_runtime, right)
    agree(by_standard, right)
    assert facts["operators"]["Loop"] == 3


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [("lstm", "unroll"), ("lstm", "loop"), ("own-cell", "unroll"), ("stacked", "unroll")],
)
def test_litert(kind, strategy, tmp_path):
    make = (KINDS | LOOPS)[kind]
    ways = every_way if (kind, strategy) == ("lstm", "unroll") else two_ways
    model, arrays = build(ways(make)), masked_rows()
    given, _ = tflite_outputs(model, arrays, tmp_path / "net.tflite", rnn=strategy)
    agree(given, keras_gives(model, arrays))


def test_our_own_tagger(tmp_path):
    task = {"task": "token-classification", "sequence_length": STEPS}
    model = zoo.get_model("bilstm-tagger", vocab_size=30, hidden_dim=8, **task)
    mask = masked_rows()["mask"]
    tokens = np.random.default_rng(0).integers(1, 30, mask.shape).astype("int32") * mask
    arrays = {"token_ids": tokens, "padding_mask": mask}
    given, facts = tflite_outputs(model, arrays, tmp_path / "net.tflite")
    agree(given, by_keras(model, arrays))
    assert {row["strategy"] for row in facts["rnn"].values()} == {"unroll"}


def int8_of(model, arrays, calibration, path):
    conversion = conversion_of(model, arrays, path, batch=1, calibration=calibration)
    tflite_schemes.int8(conversion)
    return Runner(open_tflite(path), conversion.inputs, conversion.outputs).run(arrays)


@pytest.mark.parametrize(("kind", "rows"), [("lstm", 16), ("gru", 8)])
def test_calibrated_int8_of_few_rows(kind, rows, tmp_path):
    model, arrays = build(two_ways(KINDS[kind])), masked_rows()
    generator = np.random.default_rng(1)
    calibration = {
        "x": generator.normal(size=(rows, STEPS, 5)).astype("float32"),
        "mask": (generator.uniform(size=(rows, STEPS)) > 0.3).astype("int32"),
    }
    given = int8_of(model, arrays, calibration, tmp_path / "net.tflite")
    for name, wanted in keras_gives(model, arrays).items():
        # Ranges of each step by itself leave .13 to .19 off, reversed steps of another scale .2.
        lost = np.sqrt(np.square(given[name] - wanted).mean()) / wanted.std()
        assert lost < 0.1, name
    assert np.abs(given["both"][arrays["mask"] == 0]).max() < 0.01


def test_what_moves_numbers_to_another_scale_scales_them(tmp_path):
    x = keras.Input((6, 4), name="x")
    moves = {
        "reversed": lambda y: ops.flip(y, axis=1),
        "tiled": lambda y: ops.tile(y, (1, 2, 1))[:, 3:9],
        "rolled": lambda y: ops.roll(y, 2, axis=1),
        "repeated": lambda y: ops.repeat(y, 2, axis=1)[:, ::2],
        "taken": lambda y: ops.take(y, [3, 1, 2, 0, 5, 4], axis=1),
        "reflected": lambda y: ops.pad(y, ((0, 0), (1, 1), (0, 0)), "reflect")[:, :6],
    }
    beside = {
        name: ops.concatenate([9 * layers.Dense(4)(x), move(layers.Dense(4)(x))], 1)
        for name, move in moves.items()
    }
    rows = np.random.default_rng(0).normal(size=(64, 6, 4)).astype("float32")
    model = keras.Model(x, beside, name="net")
    given = int8_of(model, {"x": rows}, {"x": rows}, tmp_path / "net.tflite")
    for name, wanted in keras_gives(model, {"x": rows}).items():
        off = np.abs(given[name] - wanted)[:, 6:].max()
        # A step of the output, and one of what came in.
        assert off < 2 * np.ptp(wanted) / 255, name


def test_first_states_and_masks(tmp_path):
    def outputs(x, mask):
        first = [layers.Dense(4)(x[:, 0]) for _ in range(4)]
        both = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
        back = layers.GRU(4, return_sequences=True, go_backwards=True, zero_output_for_mask=True)
        return {
            "both": both(x, mask=mask, initial_state=first),
            "back": back(x, mask=mask, initial_state=first[0]),
        }

    model, arrays = build(outputs), masked_rows()
    right = keras_gives(model, arrays)
    for given in onnx_outputs(model, arrays, tmp_path / "net.onnx")[:2]:
        agree(given, right)
    agree(tflite_outputs(model, arrays, tmp_path / "net.tflite", rnn="unroll")[0], right)
    agree(saved_model_outputs(model, arrays, tmp_path / "saved"), right)


def test_what_its_author_has_unrolled_answers_as_keras_does(tmp_path):
    # Keras' unrolled code zeroes by the mask in the order of the input: so was it trained.
    def outputs(x, mask):
        layer = layers.LSTM(4, return_sequences=True, unroll=True, name="lstm")
        return {"both": layers.Bidirectional(layer)(x, mask=mask)}

    model, arrays = build(outputs), masked_rows()
    right = keras_gives(model, arrays)
    for given in onnx_outputs(model, arrays, tmp_path / "net.onnx")[:2]:
        agree(given, right)
    for strategy in ("unroll", "loop"):
        path = tmp_path / f"{strategy}.tflite"
        agree(tflite_outputs(model, arrays, path, rnn=strategy)[0], right)

    # It is said, by how much: the same layers without unroll=True answer otherwise.
    source = read_source(from_model(model))
    found = source.samples.notes["unrolled"]
    assert found["layers"] == ["backward_lstm"]
    assert found["by"] > 0.05
    (told,) = notes({"unrolled_by_author": found})
    assert told.startswith(
        "In Keras itself the zeros of masked steps are in the wrong places, as backward_lstm runs "
        "backwards with unroll=True: by up to 0."
    )
    assert model.layers[-1].backward_layer.unroll
    looped = build(two_ways(layers.LSTM))
    assert not read_source(from_model(looped)).samples.notes["unrolled"]


# -- float16 --------------------------------------------------------------------------------------


def attention_in_every_way():
    """Return masks of every kind, and numbers that float16 does not hold, with their rows."""
    keras.utils.set_random_seed(1)
    tokens, raw = keras.Input((STEPS,), dtype="int32", name="tokens"), keras.Input((4,), name="raw")
    steps, mask = keras.Input((STEPS,), name="steps"), keras.Input((STEPS,), name="mask")
    bias = keras.Input((STEPS,), name="bias")
    x = layers.Embedding(20, 16, mask_zero=True)(tokens)
    attended = layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True)
    scores, visible = 4 * layers.Dense(STEPS)(steps), mask > 0.5
    means, variances = [1500.3, 2015.0, 3e5, -7e6], [0.01, 4.0, 1e8, 1e12]
    outputs = {
        "attended": layers.Dense(3)(attended),
        "layer": layers.Softmax()(scores, mask=visible),
        "added": ops.softmax(scores + (1 - mask) * -1e9),
        "small": ops.softmax(scores + (1 - mask) * -1e4),
        "least": ops.softmax(ops.where(visible, scores, -3.4e38)),
        "twice": ops.softmax(scores + (1 - mask) * -6e4 + (1 - mask[:, ::-1]) * -6e4),
        "given": ops.softmax(scores + bias),
        "logits": ops.where(visible, scores, -1e9),
        "absent": ops.where(visible, scores, -np.inf),
        "scaled": layers.Dense(3)(layers.Normalization(mean=means, variance=variances)(raw)),
        "far": layers.Dense(3)(steps) * 1e6,
        "binned": layers.Embedding(4, 3)(layers.Discretization([2.9e5, 3e5, 3.1e5])(raw[:, 2])),
        "counted": layers.Embedding(8000, 3)(ops.cast(2000 * ops.abs(steps), "int32")),
    }
    model = keras.Model([tokens, steps, mask, bias, raw], outputs, name="net")
    for weight in model.weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=1))
    generator = np.random.default_rng(0)
    masks = masked_rows()["mask"]
    tokens = generator.integers(1, 20, masks.shape).astype("int32") * masks
    draws = generator.normal(size=(len(masks), 4)) * np.sqrt(variances) + means
    rows = {
        "tokens": tokens,
        "steps": generator.normal(size=masks.shape),
        "mask": masks,
        "bias": (1 - masks) * -1e9,
        "raw": draws,
    }
    return model, {n: np.asarray(row, "int32" if n == "tokens" else "f") for n, row in rows.items()}


def encoder_and_decoder():
    keras.utils.set_random_seed(1)
    sizes = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "ff_dim": 32, "vocab_size": 12}
    model = zoo.get_model("transformer-base", sequence_length=STEPS, target_length=4, **sizes)
    generator, masks = np.random.default_rng(0), masked_rows()["mask"]
    tokens = {"token_ids": STEPS, "decoder_token_ids": 4}
    rows = {n: generator.integers(1, 12, (len(masks), size)) for n, size in tokens.items()}
    rows |= {"padding_mask": masks, "decoder_padding_mask": np.ones((len(masks), 4))}
    return model, {name: row.astype("int32") for name, row in rows.items()}


@pytest.mark.parametrize("make", [attention_in_every_way, encoder_and_decoder])
def test_float16_keeps_masks_and_what_else_it_does_not_hold(make, tmp_path):
    model, arrays = make()
    right = by_keras(model, arrays)
    lite = conversion_of(model, arrays, tmp_path / "net.tflite", batch=1)
    standard = conversion_of(model, arrays, tmp_path / "net.onnx")
    facts = [tflite_schemes.float16(lite), onnx_schemes.float16(standard)]
    given = [
        Runner(open_(x.path), x.inputs, x.outputs).run(arrays)
        for x, open_ in ((lite, open_tflite), (standard, open_onnx))
    ]

    # Weights behind the tables, as in files above 2 GB, on the way in and on the way out.
    def offsets(converter):
        converter._experimental_use_buffer_offset = True

    tflite.convert(lite, offsets, change=lambda content: to_float16(content, 0))
    given.append(Runner(open_tflite(lite.path), lite.inputs, lite.outputs).run(arrays))
    for answers in given:
        for name, wanted in right.items():
            size = np.abs(wanted[wanted > -1e8]).max()
            np.testing.assert_allclose(
                answers[name], wanted, atol=4e-3 * size, rtol=1e-6, err_msg=name
            )
    for found in facts:
        assert found["weights"]["float16"] > 2 * found["float_constants"] > 0
