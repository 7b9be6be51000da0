"""Attributions of models whose true ones are known."""

import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from zoo_recipes.explanation.explaining import Effort, explain_trained
from zoo_recipes.explanation.gradients import grad_cam, integrated_gradients
from zoo_recipes.explanation.perturbation import faithfulness, kernel_shap, lime
from zoo_recipes.explanation.reading import Segmentation
from zoo_recipes.explanation.segmentation import pixels
from zoo_recipes.explanation.target import AttributionTarget, Features, choose_target
from zoo_registry import UsageError, ZooError

WEIGHTS = np.array([[2.0, -1, 0], [0.5, 3, 1], [-3, 0, 1], [1, 1, 1], [0, -2, 4]], "float32")
ROWS = np.random.default_rng(0).normal(size=(50, 5)).astype("float32")
ROW = np.array([1.5, -2.0, 0.5, 3.0, 1.0], "float32")


def dense(weights, bias):
    inputs = keras.Input((len(weights),), name="features")
    layer = layers.Dense(weights.shape[1], name="logits")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([weights, np.asarray(bias, "float32")])
    return model


@pytest.fixture
def linear(known_run, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    model = dense(WEIGHTS, [0.3, -0.2, 0.1])
    labels = ["red", "green", "blue"]
    return known_run(model, tmp_path, "classification", labels, typical=ROWS)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "shap"])
def test_a_linear_model_is_its_weights_times_the_distance_from_the_mean(linear, method):
    found = explain_trained(linear, ROW, method, label="green", effort=Effort(steps=3))
    np.testing.assert_allclose(found.values, WEIGHTS[:, 1] * (ROW - ROWS.mean(axis=0)), atol=1e-5)
    # All of it is told: the attributions make up the difference of the two answers.
    whole = ROW @ WEIGHTS[:, 1] - 0.2
    nothing = ROWS.mean(axis=0) @ WEIGHTS[:, 1] - 0.2
    assert found.values.sum() == pytest.approx(whole - nothing, abs=1e-5)
    if method == "shap":
        assert found.facts["logit of nothing"] == pytest.approx(nothing, abs=1e-5)
    if method == "integrated-gradients":
        assert found.facts["completeness gap"] == pytest.approx(0, abs=1e-5)


def test_lime_has_the_signs_and_the_order_of_a_linear_model(linear):
    found = explain_trained(linear, ROW, "lime", label="green")
    true = WEIGHTS[:, 1] * (ROW - ROWS.mean(axis=0))
    assert np.argsort(found.values).tolist() == np.argsort(true).tolist()
    strong = np.abs(true) > 0.1
    assert (np.sign(found.values) == np.sign(true))[strong].all()
    assert found.facts["variance explained (R2)"] > 0.95


def test_shap_shares_a_product_and_adds_up():
    weights = np.array([1.0, 2.0, -1.0, 0.0])

    # Two features work together alone: Shapley's axiom gives each a half of it.
    def score(present):
        return present @ weights + 4 * present[:, 0] * present[:, 3]

    values, nothing = kernel_shap(score, 4, samples=100, seed=0)
    np.testing.assert_allclose(values, [3, 2, -1, 2], atol=1e-8)
    assert nothing == 0


def test_what_is_drawn_repeats_and_leaves_numpy_as_it_was():
    weights = np.random.default_rng(1).normal(size=40)

    def score(present):
        return np.tanh(present @ weights)

    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    once, again = (kernel_shap(score, 40, samples=200, seed=3)[0] for _ in range(2))
    assert np.array_equal(np.random.get_state()[1], before)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, kernel_shap(score, 40, samples=200, seed=4)[0])
    assert np.array_equal(*(lime(score, 40, samples=200, seed=3)[0] for _ in range(2)))


def test_integrated_gradients_of_a_polynomial():
    inputs = keras.Input((3,), name="features")
    logits = layers.Dense(2, use_bias=False, name="logits")
    model = keras.Model(inputs, logits(inputs * inputs * inputs))
    logits.set_weights([np.array([[1, 0], [2, 0], [-1, 1]], "float32")])
    row = np.array([[2.0, -1.0, 0.5]], "float32")
    parts = Features(
        "table", {"features": row}, {"features": row * 0}, "features", np.arange(3), ("a",) * 3
    )
    values, gap = integrated_gradients(model, parts, AttributionTarget("classification", 0, "0"), 4)
    np.testing.assert_allclose(values, [8, -2, -0.125], rtol=1e-5)
    assert abs(gap) < 1e-5


