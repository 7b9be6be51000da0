"""A contestant of ``training_speed.py``: ``... MODEL kerazoo``, ``fit`` or ``fit without XLA``.

With ``KERAS_BACKEND=jax`` it is ``fit`` on JAX, and needs no TensorFlow.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo_registry
from zoo_registry.build import get_model

SECONDS = 2.0
TOKENS, VOCABULARY = 128, 50_257
# Task, inputs (shape, lowest number, what all are below), shape and number of the targets, batch.
IMAGE = {"image": ((32, 32, 3), 0, 256)}
TEXT = {"token_ids": ((TOKENS,), 1, 20_000), "padding_mask": ((TOKENS,), 1, 2)}
MODELS: dict[str, Any] = {
    "cnn": ("image-classification", IMAGE, (), 10, 64),
    "resnet20": ("image-classification", IMAGE, (), 10, 64),
    "lstm-classifier": ("text-classification", TEXT, (), 2, 64),
    "bert-tiny": ("text-classification", TEXT, (), 2, 32),
    "gpt-mini": ("causal-lm", {"token_ids": TEXT["token_ids"]}, (TOKENS,), VOCABULARY, 8),
}


def data(name: str) -> tuple[dict[str, Any], Any, int]:
    """Return inputs by name, targets and the size of a batch."""
    _, inputs, shape, classes, batch = MODELS[name]
    rng = np.random.default_rng(0)
    count = 4 * batch
    arrays = {
        key: rng.integers(low, high, (count, *size)).astype(
            "float32" if key == "image" else "int32"
        )
        for key, (size, low, high) in inputs.items()
    }
    return arrays, rng.integers(0, classes, (count, *shape)).astype("int32"), batch


def model_of(name: str, **options: Any) -> Any:
    model = get_model(zoo_registry.models.get(name), task=MODELS[name][0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adamw", loss, metrics=["accuracy"], **options)
    return model


def by_fit(name: str, **options: Any) -> Callable[[int], None]:
    model = model_of(name, **options)
    inputs, targets, batch = data(name)
    inputs = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return lambda epochs: model.fit(inputs, targets, batch_size=batch, epochs=epochs, verbose=0)


def by_kerazoo(name: str) -> Callable[[int], None]:
    from zoo_recipes.batches import Batches
    from zoo_recipes.checkpoints import Saver
    from zoo_recipes.components import use_xla
    from zoo_recipes.loop import build_training, train_epochs
    from zoo_recipes.sources import Rows, fed

    model = model_of(name, jit_compile=use_xla("auto"))
    inputs, targets, batch = data(name)
    source = Rows(inputs, targets)
    build_training(model, source)
    batches = Batches(source, batch_size=batch, seed=0, feed=lambda inputs: fed(model, inputs))
    saver = Saver(Path(tempfile.mkdtemp()), model, [], {}, 60)

    def train(epochs: int) -> None:
        callbacks = keras.callbacks.CallbackList([], model=model)
        train_epochs(
            model, batches, callbacks, saver, epochs=epochs, validation=None, checkpoint=None
        )

    return train


CONTESTANTS: dict[str, Callable[[str], Callable[[int], None]]] = {
    "kerazoo": by_kerazoo,
    "fit": by_fit,
    "fit without XLA": lambda name: by_fit(name, jit_compile=False),
}


def serve(train: Callable[[int], None], examples: int) -> None:
    """Train for some seconds for each line read, and write the examples a second."""
    train(2)
    epochs = 1
    for _ in sys.stdin:
        began = time.perf_counter()
        train(epochs)
        seconds = time.perf_counter() - began
        print(json.dumps(epochs * examples / seconds), flush=True)
        epochs = max(1, round(epochs * SECONDS / seconds))


if __name__ == "__main__":
    _name, _kind = sys.argv[1:]
    serve(CONTESTANTS[_kind](_name), 4 * MODELS[_name][-1])
