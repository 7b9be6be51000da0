"""The builder; Keras is imported only when the model is built."""

import keras
from keras import layers


def gated_mlp(
    *,
    num_features: int = 4,
    hidden_dim: int = 16,
    num_classes: int = 3,
    task: str = "classification",
) -> keras.Model:
    """Build an MLP whose hidden layer is a SwiGLU, silu(x W) * (x V).

    Args:
        num_features: Size of the input.
        hidden_dim: Width of the hidden layer.
        num_classes: Size of the logits.
        task: Its one head.

    Returns:
        A model of ``features`` float32 (batch, num_features) that gives ``logits`` float32
        (batch, num_classes).
    """
    features = keras.Input((num_features,), name="features")
    x = layers.BatchNormalization(name="scale")(features)
    gate = layers.Dense(hidden_dim, activation="silu", name="gate")(x)
    value = layers.Dense(hidden_dim, name="value")(x)
    x = layers.Multiply(name="gated")([gate, value])
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(features, logits, name="gated_mlp")
