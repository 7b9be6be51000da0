"""The shared layers, against Keras' own, against the papers, and under Keras' serialization."""

import inspect

import keras
import numpy as np
import pytest

import zoo_models.layers
from zoo_models.layers import (
    ActivationRange,
    Attention,
    AttentionBias,
    BiasAdd,
    ClassToken,
    GatedBlock,
    LastStep,
    LayerNorm,
    LearnedPositions,
    LogMelSpectrogram,
    MaskedMeanPooling,
    QuantizedWeights,
    RMSNorm,
    RotaryPositions,
    SinusoidalPositions,
    TransformerBlock,
)
from zoo_models.layers.rotary import rotate
from zoo_registry import UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, (2, 5, 8)).astype("float32")
# One layer of each class, with no argument at its default.
LAYERS = [
    ActivationRange(momentum=0.5),
    QuantizedWeights(keras.layers.Dense(2)),
    AttentionBias(causal=True, window=2),
    BiasAdd(),
    ClassToken(stddev=0.3),
    GatedBlock(
        8,
        2,
        1,
        12,
        head_dim=6,
        dropout=0.1,
        epsilon=0.1,
        stddev=0.3,
        qkv_bias=True,
        output_bias=True,
        ff_bias=True,
        qk_norm=True,
    ),
    LastStep(),
    RMSNorm(epsilon=0.1),
    RotaryPositions(4, theta=50.0, scaling={"rope_type": "linear", "factor": 2.0}),
    LayerNorm(epsilon=0.1),
    LearnedPositions(7, stddev=0.3, truncated=False, first=2),
    LogMelSpectrogram(
        8000,
        frame_length=256,
        frame_step=128,
        num_bands=12,
        low=100.0,
        high=3000.0,
        num_coefficients=5,
        floor=1e-5,
    ),
    MaskedMeanPooling(),
    Attention(
        8,
        2,
        num_kv_heads=1,
        head_dim=6,
        dropout=0.1,
        fused=True,
        use_bias=False,
        output_bias=True,
        qk_norm=0.1,
        stddev=0.1,
        output_stddev=0.2,
        truncated=False,
    ),
    SinusoidalPositions(max_wavelength=50.0),
    TransformerBlock(
        8,
        2,
        16,
        dropout=0.1,
        attention_dropout=0.2,
        activation="relu",
        pre_norm=True,
        fused=True,
        cross=True,
        epsilon=0.1,
        stddev=0.1,
        residual_stddev=0.2,
        truncated=False,
    ),
]


def randomize(layer):
    for weight in layer.weights:
        weight.assign(RNG.normal(0, 0.5, weight.shape))