def test_integrated_gradients_of_tokens_go_along_the_right_embedding():
    ids = keras.Input((None,), name="token_ids", dtype="int32")
    segments = keras.Input((None,), name="segment_ids", dtype="int32")
    table = layers.Embedding(6, 3)
    # Inside another model, as in a backbone, beside an embedding of something else.
    inner = keras.Model([segments, ids], layers.Embedding(2, 3)(segments) + table(ids))
    logits = layers.Dense(2, name="logits")
    pooled = layers.GlobalAveragePooling1D()(inner([segments, ids]))
    model = keras.Model({"token_ids": ids, "segment_ids": segments}, logits(pooled))
    row = np.array([[2, 5, 3, 0]], "int32")
    parts = Features(
        kind="text",
        inputs={"token_ids": row, "segment_ids": np.ones_like(row)},
        blank={"token_ids": np.zeros_like(row)},
        name="token_ids",
        members=np.array([0, 1, 2, -1]),
        names=("a", "b", "c"),
    )
    elements, gap = integrated_gradients(
        model, parts, AttributionTarget("text-classification", 1, "yes"), 2
    )
    vectors, direction = table.get_weights()[0], logits.get_weights()[0][:, 1]
    true = (vectors[row[0]] - vectors[0]) @ direction / 4
    np.testing.assert_allclose(parts.sums(elements), true[:3], atol=1e-6)
    assert abs(gap) < 1e-6
    # The layer is as it was.
    assert model(parts.inputs).shape == (1, 2)
    assert "call" not in vars(table)


def test_tokens_without_an_embedding_are_refused(tmp_path):
    ids = keras.Input((4,), name="token_ids", dtype="int32")
    logits = layers.Dense(2)(layers.CategoryEncoding(6, output_mode="multi_hot")(ids))
    model = keras.Model(ids, logits, name="counts")
    row = {"token_ids": np.array([[1, 2, 3, 0]], "int32")}
    parts = Features("text", row, row, "token_ids", np.arange(4), tuple("abcd"))
    with pytest.raises(UsageError) as failure:
        integrated_gradients(model, parts, AttributionTarget("text-classification", 0, "no"), 2)
    assert str(failure.value) == (
        "Model 'counts' has no Embedding layer that reads 'token_ids': integrated gradients of "
        "tokens go along its vectors. Use occlusion, shap or lime."
    )


@pytest.fixture(scope="module")
def maps():
    """Two maps, those of the channels, whose means are the input of a linear layer."""
    inputs = keras.Input((4, 4, 2), name="image")
    convolution = layers.Conv2D(2, 1, use_bias=False, name="convolution")
    logits = layers.Dense(2, use_bias=False, name="logits")
    x = layers.Activation("relu", name="shown")(convolution(inputs))
    model = keras.Model(inputs, logits(layers.GlobalAveragePooling2D()(x)), name="maps")
    convolution.set_weights([np.eye(2, dtype="float32").reshape(1, 1, 2, 2)])
    logits.set_weights([np.array([[2, 0], [-1, 1]], "float32")])
    return model


@pytest.fixture(scope="module")
def image():
    rows = np.random.default_rng(2).uniform(0, 9, (1, 4, 4, 2)).astype("float32")
    return pixels({"image": rows}, "image", patches=16, superpixels=False, baseline="black")


def test_grad_cam_of_a_convolution_whose_map_is_known(maps, image):
    rows = image.inputs["image"][0]
    found, layer = grad_cam(maps, image, AttributionTarget("image-classification", 0, "0"))
    # The gradient of a mean over 16 pixels is a sixteenth of the weight.
    true = np.maximum(rows @ [2, -1], 0) / 16
    np.testing.assert_allclose(found, true, rtol=1e-5)
    assert layer == "shown"
    found, layer = grad_cam(
        maps, image, AttributionTarget("image-classification", 1, "1"), "convolution"
    )
    np.testing.assert_allclose(found, rows[..., 1] / 16, rtol=1e-5)
    assert layer == "convolution"


def test_an_empty_map_is_told(maps, image):
    with pytest.raises(ZooError) as failure:
        grad_cam(
            maps,
            replace(image, inputs=image.blank),
            AttributionTarget("image-classification", 0, "0"),
        )
    assert str(failure.value) == (
        "Nothing in the maps of layer 'shown' speaks for '0' on the whole, so Grad-CAM shows "
        "nothing: name another layer (--layer), or use another method."
    )


def test_grad_cam_names_the_layers_that_there_are(maps, image, tmp_path):
    target = AttributionTarget("image-classification", 0, "0")
    with pytest.raises(UsageError) as failure:
        grad_cam(maps, image, target, "convolutoin")
    assert str(failure.value) == (
        "Model 'maps' has no layer 'convolutoin' that gives maps. Did you mean 'convolution'? "
        "There are: convolution, shown."
    )
    inputs = keras.Input((4, 4, 2), name="image")
    flat = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)), name="flat")
    with pytest.raises(UsageError) as failure:
        grad_cam(flat, image, target)
    assert str(failure.value) == (
        "Model 'flat' has no convolution: Grad-CAM weights its maps. Use integrated-gradients, "
        "occlusion, shap or lime."
    )


