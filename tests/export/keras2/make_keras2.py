"""Write the files of this folder: with Keras 2, ``pip install tf_keras`` (they are of 2.21.0)."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

HERE = Path(__file__).parent
layers = keras.layers


def vision():
    image = keras.Input((8, 8, 3), name="image")
    norm = layers.Normalization(name="norm")
    norm.adapt(np.random.default_rng(1).uniform(0, 1, (9, 8, 8, 3)).astype("float32"))
    x = norm(layers.Rescaling(1 / 255, name="scale")(image))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    x = layers.BatchNormalization(name="bn")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.LeakyReLU(alpha=0.2, name="leaky")(x + 0.5 * y)
    block = [layers.Conv2D(3, 1, name="inner"), layers.GlobalAveragePooling2D(name="pool")]
    block = keras.Sequential([layers.InputLayer((8, 8, 4)), *block], name="block")
    frozen = layers.Dense(5, name="frozen", trainable=False)
    x = layers.Dropout(0.2, name="drop")(frozen(block(x)))
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="vision")


def tokens():
    ids = keras.Input((10,), dtype="int32", name="ids")
    x = layers.Embedding(30, 6, mask_zero=True, name="table")(ids)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(x)
    y = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    y = tf.nn.gelu(layers.LayerNormalization(name="norm")(tf.concat([x, y], axis=-1)))
    dense = layers.Dense(4, name="shared")
    y = layers.Add(name="sum")([dense(y), dense(2.0 - y)])
    return keras.Model(ids, {"out": layers.GRU(3, name="last")(y)}, name="tokens")


def main():
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    given = {
        "vision": generator.uniform(0, 255, (3, 8, 8, 3)).astype("float32"),
        "tokens": generator.integers(0, 30, (3, 10)).astype("int32"),
    }
    for model in (vision(), tokens()):
        for weight in model.trainable_weights:  # fresh biases and gammas hide what is left out
            weight.assign_add(0.2 * generator.normal(size=weight.shape).astype("float32"))
        model.save(HERE / f"{model.name}.keras")
        model.save(HERE / f"{model.name}.h5")
        answer = model.predict(given[model.name], verbose=0)
        answer = answer["out"] if isinstance(answer, dict) else answer
        np.savez(HERE / f"{model.name}.npz", x=given[model.name], y=answer)


if __name__ == "__main__":
    main()
