"""Models that ``model.export`` takes: of classes of one's own, nested, streaming, of one batch."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_small import ALL, convert, runner
from keras import layers, ops

from zoo_export.reading import pickled
from zoo_export.reading.functional import functional
from zoo_export.reading.request import Request
from zoo_export.reading.signature import signature_of
from zoo_export.reading.source import _check_labels
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError
from zoo_runtime.tensors import Tensor

SCALE = np.float32(1.5)


def _model(apply, shape=(4,), dtype="float32"):
    inputs = keras.Input(shape, name="x", dtype=dtype)
    return keras.Model(inputs, apply(inputs), name="small")


def _names(artifact):
    return [t.name for t in artifact.inputs], [t.name for t in artifact.outputs]


class _Table(layers.Layer):
    """Holds what Keras does not save: an array, a function, layers in a list and a dictionary."""

    def __init__(self, table, function):
        super().__init__()
        self.table, self.function = ops.convert_to_tensor(table), function
        self.inner = [layers.Dense(4), {"second": layers.Dense(4)}]

    def build(self, shape):
        self.inner[0].build(shape)
        self.inner[1]["second"].build((None, 4))

    def call(self, x):
        return self.function(self.inner[1]["second"](self.inner[0](x))) + self.table


class _Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.hidden, self.norm = layers.Dense(4), layers.BatchNormalization()

    def call(self, x, training=False):
        return self.norm(self.hidden(x), training=training)


class _Two(keras.Model):
    def __init__(self):
        super().__init__(name="two")
        self.table, self.hidden = layers.Embedding(9, 4), layers.Dense(4)

    def call(self, ids, extra):
        vectors = self.table(ids)
        return {"hidden": self.hidden(extra), "both": [vectors, ops.sum(vectors, axis=1)]}


def _local():
    factor = 3.0

    class Local(layers.Layer):
        def call(self, x):
            return x * factor

    return Local()


# -- code that another process cannot import ----------------------------------------------------


def _own_code():
    return {
        "lambda": layers.Lambda(lambda x: x * SCALE),
        "function": layers.Dense(3, activation=lambda x: ops.tanh(x) * 2),
        "unregistered": layers.Activation(ops.square),
        "inside-of-a-function": _local(),
        "without-configuration": _Table(np.ones(4, "f"), lambda x: ops.tanh(x) * SCALE),
        "half-precision": layers.Dense(2, dtype="mixed_bfloat16"),
    }


def test_whatever_code_a_model_has_it_is_exported(tmp_path):
    own = _own_code()
    model = _model(lambda x: {name: layer(x) for name, layer in own.items()})
    for artifact in convert(model, tmp_path).values():
        assert artifact.verification.ok
        assert len(artifact.outputs) == len(own)


def test_a_pickled_model_is_the_same_in_another_process(tmp_path):
    model = _model(lambda x: layers.Dense(4)(_local()(x)))
    model.name = "inner"
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 4)), verbose=0)
    # A pickle of what holds what would be as deep as the model.
    deep = _model(lambda x: keras.Sequential([layers.Dense(4) for _ in range(300)])(model(x)))
    pickled.save(deep, tmp_path / "model.pickle")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from zoo_export.reading import pickled\n"
        "model = pickled.load(Path('model.pickle'))\n"
        "np.save('y.npy', model(np.load('x.npy')))\n"
        "print(len({id(w) for w in model.weights}), model.count_params(), model.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["602", "6020", "small"]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), deep(x))


def test_what_cannot_leave_the_process_is_named(tmp_path):
    with (tmp_path / "open").open("w") as file:
        layer = _Table(np.ones(4, "f"), lambda x: x)
        model = _model(layer)
        layer.log = file
        with pytest.raises(UsageError) as caught:
            pickled.save(model, tmp_path / "model.pickle")
    assert str(caught.value).startswith(
        "Model 'small' cannot go to the process that converts it, for what '__table"
    )
    assert "holds cannot be pickled: PicklingError: Cannot pickle files" in str(caught.value)


# -- models of a class of one's own -------------------------------------------------------------


def test_a_model_of_its_own_class_that_was_called(tmp_path):
    model = _Own()
    model(np.ones((2, 5), "float32"))
    found = convert(model, tmp_path)
    assert _names(found["onnx"]) == (["x"], ["output"])
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    for artifact in found.values():
        given = runner(tmp_path, artifact).run({"x": x})["output"]
        np.testing.assert_allclose(given, model(x), rtol=1e-5, atol=1e-5)


def test_samples_tell_what_a_model_takes(tmp_path):
    samples = {"ids": np.arange(12).reshape(4, 3) % 9, "extra": np.ones((4, 5))}
    found = convert(_Two(), tmp_path, ["onnx"], samples=samples)
    assert [str(tensor) for tensor in found["onnx"].inputs] == [
        "extra: float32[batch, 5]",
        "ids: int32[batch, 3]",
    ]
    assert [t.name for t in found["onnx"].outputs] == ["hidden", "both_0", "both_1"]


def test_a_model_of_which_nothing_is_known():
    with pytest.raises(UsageError) as caught:
        functional(_Own())
    assert str(caught.value) == (
        "Model 'own' is of a class of its own and its inputs are not known: call it once on an "
        "example, model(x), or give samples (samples={name: array})."
    )


def test_a_sequential_without_an_input_takes_what_its_sample_is_called():
    model = keras.Sequential([layers.Dense(3)], name="stack")
    with pytest.raises(UsageError, match=r"'stack' has no Input and its inputs are not known"):
        functional(model)
    found = functional(model, {"features": np.ones((2, 5), "float32")})
    assert {name: t.shape for name, t in signature_of(found).inputs.items()} == {
        "features": (None, 5)
    }


class _Sampling(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seed)


def test_a_model_that_answers_at_random_is_refused_by_layer(tmp_path):
    with pytest.raises(ExportError) as caught:
        convert(_model(lambda x: _Sampling(name="sampling")(layers.Dense(2)(x))), tmp_path)
    assert str(caught.value) == (
        "model 'm' gives another answer to the same inputs at every call in Keras: Layer "
        "'sampling' draws random numbers outside of training too. Let it draw if training=True "
        "alone, as keras.layers.Dropout does, or give out what it draws around"
    )


def test_what_does_more_than_compute_is_refused_by_layer(tmp_path):
    class Loud(layers.Layer):
        def call(self, x):
            tf.print("seen")
            return x * 2

    error = convert(_model(Loud(name="loud")), tmp_path, ["saved_model"])["saved_model"]
    assert str(error) == (
        "it does more than compute: PrintV2 (layer 'loud'), StringFormat (layer 'loud'). No file "
        "of a bundle prints, reads, writes or calls Python"
    )


def test_a_model_that_fails_on_its_samples():
    class Square(keras.Model):
        def call(self, x):
            return ops.matmul(x, x)

    with pytest.raises(UsageError, match=r"Model 'square' fails on symbolic inputs of shapes {'x'"):
        functional(Square(name="square"), {"x": np.ones((2, 3, 4))})


# -- nested, and names ---------------------------------------------------------------------------


def test_nested_inputs_and_outputs(tmp_path):
    a, b, c = (keras.Input((3,), name=name) for name in "abc")
    outputs = {"sums": [a + b, {"last": layers.Dense(2)(c)}], "product": a * b}
    model = keras.Model({"left": [a, b], "right": {"c": c}}, outputs, name="nested")
    for artifact in convert(model, tmp_path).values():
        names = ["left_0", "left_1", "right_c"], ["sums_0", "sums_1_last", "product"]
        assert _names(artifact) == names
        rows = {name: np.full((2, 3), i + 1, "float32") for i, name in enumerate(names[0])}
        given = runner(tmp_path, artifact).run(rows)
        assert (given["sums_0"] == 3).all()
        assert (given["product"] == 2).all()


def test_names_that_no_format_holds(tmp_path):
    inputs = [keras.Input((3,), name=name) for name in ("x", "X", "class", "2d", "self")]
    small, large, kind, flat, own = inputs
    outputs = {"x": small + 2 * large, "class": kind + 3 * flat + own, "2d": flat - large}
    samples = {t.name: np.random.default_rng(i).normal(size=(4, 3)) for i, t in enumerate(inputs)}
    names = ["x", "X_1", "input_class", "input_2d", "input_self"]
    for artifact in convert(keras.Model(inputs, outputs), tmp_path, samples=samples).values():
        assert _names(artifact) == (names, ["x_output", "class", "2d"])
        rows = {name: np.full((1, 3), 10.0**i, "float32") for i, name in enumerate(names)}
        given = runner(tmp_path, artifact).run(rows)
        assert (given["x_output"] == 21).all()
        assert (given["class"] == 13100).all()


def test_lists_inside_of_lists_are_named_by_layers():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    first, second = layers.Dense(2, name="first"), layers.Dense(2, name="second")
    model = keras.Model([a, [b]], [first(a), (second(b),)])
    assert list(signature_of(model).inputs) == ["a", "b"]
    assert list(signature_of(model).outputs) == ["first", "second"]


# -- one batch, and states -----------------------------------------------------------------------


def test_a_model_of_one_batch(tmp_path):
    steps = keras.Input(batch_shape=(2, 5, 3), name="steps")
    model = keras.Model(steps, layers.Dense(2, name="y")(layers.GRU(3)(steps)))
    x = np.random.default_rng(0).normal(size=(3, 5, 3)).astype("float32")
    wanted = model(np.concatenate([x, x[:1]]))[:3]
    for artifact in convert(model, tmp_path).values():
        assert artifact.inputs[0].shape == (2, 5, 3)
        given = runner(tmp_path, artifact).run({"steps": x})["y"]
        np.testing.assert_allclose(given, wanted, atol=1e-6)


def test_another_batch_than_the_only_one_is_refused(tmp_path):
    steps = keras.Input(batch_shape=(2, 5), name="steps")
    with pytest.raises(UsageError) as caught:
        convert(keras.Model(steps, steps * 2), tmp_path, batch_sizes=(1, 8))
    assert str(caught.value) == (
        "batch_sizes=[1, 8]: the inputs of model 'm' have a fixed batch of 2. Build it from "
        "keras.Input((...)) without a batch size."
    )


def test_a_sequence_streams_through_a_file_in_pieces(tmp_path):
    def build(shape, stateful):
        steps = keras.Input(batch_shape=shape, name="steps")
        x = layers.LSTM(4, stateful=stateful, return_sequences=True, name="first")(steps)
        x = layers.Dense(3)(
            layers.GRU(3, stateful=stateful, return_sequences=True, name="second")(x)
        )
        x = layers.SimpleRNN(2, stateful=stateful, return_sequences=True, name="third")(x)
        return keras.Model(steps, layers.Dense(2, name="y")(x), name="memory")

    keras.utils.set_random_seed(0)
    whole, model = build((1, 20, 3), False), build((1, 5, 3), True)
    model.set_weights(whole.get_weights())
    x = np.random.default_rng(0).normal(size=(1, 20, 3)).astype("float32")
    found = convert(model, tmp_path)
    assert found.keys() == set(ALL)
    states = ["first_state_0", "first_state_1", "second_state_0", "third_state_0"]
    for artifact in found.values():
        assert _names(artifact) == (["steps", *states], ["y", *(f"next_{s}" for s in states)])
        run = runner(tmp_path, artifact).run
        kept = {t.name: np.zeros(t.shape, "float32") for t in artifact.inputs[1:]}
        pieces = []
        for start in range(0, 20, 5):
            given = run({"steps": x[:, start : start + 5], **kept})
            kept = {name: given[f"next_{name}"] for name in states}
            pieces.append(given["y"])
        np.testing.assert_allclose(np.concatenate(pieces, 1), whole(x), atol=1e-5)
    # The export reads no state of the model itself, and leaves it.
    assert not np.asarray(model.get_layer("first").states[0]).any()


def test_states_of_a_layer_of_ones_own(tmp_path):
    class Sum(layers.Layer):
        def build(self, shape):
            self.total = self.add_weight(shape=(1, 2), trainable=False, initializer="zeros")

        def call(self, x):
            return self.total.assign_add(x)

    inputs = keras.Input(batch_shape=(1, 2), name="x")
    found = convert(
        keras.Model(inputs, Sum(name="sum")(inputs)), tmp_path, samples={"x": np.ones((1, 2))}
    )
    for artifact in found.values():
        (state,) = [t.name for t in artifact.inputs if t.name != "x"]
        rows = {"x": np.full((1, 2), 2, "float32"), state: np.full((1, 2), 40, "float32")}
        given = runner(tmp_path, artifact).run(rows)
        assert (given[f"next_{state}"] == 42).all()
        assert (given["sum"] == 42).all()


def test_a_state_that_has_no_rows_is_refused():
    class Counter(layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight(shape=(), trainable=False, initializer="zeros", name="n")

        def call(self, x):
            return x + self.calls.assign_add(1.0)

    with pytest.raises(UsageError) as caught:
        functional(_model(Counter(name="counter")))
    assert str(caught.value) == (
        "Model 'small' keeps 'counter/n' of shape () from call to call, and not a row of it for "
        "each row of the inputs: build it with a fixed batch and a state of that many rows "
        "(keras.Input(batch_shape=...)), or change it if training=True alone."
    )


# -- labels and adapters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "task", "labels", "fits"),
    [
        ("heatmap", "object-detection", 1, True),
        ("heatmap", "object-detection", 2, False),
        ("logits", "image-classification", 2, True),
        ("logits", "image-classification", 1, False),
        ("logits", "multi-label", 1, True),
    ],
)
def test_one_class_has_one_map_of_heat_and_a_question_one_logit(output, task, labels, fits):
    request = Request(model=None, name="m", task=task, labels=("a", "b")[:labels])
    tensors = [Tensor(output, "float32", ("batch", 1))]
    if fits:
        _check_labels(request, tensors)
    else:
        with pytest.raises(UsageError, match=f"has 1 logits and there are {labels} labels"):
            _check_labels(request, tensors)


def test_lora_adapters_of_an_embedding_are_merged(tmp_path):
    table = layers.Embedding(9, 8)
    model = _model(lambda x: layers.Dense(2, name="y")(layers.Flatten()(table(x))), (4,), "int32")
    table.enable_lora(2)
    table.lora_embeddings_b.assign(np.ones((2, 8)))
    found = convert(model, tmp_path, ["onnx"])
    tokens = np.array([[1, 8, 0, 3]], "int32")
    given = runner(tmp_path, found["onnx"]).run({"x": tokens})["y"]
    np.testing.assert_allclose(given, model(tokens), rtol=1e-5, atol=1e-6)
