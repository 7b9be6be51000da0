"""Files that are trained on the device: real digits, in ai-edge-litert, without Keras."""

import numpy as np
import pytest

from zoo_export import ExportError, export, verify
from zoo_export.converters.litert.train import find_head
from zoo_registry import UsageError
from zoo_runtime.running.training import open_trainer

pytestmark = pytest.mark.slow  # converts

ROWS, TEST = slice(0, 1200), slice(1200, None)


@pytest.fixture(scope="module")
def forgetful(trained):
    """The network of the digits with a head that knows nothing."""
    import keras

    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    head = model.get_layer("logits")
    random = np.random.default_rng(0).standard_normal(head.kernel.shape).astype("float32")
    head.set_weights([random * 0.01, np.zeros(10, "float32")])
    return model


@pytest.fixture(scope="module")
def bundle(forgetful, digits, tmp_path_factory):
    return export(
        forgetful,
        to=["tflite", "tflite:train"],
        samples={"image": digits[0][TEST][:4]},
        train_batch=32,
        out=tmp_path_factory.mktemp("train") / "digits-net",
        name="digits-net",
    )


@pytest.fixture
def trainer(bundle):
    return bundle.trainer()


def _accuracy(trainer, digits):
    logits = trainer.predict({"image": digits[0][TEST]})["logits"]
    return float((logits.argmax(-1) == digits[1][TEST]).mean())


def test_it_learns_saves_and_restores_in_a_new_interpreter(bundle, digits, tmp_path):
    images, labels = digits[0][ROWS], digits[1][ROWS]
    trainer = bundle.trainer()
    before = _accuracy(trainer, digits)
    for _ in range(4):
        losses = [
            trainer.step({"image": images[i : i + 32]}, labels[i : i + 32], learning_rate=0.2)
            for i in range(0, 1200, 32)  # the last step has 16 rows
        ]
    assert before < 0.3
    assert _accuracy(trainer, digits) > 0.85
    assert np.mean(losses) < 0.5

    trainer.save(tmp_path / "head.npz")
    learned = trainer.predict({"image": images[:50]})["logits"]
    again = open_trainer(bundle.path / "digits-net.train.tflite")
    assert not np.array_equal(again.predict({"image": images[:50]})["logits"], learned)
    again.restore(tmp_path / "head.npz")
    np.testing.assert_array_equal(again.predict({"image": images[:50]})["logits"], learned)
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]


def test_it_infers_as_keras_does_and_shares_the_weights_between_its_signatures(bundle):
    plain, train = bundle.artifacts
    assert train.verification.max_abs_diff < 1e-4
    assert (train.facts["signature"], train.facts["train"]["head"]) == ("infer", "logits")
    figures = train.facts["train"]
    assert (figures["loss"], figures["batch"]) == ("softmax-cross-entropy", 32)
    assert figures["loss_after"] < figures["loss_before"]
    assert train.bytes < plain.bytes + 15_000
    assert all(row.ok for row in verify(bundle))


def test_a_step_is_the_step_of_keras(forgetful, trainer, digits):
    import keras

    images, labels = digits[0][:32], digits[1][:32]
    weight = np.linspace(0, 2, 32, dtype=np.float32)
    twin = keras.models.clone_model(forgetful)
    twin.set_weights(forgetful.get_weights())
    twin.get_layer("conv").trainable = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    twin.compile(keras.optimizers.SGD(0.1), loss)
    twin.train_on_batch(images, labels, sample_weight=weight)

    trainer.step({"image": images}, labels, learning_rate=0.1, sample_weight=weight)

    head = twin.get_layer("logits")
    np.testing.assert_allclose(trainer.weights()["kernel"], head.kernel, atol=1e-6)
    np.testing.assert_allclose(trainer.weights()["bias"], head.bias, atol=1e-6)


