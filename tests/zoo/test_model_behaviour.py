"""What the models promise beside their shapes: masks, order, overrides, messages, first values."""

import numpy as np
import pytest
from model_cases import DISTINCT_HEADS, assert_equal_outputs, example, outputs, small

from zoo_models.build import get_model
from zoo_registry import ModelSpec, UsageError, models

VARIANTS = [
    *((name, task, {}) for name, task in DISTINCT_HEADS),
    ("lstm-classifier", "text-classification", {"cell": "gru", "bidirectional": False}),
    ("lstm-classifier", "features", {"num_layers": 3}),
    ("lstm-classifier", "features", {"cell": "gru", "num_layers": 2}),
    ("transformer-classifier", "features", {"positions": "learned", "pre_norm": True}),
    ("bert-tiny", "features", {"use_segments": True}),
]


@pytest.mark.parametrize(
    ("name", "task", "overrides"),
    [v for v in VARIANTS if "padding_mask" in {t.name for t in models.get(v[0]).inputs}],
)
def test_padding_changes_nothing(name, task, overrides):
    model = small(name, task, **overrides)
    short = example(model, batch=2, length=7)
    long = {key: np.pad(value, ((0, 0), (0, 6))) for key, value in short.items()}
    long["token_ids"][:, 7:] = 5  # whatever stands where padding is, the mask hides it
    short["token_ids"][0, 5:] = 11
    wanted, got = outputs(model, short), outputs(model, long)
    real = short["padding_mask"].astype(bool)
    for key, value in wanted.items():
        if value.shape[1:2] == (7,):
            np.testing.assert_allclose(got[key][:, :7][real], value[real], rtol=0, atol=1e-5)
        else:
            np.testing.assert_allclose(got[key], value, rtol=0, atol=1e-5)
    short["token_ids"][0, 2] = (short["token_ids"][0, 2] + 1) % 40
    assert any(np.abs(outputs(model, short)[key] - wanted[key])[0].max() > 1e-6 for key in wanted)


@pytest.mark.parametrize("name", ["lstm-classifier", "transformer-classifier", "bert-tiny"])
def test_text_without_a_real_token_gives_finite_logits(name):
    model = small(name, "text-classification")
    inputs = example(model)
    inputs["padding_mask"][:] = 0
    assert np.isfinite(outputs(model, inputs)["logits"]).all()


@pytest.mark.parametrize("name", ["gpt", "gpt-nano"])
def test_a_later_token_never_changes_earlier_logits(name):
    model = small(name, "causal-lm")
    inputs = example(model, batch=2, length=10)
    before = outputs(model, inputs)["logits"]
    inputs["token_ids"][:, 6] = (inputs["token_ids"][:, 6] + 1) % 40
    after = outputs(model, inputs)["logits"]
    np.testing.assert_array_equal(after[:, :6], before[:, :6])
    changed = np.abs(after[:, 6:] - before[:, 6:]).max(axis=(0, 2))
    assert (changed > 1e-6).all(), "later logits must see it"


@pytest.mark.parametrize(
    ("name", "task", "overrides", "shape", "params"),
    [
        ("mlp", None, {"input_shape": [2, 3, 1], "hidden_dims": []}, (None, 10), 6 * 10 + 10),
        ("mlp", "features", {"input_shape": (4,), "hidden_dims": (5,)}, (None, 5), 4 * 5 + 5),
        (
            "cnn",
            None,
            {"input_shape": (8, 8, 1), "filters": (2, 3), "padding": "same", "num_classes": 4},
            (None, 4),
            (9 * 2 + 2) + (18 * 3 + 3) + (4 * 4 * 3 * 64 + 64) + (64 * 4 + 4),
        ),
        (
            "rnn",
            None,
            {"input_shape": (8, 3), "cell": "lstm", "bidirectional": False, "hidden_dim": 5},
            (None, 2),
            4 * 5 * (3 + 5 + 1) + 5 * 2 + 2,
        ),
        (
            "rnn",
            "features",
            {"input_shape": (None, 3), "cell": "gru", "hidden_dim": 5, "num_layers": 2},
            (None, 10),
            2 * 3 * 5 * (3 + 5 + 2) + 2 * 3 * 5 * (10 + 5 + 2),
        ),
    ],
)
def test_overrides_reach_the_graph(name, task, overrides, shape, params):
    model = get_model(name, task=task, **overrides)
    assert model.output_shape == shape
    assert model.count_params() == params


