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
from zoo_models.calling import call_builder

SECONDS = 2.0
# More than any turns take: who waits for them ends the process.
EPOCHS = 1_000_000
TOKENS, VOCABULARY = 128, 50_257
# Task, inputs (shape, lowest number, what all are below), shape and number of the targets, batch,
# batches an epoch: so many that the cost of an epoch itself is small.
IMAGE = {"image": ((32, 32, 3), 0, 256)}
TEXT = {"token_ids": ((TOKENS,), 1, 20_000), "padding_mask": ((TOKENS,), 1, 2)}
MODELS: dict[str, Any] = {
    "cnn": ("image-classification", IMAGE, (), 10, 64, 100),
    "resnet20": ("image-classification", IMAGE, (), 10, 64, 24),
    "lstm-classifier": ("text-classification", TEXT, (), 2, 64, 40),
    "bert-tiny": ("text-classification", TEXT, (), 2, 32, 24),
    "gpt-mini": ("causal-lm", {"token_ids": TEXT["token_ids"]}, (TOKENS,), VOCABULARY, 8, 6),
}


def data(name: str) -> tuple[dict[str, Any], Any, int]:
    """Return inputs by name, targets and the size of a batch."""
    _, inputs, shape, classes, batch, batches = MODELS[name]
    rng = np.random.default_rng(0)
    count = batches * batch
    arrays = {
        key: rng.integers(low, high, (count, *size)).astype(
            "float32" if key == "image" else "int32"
        )
        for key, (size, low, high) in inputs.items()
    }
    return arrays, rng.integers(0, classes, (count, *shape)).astype("int32"), batch


def model_of(name: str, **options: Any) -> Any:
    spec = zoo_registry.models.get(name)
    # Not get_model, which refuses Keras on JAX.
    model = call_builder(spec, {**spec.defaults, "task": MODELS[name][0]})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adamw", loss, metrics=["accuracy"], **options)
    return model


class Turns(keras.callbacks.Callback):
    """Waits for a line, lets the training go on for some seconds, and writes its examples a second.

    All contestants train in one go, as people do: nothing is built twice.
    """

    def __init__(self, examples: int) -> None:
        super().__init__()
        self.examples = examples
        self.began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Wait for the next turn."""
        if not self.began:
            sys.stdin.readline()
            self.began, self.epochs = time.perf_counter(), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End the turn when its time is over."""
        self.epochs += 1
        seconds = time.perf_counter() - self.began
        if seconds >= SECONDS:
            print(json.dumps(self.epochs * self.examples / seconds), flush=True)
            self.began = 0.0


def by_fit(name: str, **options: Any) -> None:
    inputs, targets, batch = data(name)
    inputs = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    model_of(name, **options).fit(
        inputs,
        targets,
        batch_size=batch,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[Turns(len(targets))],
    )


def by_kerazoo(name: str) -> None:
    from zoo_models.saved import fed, use_xla
    from zoo_recipes.arrays.sources import PreparedArrays
    from zoo_recipes.configs import CompileConfig
    from zoo_recipes.training.batches import Batches
    from zoo_recipes.training.checkpoints import Saver
    from zoo_recipes.training.loop import build_training, train_epochs, train_step

    model = model_of(name, jit_compile=use_xla("auto"))
    inputs, targets, batch = data(name)
    source = PreparedArrays(inputs, targets)
    build_training(model, source, CompileConfig())
    train_epochs(
        model,
        Batches(source, batch_size=batch, seed=0, feed=lambda inputs: fed(model, inputs)),
        keras.callbacks.CallbackList([Turns(len(targets))], model=model),
        Saver(Path(tempfile.mkdtemp()), model, [], {}, 60),
        step=train_step(model),
        epochs=EPOCHS,
        validation=None,
        checkpoint=None,
    )


CONTESTANTS: dict[str, Callable[[str], None]] = {
    "kerazoo": by_kerazoo,
    "fit": by_fit,
    "fit without XLA": lambda name: by_fit(name, jit_compile=False),
}

if __name__ == "__main__":
    _name, _kind = sys.argv[1:]
    CONTESTANTS[_kind](_name)
