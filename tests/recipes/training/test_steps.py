"""Steps of training repeat bit for bit, in whatever order the threads of TensorFlow come to it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import get_model
from zoo.support.cases import distinct_cases
from zoo_models.saved import fed
from zoo_recipes.arrays.sources import PreparedArrays
from zoo_recipes.configs import CompileConfig
from zoo_recipes.training.loop import build_training, gradients_of, train_step
from zoo_registry import models


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