def test_segment_ids_are_an_input_on_request_and_count():
    model = small("bert-tiny", "features", use_segments=True)
    inputs = example(model)
    assert sorted(inputs) == ["padding_mask", "segment_ids", "token_ids"]
    plain = small("bert-tiny", "features")
    plain.set_weights(model.get_weights())
    zeros = {**inputs, "segment_ids": np.zeros_like(inputs["segment_ids"])}
    without = {key: value for key, value in inputs.items() if key != "segment_ids"}
    assert_equal_outputs(outputs(model, zeros), outputs(plain, without))
    difference = outputs(model, inputs)["pooled_output"] - outputs(plain, without)["pooled_output"]
    assert np.abs(difference).max() > 1e-5


@pytest.mark.parametrize("name", ["transformer-classifier", "bert-tiny", "gpt-nano"])
def test_static_sequence_length(name):
    model = small(name, None, sequence_length=6)
    assert {tensor.shape for tensor in model.inputs} == {(None, 6)}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "mnist-mlp",
            {"input_shape": (64,)},
            "mlp: task 'image-classification' needs the input_shape of an image such as "
            "(28, 28, 1), not (64,); task 'classification' takes vectors.",
        ),
        (
            "cifar10-cnn",
            {"input_shape": (8, 8, 1)},
            "cnn: input_shape=(8, 8, 1) is too small: pooling 1 by 2 finds 1x1 pixels. "
            "Use fewer filters, a smaller kernel_size or padding='same'.",
        ),
        (
            "lstm-classifier",
            {"input_shape": (8, 8)},
            "rnn: give either vocab_size, to read tokens, or input_shape=(steps, channels), to "
            "read float sequences; received vocab_size=20000 and input_shape=(8, 8).",
        ),
        (
            "lstm-classifier",
            {"input_shape": (8, 8), "vocab_size": None},
            "rnn: task 'text-classification' reads tokens and needs a vocab_size; "
            "task 'sequence-classification' reads float sequences.",
        ),
        (
            "rnn",
            {"input_shape": None, "vocab_size": 9},
            "rnn: task 'sequence-classification' reads float sequences and needs an input_shape; "
            "task 'text-classification' reads tokens.",
        ),
        (
            "gpt-nano",
            {"hidden_dim": 50},
            "hidden_dim=50 is not a multiple of num_heads=3.",
        ),
        (
            "gpt-nano",
            {"vocab_size": 9, "max_length": 4, "sequence_length": 5},
            "A sequence of 5 steps is longer than the 4 positions of layer 'positions': "
            "shorten it (sequence_length=4, --sequence-length 4), or build the model with a larger "
            "max_length.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name, arguments, message):
    with pytest.raises(UsageError) as error:
        get_model(name, **arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("cnn", {"task": "image-clasification"}, "Did you mean 'image-classification'?"),
        ("bert", {"task": "causal-lm"}, "It has: features, text-classification, multi-label, "),
        ("rnn", {"cell": "lstn"}, "rnn: cell 'lstn' is not one of: lstm, gru."),
        ("transformer", {"positions": "rotary"}, "positions 'rotary' is not 'sinusoidal' or"),
    ],
)
def test_builders_check_what_they_are_given(family, arguments, message):
    spec = ModelSpec(name=family, builder=f"zoo_models.builders.{family}:{family}")
    with pytest.raises(UsageError) as error:
        spec.load_builder()(**arguments)
    assert message in str(error.value)


def test_initial_values_follow_the_papers():
    model = small("bert-tiny", "features", vocab_size=2000, hidden_dim=64, ff_dim=256)
    weights = {weight.path: np.asarray(weight) for weight in model.weights}
    for path, value in weights.items():
        if path.endswith(("kernel", "embeddings")):
            assert np.std(value) == pytest.approx(0.02 * 0.88, rel=0.15), path  # cut at two sigma
            assert np.abs(value).max() <= 0.04 + 1e-6
    attention = [weights[f"block_0/attention/{part}/kernel"] for part in ("query", "key", "value")]
    assert not np.allclose(attention[0], attention[1])
    assert not np.allclose(attention[1], attention[2])


def test_gpt_starts_residual_kernels_smaller():
    model = small("gpt", "causal-lm", num_layers=8, hidden_dim=64)
    weights = {weight.path: np.asarray(weight) for weight in model.weights}
    ratio = np.std(weights["block_0/ff_in/kernel"]) / np.std(weights["block_0/ff_out/kernel"])
    assert ratio == pytest.approx(16**0.5, rel=0.1)


def test_what_keras_puts_around_an_error_of_ours_is_left_out():
    model = get_model("gpt-nano", vocab_size=9, max_length=4)
    with pytest.raises(UsageError) as caught:
        model(np.ones((1, 5), "int32"))
    assert str(caught.value) == (
        "A sequence of 5 steps is longer than the 4 positions of layer 'positions': shorten it "
        "(sequence_length=4, --sequence-length 4), or build the model with a larger max_length."
    )