def test_rows_that_are_filled_up_do_not_count(bundle, digits):
    images, labels = digits[0][:5], digits[1][:5]
    few, weighted = bundle.trainer(), bundle.trainer()
    few.step({"image": images}, labels, learning_rate=0.1)
    weighted.step(
        {"image": digits[0][:20]},
        digits[1][:20],
        learning_rate=0.1,
        sample_weight=np.arange(20) < 5.0,
    )
    for name, array in few.weights().items():
        np.testing.assert_allclose(array, weighted.weights()[name], atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 33}, "A step takes at most 32 rows and got 33: take several steps, or export"),
        ({"labels": [10, 1]}, "Labels go from 0 to 9; there are some from 1 to 10."),
        ({"labels": [-1, 1]}, "Labels go from 0 to 9; there are some from -1 to 1."),
        ({"labels": [1]}, r"Input labels: int32\[2\] got an array of shape \(1,\)."),
        ({"labels": [0.5, 1]}, "'labels' takes int32 and got float64: convert it first."),
        ({"learning_rate": np.nan}, "learning_rate=nan: give a number that is not negative."),
        ({"learning_rate": -1.0}, "learning_rate=-1.0: give a number that is not negative."),
        ({"sample_weight": [0.0, 0.0]}, "sample_weight must be finite, not negative, and not all"),
        ({"scale": np.nan}, "A step of learning_rate=0.1 has a loss of nan and gives weights that"),
    ],
)
def test_a_step_that_cannot_be_taken_leaves_the_weights(trainer, digits, change, message):
    before = trainer.weights()
    rows = change.get("rows", 2)
    given = {"labels": digits[1][:rows], "learning_rate": 0.1, **change}
    images = digits[0][:rows] * given.pop("scale", 1)
    given.pop("rows", None)
    with pytest.raises(UsageError, match=message):
        trainer.step({"image": images}, **given)
    for name, array in trainer.weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_weights_that_do_not_belong_are_refused(trainer, tmp_path):
    path = tmp_path / "head.npz"
    trainer.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"head.npz' cannot be read: "):
        trainer.restore(path)
    with pytest.raises(UsageError, match=r"none.npz' cannot be read: .*No such file"):
        trainer.restore(tmp_path / "none.npz")
    np.savez(path, **trainer.weights())
    with pytest.raises(UsageError) as caught:
        trainer.restore(path)
    assert str(caught.value) == (
        f"'{path}' was not saved by this model: its weights belong to other features."
    )
    with pytest.raises(UsageError, match=r"have the shapes \{'kernel': \(2, 2\)\}; this head has"):
        trainer.set_weights({"kernel": np.zeros((2, 2))})
    for kernel in ([[1, 2], [3]], [["a", "b"]]):
        with pytest.raises(
            UsageError, match=r"^'kernel' of the weights is not an array of numbers: "
        ):
            trainer.set_weights({"kernel": kernel, "bias": 1})
    one = tmp_path / "one.npy"
    np.save(one, np.zeros(3))
    with pytest.raises(UsageError) as caught:
        trainer.restore(one)
    assert str(caught.value) == (
        f"'{one}' holds one array without a name, as a .npy file: write it with np.savez."
    )


def test_so_many_threads_are_refused(bundle):
    with pytest.raises(UsageError, match=r"^threads=1025: use 1 to 1024, or leave it out\.$"):
        bundle.trainer(threads=1025)


def test_it_needs_neither_tensorflow_nor_keras(bundle, fresh_python):
    code = (
        "import sys, numpy as np, zoo_export\n"
        f"trainer = zoo_export.load_bundle({str(bundle.path)!r}).trainer(threads=1)\n"
        "trainer.step({'image': np.ones((3, 8, 8, 1))}, [0, 1, 2])\n"
        "print(trainer.batch, sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert fresh_python(code).stdout.strip() == "32 []"


def test_a_file_that_cannot_be_trained(bundle):
    path = bundle.path / "digits-net.tflite"
    with pytest.raises(UsageError) as caught:
        open_trainer(path)
    assert str(caught.value) == (
        f"'{path}' cannot be trained: it has no signature 'infer'. Export it with tflite:train "
        "(zoo export --train)."
    )


def test_numbers_are_trained_on_their_squared_error(dense, tmp_path):
    import keras

    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2, name="sizes", use_bias=False)(inputs))
    bundle = export(model, to=["tflite:train"], out=tmp_path / "sizes", name="sizes")
    trainer, rows = bundle.trainer(), np.eye(4, dtype=np.float32)
    wanted = np.arange(8, dtype=np.float32).reshape(4, 2)
    for _ in range(200):
        loss = trainer.step({"features": rows}, wanted, learning_rate=1.0)
    assert bundle.artifacts[0].facts["train"]["loss"] == "mean-squared-error"
    assert (loss < 1e-4, sorted(trainer.weights())) == (True, ["kernel"])
    np.testing.assert_allclose(trainer.predict({"features": rows})["sizes"], wanted, atol=0.1)


