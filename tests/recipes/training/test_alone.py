"""A training leaves the process as it was, and there is one at a time."""

import logging
import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.evaluating import evaluate
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError

SHORT = with_overrides(resolve_recipe("digits-mlp"), ["fit.epochs=2", "dataset.train=train[:20%]"])


def drawn():
    return [
        random.random(),
        np.random.rand(),
        float(tf.random.uniform([])),
        float(keras.random.uniform([])),
        float(keras.initializers.RandomNormal()([1])[0]),
    ]


def test_the_caller_draws_and_logs_on_as_if_there_had_been_no_training(tmp_path, data_dir):
    keras.utils.set_random_seed(7)
    drawn()
    wanted = drawn()
    keras.utils.set_random_seed(7)
    drawn()
    logger, handler = logging.getLogger("of.the.caller"), logging.NullHandler()
    logger.addHandler(handler)
    before = logging.getLogger("absl").level, list(logging.root.handlers)
    keras.config.set_dtype_policy("mixed_bfloat16")
    told = []

    def meddle(epoch, metrics):
        told.append(epoch)
        logger.handlers.clear()
        logging.root.setLevel(logging.CRITICAL)

    try:
        train(SHORT, out=tmp_path / "run", data_dir=data_dir, verbose=False, on_epoch=meddle)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert told == [0, 1]
    assert drawn() == wanted
    assert (logger.handlers, logging.root.level) == ([handler], logging.WARNING)
    assert (logging.getLogger("absl").level, logging.root.handlers) == before


def test_what_keras_is_set_to_changes_no_training(tmp_path, data_dir):
    short = with_overrides(SHORT, ["fit.epochs=1"])
    usual = train(short, out=tmp_path / "a", data_dir=data_dir, verbose=False)
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(0.1)
    try:
        run = train(short, out=tmp_path / "b", data_dir=data_dir, verbose=False)
        measured = evaluate(run, data_dir=data_dir, resamples=1).metrics["loss"]
        assert (keras.config.floatx(), keras.config.epsilon()) == ("float16", 0.1)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
    assert run.metrics == usual.metrics
    assert measured == pytest.approx(usual.metrics["loss"], rel=1e-6)


def test_a_second_training_of_a_process_is_refused_and_the_first_gives_what_it_gives_alone(
    tmp_path, data_dir
):
    refused = []

    def second(folder):
        with pytest.raises(UsageError) as caught:
            train(SHORT, out=folder, data_dir=data_dir, verbose=False)
        refused.append(str(caught.value))

    def begin(epoch, metrics):
        thread = threading.Thread(target=second, args=(tmp_path / f"second-{epoch}",))
        thread.start()
        thread.join()

    options = {"data_dir": data_dir, "verbose": False}
    first = train(SHORT, out=tmp_path / "first", on_epoch=begin, **options)
    alone = train(SHORT, out=tmp_path / "alone", **options)
    for one, other in zip(first.model().weights, alone.model().weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(refused) == 2
    assert refused[0] == (
        "Another training is running in this process, and both would draw from the same random "
        "numbers: wait for it to end, or start one of the two in a process of its own (`zoo "
        "train`)."
    )
    assert not list(tmp_path.glob("second-*"))