def test_every_layer_is_tested_here():
    classes = {v for v in vars(zoo_models.layers).values() if inspect.isclass(v)}
    assert classes == {type(layer) for layer in LAYERS}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_config_holds_every_argument(layer):
    config = layer.get_config()
    own = vars(type(layer)).get("__init__")
    for parameter in inspect.signature(own).parameters.values() if own else ():
        if parameter.name not in {"self", "kwargs"}:
            assert config[parameter.name] != parameter.default, parameter.name
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == config


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_layer_norm_is_that_of_keras(epsilon, scale):
    ours, theirs = LayerNorm(epsilon), keras.layers.LayerNormalization(epsilon=epsilon)
    for layer in (ours, theirs):
        layer.build(X.shape)
    randomize(ours)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(X * scale), theirs(X * scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_attention_is_that_of_keras(fused):
    ours = Attention(8, 2, fused=fused)
    theirs = keras.layers.MultiHeadAttention(2, 4, flash_attention=False)
    ours.build(X.shape)
    theirs.build(X.shape, X.shape)
    randomize(ours)
    weights = ours.get_weights()
    if fused:
        kernels, biases = np.split(weights[0], 3, axis=1), np.split(weights[1], 3)
        weights = [w for pair in zip(kernels, biases, strict=True) for w in pair] + weights[2:]
    theirs.set_weights(
        [w.reshape(t.shape) for w, t in zip(weights, theirs.get_weights(), strict=True)]
    )
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int32")
    seen = np.repeat(mask[:, None, :], 5, axis=1).astype(bool)
    wanted = theirs(X, X, attention_mask=seen)
    np.testing.assert_allclose(ours(X, AttentionBias()(mask)), wanted, rtol=0, atol=1e-5)
    wanted = theirs(X, X, use_causal_mask=True)
    bias = AttentionBias(causal=True)(mask)
    np.testing.assert_allclose(ours(X, bias), wanted, rtol=0, atol=1e-5)


def test_sinusoidal_positions_are_those_of_the_paper():
    added = np.asarray(SinusoidalPositions()(np.zeros((1, 6, 8), "float32")))[0]
    for position in range(6):
        for pair in range(4):
            angle = position / 10_000 ** (2 * pair / 8)
            assert added[position, pair] == pytest.approx(np.sin(angle), abs=1e-6)
            assert added[position, 4 + pair] == pytest.approx(np.cos(angle), abs=1e-6)


def test_sinusoidal_positions_of_an_odd_width():
    assert SinusoidalPositions()(np.zeros((1, 3, 5), "float32")).shape == (1, 3, 5)


def test_learned_positions_refuse_a_longer_sequence():
    with pytest.raises(UsageError, match="5 steps is longer than the 4 positions"):
        LearnedPositions(4)(X)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_block_normalizes_where_it_says(pre_norm):
    block = TransformerBlock(8, 2, 16, pre_norm=pre_norm)
    out = np.asarray(block(X))
    normal = np.allclose(out.mean(-1), 0, atol=1e-5) and np.allclose(out.std(-1), 1, atol=1e-3)
    assert normal is not pre_norm


def test_block_activations_differ_and_a_wrong_one_is_refused():
    results = {}
    for activation in ("gelu", "gelu_tanh", "relu"):
        keras.utils.set_random_seed(0)
        results[activation] = np.asarray(TransformerBlock(8, 2, 16, activation=activation)(X))
    assert 1e-7 < np.abs(results["gelu"] - results["gelu_tanh"]).max() < 1e-2
    assert np.abs(results["gelu"] - results["relu"]).max() > 1e-2
    with pytest.raises(UsageError, match="activation='tanh' is not one of gelu, gelu_tanh, relu"):
        TransformerBlock(8, 2, 16, activation="tanh")


def test_dropout_is_on_in_training_only():
    block = TransformerBlock(8, 2, 16, dropout=0.5)
    np.testing.assert_array_equal(block(X, training=False), block(X, training=False))
    assert np.abs(block(X, training=True) - block(X, training=True)).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_stays_finite(policy):
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], "int32")
    block = TransformerBlock(8, 2, 16, dtype=policy)
    out = block(X, AttentionBias(dtype=policy)(mask))
    assert keras.backend.standardize_dtype(out.dtype) == policy.removeprefix("mixed_")
    assert np.isfinite(np.asarray(keras.ops.cast(out, "float32"))).all()
    assert {weight.dtype for weight in block.trainable_weights} == {"float32"}


def test_mean_pooling_of_nothing_is_zero():
    mask = np.array([[0] * 5, [1] * 5])
    pooled = np.asarray(MaskedMeanPooling()(X, mask))
    np.testing.assert_array_equal(pooled[0], 0)
    np.testing.assert_allclose(pooled[1], X[1].mean(0), atol=1e-6)


def test_cross_attention_is_that_of_keras():
    memory = RNG.normal(size=(2, 3, 8)).astype("float32")
    ours, theirs = Attention(8, 2), keras.layers.MultiHeadAttention(2, 4, flash_attention=False)
    ours.build(X.shape)
    theirs.build(X.shape, memory.shape)
    randomize(ours)
    theirs.set_weights(
        [w.reshape(t.shape) for w, t in zip(ours.get_weights(), theirs.get_weights(), strict=True)]
    )
    np.testing.assert_allclose(ours(X, memory=memory), theirs(X, memory), rtol=0, atol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_shared_heads_are_repeated_heads(fused):
    few, many = Attention(8, 4, num_kv_heads=2, fused=fused), Attention(8, 4)
    few.build(X.shape)
    many.build(X.shape)
    randomize(few)
    weights = few.get_weights()
    if fused:
        kernels, biases = np.split(weights[0], [8, 12], axis=1), np.split(weights[1], [8, 12])
        weights = [w for pair in zip(kernels, biases, strict=True) for w in pair] + weights[2:]
    for index in range(2, 6):  # kernel and bias of key and of value
        heads = weights[index].reshape(*weights[index].shape[:-1], 2, 2)
        weights[index] = np.repeat(heads, 2, axis=-2).reshape(*weights[index].shape[:-1], 8)
    many.set_weights(weights)
    np.testing.assert_allclose(few(X), many(X), rtol=0, atol=1e-5)


def test_rotated_scores_depend_on_the_distance_alone():
    rotation = RotaryPositions(8, theta=100.0)(np.zeros((1, 9), "int32"))
    same = np.broadcast_to(RNG.normal(size=(2, 1, 1, 8)), (2, 1, 9, 8)).astype("float32")
    query, key = np.asarray(rotate(same[:1], rotation)), np.asarray(rotate(same[1:], rotation))
    scores = (query @ key.transpose(0, 1, 3, 2))[0, 0]
    for distance in range(-8, 9):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)
    assert np.ptp(scores[0]) > 0.1


def test_the_last_step_is_the_last_real_one():
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int32")
    np.testing.assert_array_equal(LastStep()(X, mask), X[[0, 1], [2, 4]])
