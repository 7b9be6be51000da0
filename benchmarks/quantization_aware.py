"""What int8 costs with and without quantization-aware training.

A depthwise-separable network learns scikit-learn's digits in float. Then the channels between its
pointwise and depthwise convolutions are scaled apart, up to 144 to 1, and the next kernels
scaled back: nothing changes in float (ReLU lets a factor through), but one range for all channels
of a tensor no longer fits them. Networks without equalized channels are like that
(https://arxiv.org/abs/1906.04721). From those weights both are trained on for as long: in float,
then quantized with calibration, and quantization-aware.

    python benchmarks/quantization_aware.py --seeds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from zoo_export.converters.litert import schemes as tflite_schemes
from zoo_export.converters.tracing import Conversion
from zoo_models.quantization import quantization_aware, without_fake_quantization
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_tflite
from zoo_runtime.tensors import Tensor

BLOCKS, CHANNELS = 3, 16
INPUT = (Tensor("image", "float32", (1, 8, 8, 1)),)
OUTPUT = (Tensor("logits", "float32", (1, 10)),)
COLUMNS = ("float", "int8", "float, more", "int8, more", "aware", "aware int8")


def build() -> Any:
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    common = {"padding": "same", "kernel_initializer": "he_normal"}
    x = layers.Conv2D(CHANNELS, 3, activation="relu", name="point_0", **common)(x)
    for block in range(1, BLOCKS + 1):
        x = layers.DepthwiseConv2D(
            3, padding="same", depthwise_initializer="he_normal", name=f"depth_{block}"
        )(x)
        x = layers.Conv2D(CHANNELS, 1, activation="relu", name=f"point_{block}", **common)(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="separable")


def spread_channels(model: Any, spread: float, seed: int) -> None:
    """Scale channels apart, and the kernels that read them back."""
    generator = np.random.default_rng(seed)
    for block in range(BLOCKS):
        factors = spread ** generator.uniform(-1, 1, CHANNELS)
        point, depth = model.get_layer(f"point_{block}"), model.get_layer(f"depth_{block + 1}")
        kernel, bias = point.get_weights()
        point.set_weights([kernel * factors, bias * factors])
        kernel, bias = depth.get_weights()
        depth.set_weights([kernel / factors[:, None], bias])


def train(model: Any, data: Any, epochs: int, rate: float, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    steps = epochs * -(-len(data[0]) // 64)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss)
    model.fit(*data, epochs=epochs, batch_size=64, verbose=0)


def accuracy(logits: Any, labels: Any) -> float:
    return float((logits.argmax(-1) == labels).mean())


def int8_accuracy(model: Any, images: Any, test: Any) -> float:
    """Return the accuracy of the LiteRT file; of the ranges that training found if it found any."""
    plain = without_fake_quantization(model)
    trained = None if plain is model else model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        tflite_schemes.int8(
            Conversion(
                plain, INPUT, OUTPUT, path, {"image": images[:128]}, trained_for_int8=trained
            )
        )
        runner = Runner(open_tflite(path, threads=1), INPUT, OUTPUT)
        return accuracy(runner.run({"image": test[0]})["logits"], test[1])


def one_seed(seed: int, epochs: int, more: int, spread: float) -> list[float]:
    digits = load_digits()
    images = digits.images[..., None].astype("float32") * 255 / 16
    parts = train_test_split(
        images, digits.target, test_size=500, random_state=seed, stratify=digits.target
    )
    data, test = (parts[0], parts[2]), (parts[1], parts[3])
    keras.utils.set_random_seed(seed)
    model = build()
    train(model, data, epochs, 2e-3, seed)
    spread_channels(model, spread, seed)
    found = [
        accuracy(model.predict(test[0], verbose=0), test[1]),
        int8_accuracy(model, data[0], test),
    ]
    longer = build()
    longer.set_weights(model.get_weights())
    train(longer, data, more, 1e-3, seed)
    aware = quantization_aware(model)
    train(aware, data, more, 1e-3, seed)
    for each in (longer, aware):
        found.append(accuracy(each.predict(test[0], verbose=0), test[1]))
        found.append(int8_accuracy(each, data[0], test))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30, help="in float, at first")
    parser.add_argument("--more", type=int, default=20, help="then, in float and aware")
    parser.add_argument("--spread", type=float, default=12, help="channels from 1/SPREAD to SPREAD")
    options = parser.parse_args()
    print("seed  " + "  ".join(f"{name:>11}" for name in COLUMNS), flush=True)
    rows = []
    for seed in range(options.seeds):
        rows.append(one_seed(seed, options.epochs, options.more, options.spread))
        print(f"{seed:>4}  " + "  ".join(f"{v:>11.4f}" for v in rows[-1]), flush=True)
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print("mean  " + "  ".join(f"{v:>11.4f}" for v in means))


if __name__ == "__main__":
    main()
