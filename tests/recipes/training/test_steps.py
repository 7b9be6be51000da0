"""Steps of training repeat bit for bit, in whatever order the threads of TensorFlow come to it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.support.models import distinct_cases
from zoo import get_model
from zoo_models.saved import fed
from zoo_recipes.arrays.sources import PreparedArrays
from zoo_recipes.configs import CompileConfig
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.batches import Batches, balanced_order, class_weights
from zoo_recipes.training.loop import build_training, gradients_of, train_step
from zoo_recipes.training.training import train
from zoo_registry import UsageError, models


@pytest.mark.slow
def test_the_same_step_gives_the_same_bits():
    """Gradients of this model differed in two of three steps when TensorFlow added them up."""
    keras.utils.set_random_seed(0)
    model = get_model("efficientnet-lite0", input_shape=(48, 48, 3), num_classes=10)
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).uniform(0, 255, (64, 48, 48, 3)).astype("float32")
    rows = PreparedArrays({"image": images}, (np.arange(64) % 10).astype("int32"))
    build_training(model, rows, CompileConfig())
    variables = [*model.variables, *model.optimizer.variables]
    first = [np.asarray(variable).copy() for variable in variables]
    step = train_step(model)
    results = set()
    for _ in range(12):
        for variable, value in zip(variables, first, strict=True):
            variable.assign(value)
        step((images, rows.targets))
        results.add(b"".join(np.asarray(variable).tobytes() for variable in variables))
    assert len(results) == 1


FIRST_HEADS = {case.name: case.task for case in reversed(distinct_cases())}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FIRST_HEADS))
def test_gradients_are_added_in_one_order(name):
    """A sum of more than two begins with its first summand, if nothing else reads it."""
    model = get_model(name, task=FIRST_HEADS[name], **models.get(name).reduced)
    inputs = {tensor.name: np.zeros([2, *_sizes(tensor)], tensor.dtype) for tensor in model.inputs}
    given = fed(model, inputs)
    targets = keras.tree.map_structure(np.zeros_like, model.predict(given, verbose=0))
    model.compile("sgd", keras.tree.map_structure(lambda _: "mse", targets))
    traced = tf.function(lambda x, y: gradients_of(model, (x, y)), autograph=False)
    graph = traced.get_concrete_function(given, targets).graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        read = [source.split(":")[0] for node in nodes for source in node.input]
        sums = (list(node.input) for node in nodes if node.op == "AddN")
        shared = [s for s in sums if len(s) > 2 and read.count(s[0].split(":")[0]) > 1]
        assert not shared


def _sizes(tensor):
    return [8 if size is None else size for size in tensor.shape[1:]]


LABELS = np.array([0] * 90 + [1] * 10 + [3] * 20)


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    weights = class_weights("balanced", LABELS, list("abcd"))
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=LABELS)
    np.testing.assert_allclose(weights[[0, 1, 3]], wanted, rtol=1e-6)
    assert weights[2] == 0


def test_weights_by_name_and_a_name_that_is_none():
    assert class_weights({"b": 5, "d": 0.5}, LABELS, list("abcd")).tolist() == [1, 5, 1, 0.5]
    with pytest.raises(UsageError) as caught:
        class_weights({"bad": 5}, LABELS, ["good", "baad"])
    assert str(caught.value) == ("fit.class_weight: there is no class 'bad'. Did you mean 'baad'?")
    with pytest.raises(UsageError, match=r"^fit\.class_weight needs examples of one class each"):
        class_weights("balanced", None, None)


def test_balanced_sampling_draws_every_class_equally_often():
    rng = np.random.default_rng(0)
    order = balanced_order(LABELS, rng)
    assert np.bincount(LABELS[order]).tolist() == [40, 40, 0, 40]
    assert len(set(order[LABELS[order] == 0])) == 40
    assert np.bincount(order[LABELS[order] == 1])[90:].tolist() == [4] * 10
    assert balanced_order(LABELS, rng).tolist() != order.tolist()


def test_batches_carry_the_weights_of_their_targets():
    source = PreparedArrays({"x": np.arange(len(LABELS))}, LABELS)
    weights = class_weights("balanced", LABELS, None)
    batches = Batches(source, batch_size=32, seed=0, class_weights=weights, sampling="balanced")
    for inputs, targets, given in batches.of_epoch(0):
        np.testing.assert_array_equal(targets, LABELS[inputs["x"]])
        np.testing.assert_array_equal(given, weights[targets])


def test_a_heavy_class_is_answered_more_often(data_dir, tmp_path):
    """A class that weighs 30 times as much is answered far more often."""
    few = ["fit.epochs=4", "dataset.train=train[:25%]", 'fit.class_weight={"8" = 30.0}']
    plain = with_overrides(resolve_recipe("digits-mlp"), few[:2])
    heavy = with_overrides(resolve_recipe("digits-mlp"), few)
    shares = []
    for name, recipe in (("plain", plain), ("heavy", heavy)):
        run = train(recipe, out=tmp_path / name, data_dir=data_dir, verbose=False)
        with np.load(run.path / "examples.npz") as kept:
            answers = run.model().predict(kept["x/image"], verbose=0).argmax(-1)
        shares.append(float((answers == 8).mean()))
    assert shares[1] > 2 * shares[0]