# -- which models have a head -------------------------------------------------------------------


def _image_model(*layers):
    import keras

    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Flatten()(inputs)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def test_the_loss_is_measured_before_a_softmax_or_sigmoid():
    from keras import layers

    for last in (
        [layers.Dense(3, activation="softmax")],
        [layers.Dense(3), layers.Softmax()],
        [layers.Dense(3), layers.Activation("softmax"), layers.Identity()],
        [layers.Dense(1, activation="sigmoid")],
    ):
        head = find_head(_image_model(*last), None)
        values = np.array([[1.0, -2.0, 3.0]], np.float32)
        assert head.classifies
        np.testing.assert_array_equal(head.scores(values), values)
        assert not np.array_equal(np.asarray(head.answer(values)), values)
    assert not find_head(_image_model(layers.Dense(3, name="sizes")), None).classifies
    assert find_head(_image_model(layers.Dense(3)), "image-classification").classifies


def test_several_answers_of_yes_or_no_are_refused_as_logits_too():
    from zoo_models.build import get_model

    model = get_model(
        "bert-tiny", task="multi-label", num_layers=1, num_classes=3, vocab_size=100, max_length=16
    )
    with pytest.raises(ExportError, match="'logits' gives 3 answers of yes or no, each with a los"):
        find_head(model, "multi-label")


@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
def test_the_numbers_of_a_regression_are_no_classes(activation):
    from keras import layers

    model = _image_model(layers.Dense(3, activation=activation, name="logits"))
    head = find_head(model, "regression")
    values = np.array([[1.0, -2.0, 3.0]], np.float32)
    assert not head.classifies
    # The loss is measured on what the model answers.
    np.testing.assert_array_equal(head.answer(values), values)
    assert np.array_equal(head.scores(values), values) == (activation is None)


def test_a_regression_is_trained_on_its_squared_error(tmp_path):
    import keras

    inputs = keras.Input((32,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(1, name="logits")(inputs))
    bundle = export(
        model, to=["tflite:train"], task="regression", out=tmp_path / "price", name="price"
    )
    trainer, rows = bundle.trainer(), np.eye(32, dtype=np.float32)[:4]
    wanted = np.array([[-3.0], [0.5], [2.0], [40.0]], np.float32)
    assert bundle.artifacts[0].facts["train"]["loss"] == "mean-squared-error"
    for _ in range(300):
        trainer.step({"features": rows}, wanted, learning_rate=0.3)
    np.testing.assert_allclose(trainer.predict({"features": rows})["logits"], wanted, atol=0.1)


def _tied():
    from zoo_models.build import get_model

    return get_model("bert-tiny", task="masked-lm", vocab_size=50, max_length=16)


def _shared():
    import keras

    layer = keras.layers.Dense(64, name="again")
    return _image_model(layer, layer)


def _two():
    import keras

    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, [keras.layers.Dense(2, name=name)(inputs) for name in "ab"])


def _joined():
    import keras

    inputs = keras.Input((4,), name="x")
    x = keras.layers.Dense(4)(inputs)
    return keras.Model(inputs, keras.layers.Add(name="sum")([x, inputs]))


def _normalized():
    from keras import layers

    return _image_model(layers.Dense(3), layers.BatchNormalization(name="norm"))


def _sigmoids():
    from keras import layers

    return _image_model(layers.Dense(3, activation="sigmoid", name="tags"))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_tied, "the last layer with weights, 'logits', is of type BiasAdd"),
        (_shared, "its last Dense layer, 'again', is used more than once"),
        (_two, "it has 2 outputs (a, b)"),
        (_joined, "'sum' (Add), which stands after it, joins several tensors"),
        (_normalized, "the last layer with weights, 'norm', is of type BatchNormalization"),
        (_sigmoids, "'tags' gives 3 answers of yes or no, each with a loss of its own"),
        (_image_model, "there is none"),
    ],
)
def test_models_without_a_head_of_their_own(build, reason):
    with pytest.raises(ExportError) as caught:
        find_head(build(), None)
    assert str(caught.value) == (
        f"only the last Dense layer of a model can be trained on a device, and {reason}"
    )


def test_the_command_has_a_short_form(make_run):
    from click.testing import CliRunner

    from zoo.cli.exporting import export as command

    done = CliRunner().invoke(command, [str(make_run()), "--train", "--train-batch", "0"])
    assert str(done.exception) == "train_batch=0: a step of training takes 1 row or more."
