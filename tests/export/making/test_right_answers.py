"""What "verified" means: useless files are refused by their cause, and right ones are not."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from hostile_files import rehash
from keras import layers, ops

from benchmarks.support.operators import _convert_here
from zoo_export import ExportError, VerificationError, export, load_bundle
from zoo_export.card.notes import notes
from zoo_export.making import assembly
from zoo_export.reading.axes import input_tensors
from zoo_export.reading.request import from_model
from zoo_export.reading.samples import drawn_for, masked_rows
from zoo_export.reading.signature import signature_of
from zoo_export.reading.source import read_source
from zoo_registry import UsageError
from zoo_runtime.columns import keeps, measure, usual
from zoo_runtime.comparing import compare, compared, fitted, measured, top1_agreement
from zoo_runtime.formats import find
from zoo_runtime.manifest import MANIFEST, SAMPLES, Manifest, seal
from zoo_runtime.tensors import Tensor
from zoo_runtime.verifying import run_samples

NAMES = [f"digit {at}" for at in range(10)]


@pytest.fixture
def to_files(monkeypatch, tmp_path):
    """Export in this process; return the bundle and why each other format was refused."""
    monkeypatch.setattr(assembly, "convert_all", _convert_here)

    def act(model, to, **options):
        refused = {}

        def note(event):
            if event.error is not None:
                refused[event.format] = event.error

        folder = tmp_path / "bundle"
        try:
            bundle = export(
                model,
                to=to,
                out=folder,
                name="m",
                keep_going=True,
                force=True,
                on_event=note,
                **options,
            )
        except ExportError:
            return None, refused
        trusted = load_bundle(bundle.path, trusted=True)
        for artifact in trusted.artifacts:  # proved again from what is stored
            again = run_samples(trusted, artifact)
            assert again.ok, (artifact.format, again)
        return trusted, refused

    return act


@pytest.fixture(scope="module")
def pictures(digits):
    return (digits[0] / 255).astype("float32"), digits[1]


@pytest.fixture(scope="module")
def parts(pictures):
    """A small network that knows the digits: its input, its last features and its logits."""
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(image))
    logits = layers.Dense(10, name="scores")(x)
    model = keras.Model(image, logits)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*pictures, epochs=8, verbose=0)
    return image, x, logits


# -- one scale for a whole output -----------------------------------------------------------------

MASK = np.array([True] * 7 + [False, True, False])
# Name of the output, what is made of features and logits, and what is said of tflite:int8.
ONE_SCALE = {
    "boxes beside scores": (
        "found",
        lambda x, z: ops.concatenate(
            [layers.Dense(4, kernel_initializer="he_normal")(x) * 80 + 300.0, ops.softmax(z)], -1
        ),
        "of output 'found'",
    ),
    "boxes before one score": (
        "found",
        lambda x, z: ops.concatenate([layers.Dense(4)(x) * 80 + 300.0, ops.softmax(z)[:, 3:4]], -1),
        "column 4 of output 'found'",
    ),
    "masked logits": (
        "logits",
        lambda _, z: ops.where(MASK, z, -1e9),
        "output 'logits' is the same for different samples: it gives one answer where Keras gives",
    ),
    "a value around 2000": (
        "value",
        lambda _, z: z[:, :1] * 2 + 2000.0,
        "different answers, Keras gives",
    ),
    "logits near 50": (
        "logits",
        lambda _, z: z * 0.003 + 50.0,
        "output 'logits' is the same for different samples: it gives one answer where Keras gives",
    ),
    "logits on a tide": (
        "logits",
        lambda x, z: z * 0.01 + 30 * ops.mean(x, axis=-1, keepdims=True),
        "of output 'logits', less the mean of its row,",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ONE_SCALE)
def test_int8_that_loses_a_column_is_refused_and_floats_are_not(what, parts, pictures, to_files):
    image, features, scores = parts
    name, make, said = ONE_SCALE[what]
    model = keras.Model(image, {name: make(features, scores)})
    rows = pictures[0]

    bundle, refused = to_files(
        model,
        ["tflite", "onnx", "tflite:int8"],
        samples={"image": rows[:60]},
        calibration={"image": rows[-200:]},
    )

    assert set(refused) == {"tflite:int8"}
    assert said in refused["tflite:int8"]
    assert (
        "take tflite:float16 or float32, or give what is on another scale an output of its own"
        in (refused["tflite:int8"])
    )
    for artifact in bundle.artifacts:
        fit = artifact.verification.fits[0]
        assert fit.keras_answers > 1
        assert fit.difference < 0.02 * fit.deviation


@pytest.mark.slow
def test_honest_quantized_files_pass_and_name_their_worst_class(parts, pictures, to_files):
    image, _, scores = parts
    model = keras.Model(image, {"logits": scores + 0.0})
    to = ["tflite:int8", "onnx:int8", "tflite:dynamic-int8", "tflite:int16x8", "onnx:float16"]

    # Images of 0..1 alone: the samples are taken from them, not from N(0, 1).
    bundle, refused = to_files(model, to, calibration=pictures[0][-200:], labels=NAMES)

    assert refused == {}
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    for artifact in bundle.artifacts:
        figures = artifact.verification
        assert figures.examples == 50 + 64  # rows that judge, and of those that were measured
        assert figures.top1_agreement > 0.95
        whole, ranked = figures.fits
        assert whole.label == NAMES[whole.column]
        assert ranked.centred
        assert whole.difference < 0.05 * whole.deviation
    worst = bundle.artifact("tflite:int8").verification.fits[0]
    said = f"Of the columns of 'logits' it keeps least of column {worst.column} ('{worst.label}')"
    assert said in card


def _fit(keras_values, file_values, limit=0.15, name="y"):
    tensor = Tensor(name, "float64", ("batch", *keras_values.shape[1:]))
    scales = measured([tensor], [{name: keras_values}])
    return fitted([tensor], [{name: keras_values}], [{name: file_values}], scales, limit)


def test_columns_are_judged_by_what_chance_makes_of_few_samples():
    rng = np.random.default_rng(0)
    refused = {"right": 0, "useless": 0}
    for _ in range(100):
        keras_values = rng.normal(size=(12, 200)) + rng.normal(size=200) * 20
        honest = keras_values + 0.1 * rng.normal(size=keras_values.shape)
        useless = honest.copy()
        useless[:, 7] = keras_values[:, 7].mean()
        refused["right"] += not all(fit.ok for fit in _fit(keras_values, honest))
        refused["useless"] += not all(fit.ok for fit in _fit(keras_values, useless))
    assert refused["right"] <= 3
    assert refused["useless"] == 100


def test_a_column_that_varies_little_is_not_hidden_by_one_that_varies_much():
    rng = np.random.default_rng(0)
    keras_values = rng.normal(size=(64, 5)) * [200, 200, 200, 200, 0.3]
    given = np.round(keras_values / 2.5) * 2.5

    (fit,) = _fit(keras_values, given)

    assert (fit.ok, fit.column, fit.allowed) == (False, 4, 0.0)  # it is one number


def test_scores_along_the_first_axis_are_units_too():
    rng = np.random.default_rng(0)
    # As YOLO: four coordinates and a score of 50 places, batch first.
    keras_values = rng.uniform(0, 1, (16, 5, 50)) * np.array([600, 600, 200, 200, 1])[:, None]
    fits = _fit(keras_values, np.round(keras_values / 2.5) * 2.5)
    assert [(fit.column, fit.axis) for fit in fits if not fit.ok] == [(4, 1)]
    assert all(fit.ok for fit in _fit(keras_values, keras_values * (1 + 1e-4)))


def test_rare_tags_of_a_small_model_and_counts_of_a_quantized_one(to_files):
    keras.utils.set_random_seed(3)
    x = keras.Input((16,), name="x")
    hidden = layers.Dense(16, activation="relu")(x)
    start = keras.initializers.Constant([0, -9, 0])
    tags = layers.Dense(3, activation="sigmoid", bias_initializer=start)(hidden)
    rows = np.random.default_rng(0).normal(size=(128, 16)).astype("float32")

    counts = ops.cast(ops.round(layers.Dense(2)(hidden) * 9), "int32")
    _, refused = to_files(
        keras.Model(x, {"counts": counts}), ["tflite:int8"], samples=rows, calibration=rows[:16]
    )
    assert refused["tflite:int8"].endswith(
        " where 0 is allowed. Whole numbers are equal or not, and those that are made by comparing "
        "or rounding quantized ones change at once: let the model give what they are made of "
        "(logits for an argmax), or take float32"
    )
    values = keras.Model(x, layers.Dense(2, name="value")(hidden))
    _, refused = to_files(values, ["tflite:int8"], samples=rows * 6, calibration=rows[:16])
    assert (
        "Its ranges are those of 16 calibration rows, and what is beyond them is cut off: give a "
        "few hundred. This scheme holds" in refused["tflite:int8"]
    )

    # ONNX Runtime's sigmoid of -9 is off by 4e-8; and int32 holds biases of int8 layers.
    _, refused = to_files(
        keras.Model(x, {"tags": tags}), ["onnx", "tflite:int8"], samples=rows, calibration=rows
    )
    assert refused == {}


def test_masked_values_and_constant_columns_are_no_scale():
    keras_values = np.array([[1.0, -1e9, 7.0], [-1e9, 2.0, 7.0], [3.0, 5.0, 7.0], [4.0, 9.0, 7.0]])
    scale = measure([keras_values], [])
    assert scale.spread.tolist() == [3.0, 7.0, 0.0]
    assert scale.varies().tolist() == [True, True, False]
    assert usual(np.array([[2e4], [3e4]])).all()  # large, and alike
    assert usual(np.array([[-np.inf], [1.0]]))[:, 0].tolist() == [False, True]
    found = keeps("y", [keras_values], [keras_values], scale, 0.15)
    assert (found.ok, found.constant, found.columns) == (True, 1, 3)


def test_float_files_are_held_against_the_spread_of_each_column():
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 600, (32, 4)), rng.uniform(0, 1, (32, 1))
    keras_values = {"y": np.concatenate([boxes, scores], -1).astype("float32")}
    given = {"y": keras_values["y"].copy()}
    given["y"][3, 4] += 1e-3  # of 600, 1e-5 is 6e-3
    tensor = Tensor("y", "float32", ("batch", 5))
    scales = measured([tensor], [keras_values])

    (row,) = compared(find("onnx"), keras_values, given, scales, {"y": "float32"})

    assert (row.ok, row.column) == (False, 4)
    assert row.allowed < 2e-5
    assert compare([keras_values], [given], 1e-5)[0].ok  # on one scale it was right


def test_large_vocabularies_are_compared_column_by_column_and_stored_in_whole_columns(tmp_path):
    from zoo_runtime.saved_samples import (
        SampleBatch,
        columns_kept,
        load_samples,
        load_scales,
        save_samples,
    )

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 12, 30_000)).astype("float32")
    tensor = Tensor("logits", "float32", ("batch", "sequence", 30_000))
    scales = measured([tensor], [{"logits": logits}])
    path = tmp_path / "samples.npz"
    save_samples(path, [SampleBatch("given", {}, {"logits": logits})], [tensor], {"given": scales})

    (case,), loaded = load_samples(path, []), load_scales(path)["given"]["logits"]

    kept = columns_kept(30_000)
    np.testing.assert_array_equal(case.values["logits"], logits[:, :, kept])
    np.testing.assert_array_equal(loaded.spread, scales["logits"].spread[kept])
    assert case.shapes == {"logits": (3, 12, 30_000)}


def test_ties_are_answers_all_of_them_and_one_logit_says_yes_or_no():
    tied = {"logits": np.array([[1.0, 1.0, 0.0]], "float32")}
    other = {"logits": np.array([[0.9, 1.0, 0.0]], "float32")}
    assert top1_agreement(tied, other) == 1.0
    yes, no = {"logits": np.array([[3.0]])}, {"logits": np.array([[-3.0]])}
    assert (top1_agreement(yes, yes), top1_agreement(yes, no)) == (1.0, 0.0)


# -- samples are added ----------------------------------------------------------------------------


def _kinds(model, **rows):
    source = read_source(replace(from_model(model), name="m", **rows))
    return source, {batch.kind for batch in source.samples.batches}


def test_samples_are_added_to_drawn_masked_and_edge_rows():
    steps = keras.Input((8, 3), name="steps")
    model = keras.Model(
        steps, {"y": layers.GRU(4, return_sequences=True)(layers.Masking(-1.0)(steps))}
    )
    full = np.random.default_rng(0).uniform(0.1, 1, (5, 8, 3)).astype("float32")

    source, kinds = _kinds(model, rows={"steps": full})

    # Five rows are too few to evaluate quantized files: drawn ones are compared too.
    assert kinds == {"given", "example", "drawn", "edge"}
    assert _kinds(model, rows={"steps": np.concatenate([full, full])})[1] == {
        "given",
        "example",
        "beside",
        "edge",
    }
    given = [b.inputs["steps"] for b in source.samples.batches if b.kind == "given"]
    masked = (given[-1] == -1).all(axis=-1)
    assert masked.astype(int).tolist() == [
        [1, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 1, 1],
    ]
    empty = [
        b.inputs["steps"] for b in source.samples.of("edge") if (b.inputs["steps"] == -1).all()
    ]
    assert len(empty) == 1


def test_tokens_and_mask_inputs_are_masked_alike():
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = layers.Embedding(30, 4)(tokens)
    model = keras.Model([tokens, mask], layers.GlobalAveragePooling1D(name="y")(x, mask=mask > 0))

    rows = masked_rows(signature_of(model), input_tensors(signature_of(model)), drawn_for(model))

    hidden = rows["padding_mask"] == 0
    at = np.arange(128)
    patterns = [at < 64, (at >= 32) & (at < 96), at >= 64, at != 64]
    np.testing.assert_array_equal(hidden, patterns)
    assert (rows["token_ids"][0, :64] == 0).all()


@pytest.mark.slow
def test_a_masked_tagger_is_right_on_masked_rows_or_refused(to_files):
    keras.utils.set_random_seed(0)
    tokens = keras.Input((12,), dtype="int32", name="token_ids")
    x = layers.Embedding(50, 8, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    model = keras.Model(tokens, {"logits": layers.Dense(4)(x)})
    full = np.random.default_rng(0).integers(1, 50, (16, 12)).astype("int32")
    padded = full.copy()
    padded[0, :5] = padded[1, 4:8] = padded[2, 7:] = 0

    bundle, refused = to_files(
        model, ["tflite", "onnx", "saved_model"], samples={"token_ids": full}
    )

    wanted = np.asarray(model(padded)["logits"])
    for artifact in bundle.artifacts:
        found = bundle.run({"token_ids": padded}, artifact.format)["logits"]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert all("differs from Keras by" in reason for reason in refused.values())


@pytest.mark.slow
def test_a_model_with_a_domain_is_tried_inside_of_it(to_files):
    values = keras.Input((4,), name="values")
    model = keras.Model(values, {"y": layers.Dense(3)(ops.log(values))})

    bundle, refused = to_files(model, ["onnx"])

    assert refused == {}
    said = "Random inputs are numbers from 0 to 1, as Keras gives NaN or fails on others."
    assert said in (bundle.path / "README.md").read_text(encoding="utf-8")


# What is made of inputs, their dtype, and which are inside.
DOMAINS = {
    "sqrt": (ops.sqrt, "float32", lambda x: x >= 0),
    "both": (lambda x: ops.arccos(x) + ops.arctanh(x), "float32", lambda x: np.abs(x) < 1),
    "power": (lambda x: ops.power(x, 0.3) / ops.log(x + 1.5), "float32", lambda x: x >= 0),
    "division": (lambda x: 100 // x + ops.mod(7, x), "int32", lambda x: x != 0),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_inputs_are_drawn_where_a_model_has_answers(name):
    apply, dtype, inside = DOMAINS[name]
    x = keras.Input((4,), name="x", dtype=dtype)

    source, kinds = _kinds(keras.Model(x, {"y": apply(x)}))

    assert "drawn" in kinds
    for batch in source.samples.batches:
        assert np.isfinite(batch.expected["y"]).all()
    drawn = np.concatenate([b.inputs["x"] for b in source.samples.of("drawn")])
    assert inside(drawn).all()
    assert dtype == "int32" or len(np.unique(drawn)) > 4


def test_a_model_whose_domain_is_elsewhere_asks_for_samples():
    values = keras.Input((4,), name="values")
    model = keras.Model(values, {"y": ops.log(values - 30.0)})
    rows = np.random.default_rng(0).uniform(31, 40, (9, 4)).astype("float32")

    with pytest.raises(ExportError) as caught:
        _kinds(model)
    source, kinds = _kinds(model, rows={"values": rows})

    assert "is NaN in 100% of its values: the inputs were drawn, from N(0, 1)" in str(caught.value)
    assert "give real ones (samples={name: array})" in str(caught.value)
    assert "drawn" not in kinds
    assert source.samples.notes["drawn_left_out"]["left"] is None


@pytest.mark.parametrize("argument", ["samples", "calibration"])
def test_one_array_is_that_of_the_only_input(argument, dense, to_files, tmp_path):
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    two = keras.Model(
        inputs := [keras.Input((4,), name="a"), keras.Input((4,), name="b")],
        layers.Add(name="y")(inputs),
    )

    with pytest.raises(UsageError) as caught:
        export(two, to="onnx", out=tmp_path / "two", name="two", **{argument: rows})

    assert str(caught.value) == (
        f"{argument} is a ndarray: give arrays by input name, such as {argument}="
        "{'a': ..., 'b': ...}."
    )
    bundle, refused = to_files(dense(), ["onnx"], **{argument: rows})
    assert (len(bundle.artifacts), refused) == (1, {})


# -- a reference that carries no information ------------------------------------------------------


def _idle():
    """Return a model whose answer depends on nothing, and one of which a branch does nothing."""
    values = keras.Input((6,), name="values")
    x = layers.Dense(8, activation="tanh")(values)
    silent = keras.Model(values, layers.Dense(3, kernel_initializer="zeros", name="logits")(x))
    branch = layers.LayerNormalization(gamma_initializer="zeros")(layers.Dense(6)(x))
    return silent, keras.Model(values, layers.Add(name="y")([values, branch]))


@pytest.mark.slow
def test_a_model_with_one_answer_is_proved_on_a_copy_with_other_weights(to_files):
    silent, _ = _idle()

    bundle, refused = to_files(silent, ["tflite", "onnx", "saved_model"])

    assert refused == {}
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    said = "Keras gives one answer for all samples in output 'logits': a file of the same model"
    assert card.count(said) == 3
    for artifact in bundle.artifacts:
        assert artifact.verification.perturbed
        assert artifact.verification.uninformative == ("logits",)
        assert artifact.verification.top1_agreement is None
    # The file holds the model's own weights.
    assert not bundle.run({"values": np.ones((1, 6), "float32")}, "onnx")["logits"].any()
    assert not silent.layers[-1].kernel.numpy().any()


def test_a_file_that_is_wrong_where_nothing_shows_it_is_refused():
    from zoo_export.making.artifacts import verified
    from zoo_export.making.conversion import Converted, Job, Result

    for model in _idle():
        source = read_source(replace(from_model(model), name="m"))
        job = Job("onnx", "", "", "", (), "m.onnx", source.inputs, source.outputs)
        samples = source.samples
        own = [batch.expected for batch in samples.batches]
        copy = [samples.perturbed.get(at, own[at]) for at in range(len(own))]
        assert any(
            np.abs(a[n] - b[n]).max() > 0.05 for a, b in zip(own, copy, strict=True) for n in a
        )

        # As of a file that leaves a layer out: right with the model's weights alone.
        wrong = Converted(job, 0.0, Result(), (*own, *own))
        with pytest.raises(ExportError, match="with its weights changed"):
            verified(source, find("onnx"), wrong)


def test_small_logits_are_compared_for_what_they_are():
    rng = np.random.default_rng(0)
    logits = {"logits": (6e-7 * rng.normal(size=(8, 4))).astype("float32")}
    tensor = Tensor("logits", "float32", ("batch", 4))
    scales = measured([tensor], [logits])
    other = {"logits": logits["logits"] * np.float32(1.001)}
    rows = compared(find("onnx"), logits, other, scales, {"logits": "float32"})
    assert not rows[0].ok


def test_a_batch_of_small_values_by_chance_is_held_against_all_samples():
    rng = np.random.default_rng(0)
    all_of_them = {"logits": rng.normal(size=(64, 2)).astype("float32")}
    scales = measured([Tensor("logits", "float32", ("batch", 2))], [all_of_them])
    small = {"logits": np.array([[1e-3, -5e-4]], "float32")}
    near = {"logits": small["logits"] + np.float32(1e-2)}
    far = {"logits": small["logits"] + np.float32(1.0)}

    dtypes = {"logits": "float32"}
    ok = [compared(find("onnx:int8"), small, given, scales, dtypes)[0].ok for given in (near, far)]
    assert ok == [True, False]


# -- NaN, float64, rows that depend on each other -------------------------------------------------


@pytest.mark.slow
def test_nan_is_refused_by_every_runtime_unless_keras_has_an_answer(to_files, parts, pictures):
    image, _, scores = parts
    model = keras.Model(image, {"logits": ops.relu(scores)})
    names = ["tflite", "onnx", "saved_model", "tflite:dynamic-int8", "onnx:int8"]
    bundle, refused = to_files(model, names, calibration=pictures[0][:64])
    given = pictures[0][:3].copy()
    given[1, 2, 2] = np.nan

    assert refused == {}
    for name in names:
        with pytest.raises(UsageError) as caught:
            bundle.run({"image": given}, name)
        assert str(caught.value) == (
            "Input 'image' holds NaN in 1 of 192 values (first in row 1): the model has no answer "
            "to that, and a file may give a confident one. Give numbers in its place, or leave the "
            "row out."
        )


@pytest.mark.slow
def test_a_model_with_an_answer_to_nan_keeps_it(to_files):
    values, others = (keras.Input((4,), name=name) for name in ("values", "others"))
    both = ops.nan_to_num(values) + 2 * ops.nan_to_num(others)
    model = keras.Model([values, others], {"y": ops.sum(both, axis=-1)})

    bundle, refused = to_files(model, ["onnx", "saved_model"])

    given = np.array([[1, np.nan, 2, 3]], "float32")
    assert bundle.manifest.nan_inputs == ("values", "others")
    rows = {"values": given, "others": given}
    assert [float(bundle.run(rows, a.format)["y"][0]) for a in bundle.artifacts] == (
        [18.0] * len(bundle.artifacts)
    )
    assert all("NaN" in reason for reason in refused.values())


@pytest.mark.slow
def test_a_float64_model_is_held_against_its_own_numbers(to_files):
    values = keras.Input((3,), name="values", dtype="float64")
    scaled = layers.Rescaling(0.2, offset=1e9, dtype="float64", name="y")(values)
    dense = layers.Dense(2, dtype="float64", name="y")(values)

    _, refused = to_files(keras.Model(values, scaled), ["onnx", "saved_model"])
    bundle, none = to_files(keras.Model(values, dense), ["onnx", "saved_model"])

    assert set(refused) == {"onnx", "saved_model"}
    for reason in refused.values():
        assert (
            "The model computes in float64 and the file in float32: build it in float32" in reason
        )
    assert none == {}
    said = "The model computes in float64 and this file in float32: it was compared with the"
    assert said in (bundle.path / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_rows_that_depend_on_each_other_are_the_cause_that_is_named(to_files):
    values = keras.Input((4,), name="values")
    model = keras.Model(values, {"y": values - ops.mean(values, axis=0, keepdims=True)})

    bundle, refused = to_files(model, ["tflite", "onnx"])

    assert [artifact.format for artifact in bundle.artifacts] == ["onnx"]
    assert (
        "its rows depend on each other: in Keras the answer to one row moves by"
        in (refused["tflite"])
    )
    assert "Its rows depend on each other" in (bundle.path / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_a_layer_that_is_silent_in_calibration_is_quantized(to_files, parts, pictures):
    image, features, scores = parts
    dead = layers.Dense(32, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))
    model = keras.Model(image, {"logits": layers.Add()([scores, layers.Dense(10)(dead(features))])})
    bundle, refused = to_files(model, "tflite:int8", calibration=pictures[0][:64])
    assert refused == {}
    assert bundle.artifacts[0].verification.top1_agreement > 0.95
    told = notes(bundle.artifacts[0].facts)
    assert told[1] == (
        "Its ranges were measured on 48 rows, and what is beyond them is cut off: a few hundred "
        "are usual."
    )
    assert len(told) == 2  # the other 16 evaluate it
    bundle, refused = to_files(model, "tflite:int8", calibration=pictures[0][:12])
    assert notes(bundle.artifacts[0].facts)[2] == (
        "It was compared with Keras on rows of the calibration data, which its ranges fit best: "
        "give other ones too (samples=...)."
    )


@pytest.mark.slow
def test_ranges_are_judged_by_rows_that_they_were_not_measured_on(to_files):
    # Of so few rows, ranges of unit vectors cut off most of what others give.
    x = keras.Input((64,), name="features")
    model = keras.Model(x, layers.UnitNormalization(name="embedding")(layers.Dense(32)(x)))
    rows = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
    rows *= np.geomspace(0.1, 30, 64, dtype="float32")[:, None]
    fresh = rows[np.random.default_rng(0).permutation(64)[:16]]

    bundle, refused = to_files(model, "tflite:int8", calibration=rows)

    for artifact in bundle.artifacts if bundle is not None else ():
        given = bundle.run({"features": fresh})[artifact.outputs[0].name]
        wanted = model.predict(fresh, verbose=0)
        assert np.sqrt(((given - wanted) ** 2).mean(0)).max() < 0.2 * wanted.std()
    assert refused or bundle.artifacts


def test_what_a_dtype_cannot_hold_inside_of_a_model_is_named():
    from zoo_export.reading.causes import cause

    scores, mask = keras.Input((5,), name="scores"), keras.Input((5,), name="mask")
    hidden = layers.Add(name="masked")([scores, layers.Rescaling(-1e9, name="far")(mask)])
    model = keras.Model([scores, mask], {"y": ops.softmax(hidden)})
    case = {"scores": np.ones((1, 5), "float32"), "mask": np.eye(1, 5, dtype="float32")}

    assert cause(find("tflite"), model, [case]) == ""
    assert cause(find("onnx:float16"), model, [case]) == ""  # masks stay in float32
    grown = keras.Model(scores, layers.Dense(2, kernel_initializer="ones", name="sums")(scores))
    assert cause(find("onnx:float16"), grown, [{"scores": np.full((1, 5), 5e4, "float32")}]) == (
        "Layer 'sums' gives numbers up to 2.5e+05, and float16 ends at 65,504"
    )
    assert cause(find("tflite:int8"), model, [case]).startswith(
        "Layer 'far' gives -1e+09 beside numbers up to 0, and this scheme holds both on "
        "one scale of 256 steps"
    )


# -- bundles of before ----------------------------------------------------------------------------


def _as_before(folder):
    """Change a bundle into what the version before wrote."""
    path = folder / SAMPLES
    with np.load(path) as stored:
        old = {
            key: stored[key].reshape(-1) if "/y/" in key else stored[key]
            for key in stored.files
            if key[:1].isdigit() and key.split("/")[1] in {"x", "y", "shape"}
        }
    np.savez_compressed(path, **old)
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del data["nan_inputs"]
    for artifact in data["artifacts"]:
        figures = artifact["verification"]
        del figures["fits"], figures["perturbed"]
        for row in figures["comparisons"]:
            del row["column"], row["column_diff"]
    from zoo_runtime.files import list_files

    data["files"] = {name: vars(entry) for name, entry in list_files(folder).items()}
    (folder / MANIFEST).write_text(json.dumps(seal(data)), encoding="utf-8")


@pytest.mark.slow
def test_bundles_of_the_version_before_are_verified_as_they_were(bundle_copy):
    _as_before(bundle_copy)

    bundle = load_bundle(bundle_copy, trusted=True)

    assert isinstance(bundle.manifest, Manifest)
    for artifact in bundle.artifacts:
        figures = run_samples(bundle, artifact)
        assert (figures.ok, figures.fits) == (True, ())
        assert {row.column for row in figures.comparisons} == {None}


@pytest.mark.slow
def test_a_stored_answer_that_is_another_is_found_by_column(bundle_copy):
    path = bundle_copy / SAMPLES
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["1/y/logits"][0, 4] += 0.01
    np.savez_compressed(path, **arrays)
    rehash(bundle_copy, SAMPLES)

    bundle = load_bundle(bundle_copy, trusted=True)
    figures = run_samples(bundle, bundle.artifact("onnx"))

    bad = [row for row in figures.comparisons if not row.ok]
    assert [(row.column, row.shape) for row in bad] == [(4, (3, 10))]


def test_a_reason_of_a_runtime_is_told_with_the_shapes():
    from zoo_runtime.running import _reason

    reason = "Non-zero status code while running MatMul node. " + "x" * 300 + "\nshapes {3,4} {5}"
    assert _reason(RuntimeError(reason)).endswith("shapes {3,4} {5}")
    assert VerificationError("x").verifications == ()
