"""Building and forward passes of our models against the same architectures elsewhere.

Both sides in one process, in turn, the median of the ratios of each turn (below 1: ours is faster):

    python benchmarks/families.py
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import zoo

TOKENS = np.ones((1, 128), "int32")
IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype("float32")
Case = tuple[str, str, Callable[[], Any], Callable[[], Any], Any, Any]


def bert() -> Any:
    """Return KerasHub's BERT-base."""
    return keras_hub.models.BertBackbone(
        vocabulary_size=30_522, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072
    )


def gpt2() -> Any:
    """Return KerasHub's GPT-2 small."""
    return keras_hub.models.GPT2Backbone(
        vocabulary_size=50_257, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072
    )


TEXT = {"token_ids": TOKENS, "padding_mask": TOKENS}
CASES: tuple[Case, ...] = (
    (
        "resnet50",
        "keras.applications",
        # Keras has the paper's first version, with the stride in the first convolution.
        lambda: zoo.get_model("resnet50", downsample_in_bottleneck=True),
        lambda: keras.applications.ResNet50(weights=None, classifier_activation=None),
        IMAGE,
        IMAGE,
    ),
    (
        "mobilenet-v3-small",
        "keras.applications",
        lambda: zoo.get_model("mobilenet-v3-small"),
        lambda: keras.applications.MobileNetV3Small(weights=None, classifier_activation=None),
        IMAGE,
        IMAGE,
    ),
    (
        "bert-base",
        "KerasHub",
        lambda: zoo.get_model("bert-base"),
        bert,
        TEXT,
        {**TEXT, "segment_ids": 0 * TOKENS},
    ),
    (
        "gpt2-small",
        "KerasHub",
        lambda: zoo.get_model("gpt2-small", task="features"),
        gpt2,
        TOKENS,
        TEXT,
    ),
)


def seconds(act: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def in_turn(ours: Callable[[], Any], theirs: Callable[[], Any], turns: int) -> float:
    """Return the median ratio of our time to theirs; the first of a pair changes every turn."""
    ratios = []
    for turn in range(turns):
        if turn % 2:
            peer = seconds(theirs)
            own = seconds(ours)
        else:
            own = seconds(ours)
            peer = seconds(theirs)
        ratios.append(own / peer)
        gc.collect()
    return statistics.median(ratios)


def forward(model: Any, inputs: Any) -> Callable[[], Any]:
    """Return a compiled forward pass that has run twice."""
    inputs = keras.tree.map_structure(tf.constant, inputs)
    compiled = tf.function(lambda given: model(given, training=False))
    for _ in range(2):
        compiled(inputs)
    return lambda: keras.tree.map_structure(np.asarray, compiled(inputs))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", help="one name")
    arguments = parser.parse_args()
    table = Table("MODEL", "AGAINST", "BUILD", "FORWARD", box=None)
    for name, peer, build_ours, build_theirs, our_inputs, their_inputs in CASES:
        if arguments.only in (None, name):
            build_ours()  # what is imported on first use is no part of building
            building = in_turn(build_ours, build_theirs, max(3, arguments.turns // 3))
            ours, theirs = build_ours(), build_theirs()
            running = in_turn(
                forward(ours, our_inputs), forward(theirs, their_inputs), arguments.turns
            )
            table.add_row(name, peer, f"{building:.2f}", f"{running:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