def test_the_true_ranking_beats_random_and_a_reversed_one_does_not():
    weights = np.linspace(1, 0, 100) ** 4

    def score(present):
        return present @ weights / weights.sum()

    right, wrong = (faithfulness(score, sign * weights, seed=0) for sign in (1, -1))
    assert right.deletion_area < 0.25 < 0.4 < right.random_area < 0.6 < right.insertion_area
    assert wrong.deletion_area > wrong.random_area > wrong.insertion_area
    assert (right.fractions[0], right.fractions[-1], len(right.fractions)) == (0, 1, 33)
    assert (right.deletion[0], right.deletion[-1]) == (pytest.approx(1), 0)
    assert (right.insertion[0], right.insertion[-1]) == (0, pytest.approx(1))


def test_one_logit_speaks_for_yes_and_against_no(known_run, tmp_path):
    model = dense(np.array([[2.0], [-1.0]], "float32"), [0.0])
    labels, typical = ["no", "yes"], np.zeros((3, 2))
    run = known_run(model, tmp_path, "classification", labels, typical=typical)
    row = np.array([1.0, 1.0], "float32")
    for label, values in ((None, [2, -1]), ("no", [-2, 1])):
        for method in ("occlusion", "integrated-gradients"):
            found = explain_trained(run, row, method, label=label)
            np.testing.assert_allclose(found.values, values, atol=1e-5)
    assert found.best == "yes"
    assert found.score == pytest.approx(1 / (1 + np.e))


def test_several_labels_and_a_value(known_run, tmp_path):
    model, known = dense(WEIGHTS, [0, 0, 0]), {"typical": np.zeros((3, 5))}
    found = explain_trained(known_run(model, tmp_path, "multi-label", **known), ROW, "occlusion")
    assert found.score == pytest.approx(1 / (1 + np.exp(-(ROW @ WEIGHTS).max())))
    regression = known_run(dense(WEIGHTS[:, :1], [0]), tmp_path, "regression", **known)
    found = explain_trained(regression, ROW, "occlusion")
    assert (found.target.label, found.score) == ("value", pytest.approx(ROW @ WEIGHTS[:, 0]))
    with pytest.raises(UsageError, match="A regression has no classes: leave the class 'a' out"):
        explain_trained(regression, ROW, "occlusion", label="a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "lyme"},
            "There is no method 'lyme'. Did you mean 'lime'? There are: integrated-gradients, "
            "grad-cam, occlusion, shap, lime.",
        ),
        (
            {"label": "gren"},
            "There is no class 'gren'. Did you mean 'green'? The classes are: red, green, blue.",
        ),
        ({"method": "grad-cam"}, "Method 'grad-cam' is for images; this input is a table."),
        (
            {"segmentation": Segmentation(names=["a", "b"])},
            "'features' has 5 columns, and there are 2 names.",
        ),
    ],
)
def test_wrong_requests(linear, changes, message):
    with pytest.raises(UsageError) as failure:
        explain_trained(linear, ROW, **{"method": "occlusion", **changes})
    assert str(failure.value) == message


def test_wrong_numbers():
    with pytest.raises(UsageError, match="samples=3: use 10 or more"):
        Effort(samples=3)
    with pytest.raises(UsageError, match="seed=-1: use 0 or more"):
        Effort(seed=-1)
    with pytest.raises(UsageError, match="patches=0: use 1 or more"):
        Segmentation(patches=0)


def test_typical_rows_must_fit(linear, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((3, 4)))
    with pytest.raises(UsageError, match=r"holds \(3, 4\): rows of shape \(5,\) are wanted"):
        explain_trained(
            linear, ROW, "occlusion", segmentation=Segmentation(typical=tmp_path / "other.npy")
        )


def test_columns_without_typical_rows_are_refused(linear, tmp_path):
    with pytest.raises(UsageError) as failure:
        explain_trained(replace(linear, path=tmp_path / "elsewhere"), ROW, "occlusion")
    assert str(failure.value) == (
        "A column is taken away by giving it its mean over typical rows, and a bundle has none: "
        "name a file of them with --typical (typical=), such as the calibration.npz of the run."
    )


def test_a_model_that_breaks_without_its_input_is_told(known_run, tmp_path):
    inputs = keras.Input((2,), name="features")
    model = keras.Model(inputs, layers.Dense(2)(keras.ops.log(inputs)))
    run = known_run(model, tmp_path, "classification", typical=np.zeros((1, 2)))
    with pytest.raises(ZooError, match="gives NaN or infinite logits once parts of the input are"):
        explain_trained(run, np.ones(2, "float32"), "occlusion")


def test_a_model_of_many_answers_is_refused(known_run, tmp_path):
    with pytest.raises(UsageError, match="is a model for seq2seq: what can be explained is one"):
        explain_trained(known_run(dense(WEIGHTS, [0, 0, 0]), tmp_path, "seq2seq"), ROW, "lime")


def test_without_its_library_shap_says_what_to_install(monkeypatch, linear):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ZooError) as failure:
        explain_trained(linear, ROW, "shap")
    assert str(failure.value) == (
        "Method 'shap' needs the library of its authors: pip install 'kerazoo[explain]'"
    )


def test_classes_without_names_go_by_their_number():
    logits = np.array([[0.0, 1.0, 5.0]])
    assert choose_target("classification", logits, None, None).label == "2"
    assert choose_target("classification", logits, None, "1").index == 1
