"""Sizes that vary: which have one name, at which the files are tried, and outputs without them."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from zoo_export import export
from zoo_export.reading.axes import check_outputs, input_tensors, related, unrelated
from zoo_export.reading.request import from_model
from zoo_export.reading.samples import default_sizes, drawn_rows, other_sizes
from zoo_export.reading.signature import signature_of
from zoo_export.reading.source import oblong, read_source
from zoo_models.build import get_model
from zoo_registry import UsageError
from zoo_runtime.tensors import Tensor


def _tokens(name):
    return keras.Input((None,), dtype="int32", name=name)


def _images(name):
    return keras.Input((None, None, 3), name=name)


def _question_and_context():
    question, context = _tokens("question"), _tokens("context")
    embedding = layers.Embedding(50, 8, mask_zero=True)
    attended = layers.MultiHeadAttention(2, 4, name="attended")
    outputs = attended(embedding(question), embedding(context))
    return keras.Model([question, context], outputs, name="reader")


def _two_texts_with_masks():
    inputs = [_tokens(name) for name in ("left", "right", "left_mask", "right_mask")]
    left, right, *masks = inputs
    pool, embedding = layers.GlobalAveragePooling1D(), layers.Embedding(50, 8)
    parts = [
        pool(embedding(ids), mask=mask > 0) for ids, mask in zip((left, right), masks, strict=True)
    ]
    return keras.Model(inputs, layers.Dot(1)(parts))


def _a_loop_over_a_longer_mask():
    tokens, mask = _tokens("token_ids"), keras.Input((None,), dtype="bool", name="mask")
    return keras.Model([tokens, mask], layers.LSTM(2)(layers.Embedding(50, 4)(tokens), mask=mask))


def _attention_by_pairs():
    tokens, pairs = _tokens("token_ids"), keras.Input((None, None), name="pairs")
    return keras.Model([tokens, pairs], ops.matmul(pairs, layers.Embedding(50, 4)(tokens)))


def _pair_of_images(join):
    left, right = _images("left"), _images("right")
    return keras.Model([left, right], join(left, right))


def _pooled(left, right):
    pool = layers.GlobalAveragePooling2D()
    return layers.Dot(1)([pool(left), pool(right)])


def _valid_convolutions():
    # At 32 pixels, half of what is drawn, nothing would be left.
    image = x = _images("image")
    for _ in range(4):
        x = layers.MaxPooling2D()(layers.Conv2D(2, 3)(x))
    return keras.Model(image, x)


def _square():
    image = _images("image")
    return keras.Model(image, image + layers.Permute((2, 1, 3))(image))


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (_question_and_context, [("sequence",), ("context_sequence",)]),
        (
            _two_texts_with_masks,
            [("sequence",), ("right_sequence",), ("sequence",), ("right_sequence",)],
        ),
        (_a_loop_over_a_longer_mask, [("sequence",), ("sequence",)]),
        (_attention_by_pairs, [("sequence",), ("pairs_sequence", "sequence")]),
        (
            lambda: _pair_of_images(_pooled),
            [("height", "width", 3), ("right_height", "right_width", 3)],
        ),
        (
            lambda: _pair_of_images(lambda left, right: left + right),
            [("height", "width", 3), ("height", "width", 3)],
        ),
        (_valid_convolutions, [("height", "width", 3)]),
        (_square, [("height", "height", 3)]),
    ],
)
def test_sizes_have_one_name_where_keras_wants_them_equal(build, names, caplog):
    model = build()
    tensors = input_tensors(signature_of(model))
    sizes = {**default_sizes(signature_of(model), tensors), "pairs_2": 128}

    found = related(signature_of(model), tensors, drawn_rows(signature_of(model), tensors, sizes))

    assert [tensor.shape[1:] for tensor in found] == names
    assert not caplog.records  # nor does TensorFlow tell of what was tried in vain


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("bert-tiny", {"token_ids": "sequence", "padding_mask": "sequence"}),
        ("lstm-classifier", {"token_ids": "sequence", "padding_mask": "sequence"}),
        (
            "transformer-base",
            {
                "token_ids": "sequence",
                "padding_mask": "sequence",
                "decoder_token_ids": "target",
                "decoder_padding_mask": "target",
            },
        ),
    ],
)
def test_a_text_of_a_registered_model_has_one_length(name, names):
    small = {"num_layers": 1, "hidden_dim": 32} if name == "transformer-base" else {}
    model = get_model(name, vocab_size=50, **small)
    tensors = input_tensors(signature_of(model))

    found = related(
        signature_of(model),
        tensors,
        drawn_rows(signature_of(model), tensors, default_sizes(signature_of(model), tensors)),
    )

    assert {t.name: t.shape[1] for t in found if t.name in names} == names


def test_samples_of_different_lengths_tell_inputs_apart():
    model = _question_and_context()
    tensors = input_tensors(signature_of(model))
    rows = {"question": np.ones((1, 5), "int32"), "context": np.ones((1, 9), "int32")}

    assert [str(t) for t in unrelated(tensors)] == [
        "question: int32[batch, question_1]",
        "context: int32[batch, context_1]",
    ]
    assert [t.shape[1] for t in related(signature_of(model), tensors, rows)] == [
        "sequence",
        "context_sequence",
    ]


def test_names_are_kept_where_keras_cannot_run():
    model = _a_loop_over_a_longer_mask()
    tensors = input_tensors(signature_of(model))
    rows = {"token_ids": np.ones((1, 9), "int32"), "mask": np.ones((1, 5), "bool")}
    assert related(signature_of(model), tensors, rows) == tensors


@pytest.mark.parametrize(
    ("sizes", "smaller"),
    [
        ({"sequence": 128, "context_sequence": 128}, [96, 64]),
        ({"sequence": 10}, [8]),
        ({"sequence": 3}, [2]),
        ({"height": 64, "width": 96}, [32, 64]),
        ({"height": 224, "width": 224}, [192, 160]),
        ({"height": 32, "width": 32}, [16, 32]),
    ],
)
def test_other_sizes_are_smaller_and_differ(sizes, smaller):
    tensors = [Tensor("x", "float32", ("batch", *sizes))]
    cut = other_sizes(tensors, {"x": np.zeros((3, *sizes.values()))})
    assert cut["x"].shape == (2, *smaller)


def test_sizes_that_do_not_vary_have_no_others():
    assert other_sizes([Tensor("x", "float32", ("batch", 4))], {"x": np.zeros((3, 4))}) is None


def test_drawn_images_are_wider_than_high():
    sizes = oblong({"height": 64, "width": 64, "right_width": 64, "sequence": 128})
    assert sizes == {"height": 64, "width": 96, "right_width": 96, "sequence": 128}


# -- outputs that no bundle can hold --------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            lambda x: {"s": ops.sum(x), "mean": ops.mean(x, axis=-1)},
            "Output 's' of model 'm' has no batch axis, its shape is []: keep a row for each row "
            "of the inputs, as keras.ops.sum(x, axis=-1) does, or leave this output out.",
        ),
        (
            lambda x: {"s": ops.sum(x, axis=0)},
            "Output 's' of model 'm' has no batch axis, its shape is [6]: keep a row for each row "
            "of the inputs, as keras.ops.sum(x, axis=-1) does, or leave this output out.",
        ),
        (
            lambda x: {"none": x[:, 6:] + 1.0, "twice": x * 2.0},
            "Output 'none' of model 'm' holds no values, its shape is [None, 0]: leave it out.",
        ),
        (
            lambda x: {"flat": ops.squeeze(x[:, None, :, None])},
            "Output 'flat' has as many axes as its batch asks for, here [6] and [4, 6]: keep each "
            "of them, as keras.ops.squeeze(x, axis=1) does and keras.ops.squeeze(x) does not, or "
            "leave this output out.",
        ),
        (
            lambda x: {"all": layers.Lambda(lambda x: x[:1] * 2.0, output_shape=(6,))(x)},
            "Output 'all' has no batch axis, its shape is [1, 6] for any batch: keep a row for "
            "each row of the inputs, as keras.ops.sum(x, axis=-1) does, or leave this output out.",
        ),
        (
            lambda x: {"said": layers.Lambda(tf.strings.as_string, output_shape=(6,))(x)},
            "Output 'said' is of dtype text, which not every runtime gives: cast it "
            "(keras.ops.cast(x, 'float32'), of complex numbers each of keras.ops.real(x) and "
            "keras.ops.imag(x)), or leave it out.",
        ),
    ],
)
def test_outputs_that_no_bundle_can_hold(tmp_path, outputs, message):
    inputs = keras.Input((6,), name="x")
    with pytest.raises(UsageError) as caught:
        export(keras.Model(inputs, outputs(inputs), name="m"), out=tmp_path / "b", keep_going=True)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_batch_may_be_in_the_outputs_too():
    inputs = keras.Input(batch_shape=(1, 6), name="x")
    check_outputs(
        signature_of(keras.Model(inputs, layers.Dense(2)(inputs))),
        {"x": np.ones((1, 6), "float32")},
    )


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_question_and_its_context_run_in_lengths_of_their_own(tmp_path):
    from onnxruntime import InferenceSession

    model = _question_and_context()
    bundle = export(model, to=["onnx", "saved_model"], out=tmp_path / "b", sequence_length=16)
    given = {"question": np.ones((3, 5), "int32"), "context": np.ones((3, 9), "int32")}

    session = InferenceSession(bundle.path / "reader.onnx")
    assert [value.shape for value in session.get_inputs()] == [
        ["batch", "sequence"],
        ["batch", "context_sequence"],
    ]
    expected = np.asarray(model([given["question"], given["context"]]))
    np.testing.assert_allclose(session.run(None, given)[0], expected, atol=1e-5)
    for runtime in ("onnx", "saved_model"):
        found = bundle.run(given, runtime=runtime)["attended"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_an_image_of_any_size_is_tried_at_two_and_height_is_not_width(tmp_path):
    image = _images("image")
    outputs = {"seg": layers.Conv2D(5, 1)(image), "turned": layers.Permute((2, 1, 3))(image)}
    bundle = export(keras.Model(image, outputs, name="m"), to=["onnx"], out=tmp_path / "b")

    shapes = {tensor.name: tensor.shape for tensor in bundle.manifest.outputs}
    assert shapes == {
        "seg": ("batch", "height", "width", 5),
        "turned": ("batch", "width", "height", 3),
    }
    compared = bundle.artifacts[0].verification.comparisons
    sizes = [row.shape for row in compared if row.output == "seg"]
    # What comes after them are rows of unusual numbers.
    assert sizes[:4] == [(1, 64, 96, 5), (3, 64, 96, 5), (4, 64, 96, 5), (2, 32, 64, 5)]


@pytest.mark.slow
def test_litert_fixes_lengths_that_follow_from_its_inputs(tmp_path):
    steps = keras.Input((None, 8), name="steps")
    outputs = {
        "fewer": layers.Conv1D(4, 5, strides=2)(steps),
        "same": layers.Conv1D(4, 5, padding="same")(steps),
    }
    bundle = export(
        keras.Model(steps, outputs, name="m"),
        to=["tflite"],
        out=tmp_path / "b",
        sequence_length=20,
    )

    shapes = {tensor.name: tensor.shape for tensor in bundle.artifacts[0].outputs}
    assert shapes == {"fewer": (1, 8, 4), "same": (1, 20, 4)}
    assert {t.name: t.shape[1] for t in bundle.manifest.outputs} == {
        "fewer": "fewer_1",
        "same": "sequence",
    }


@pytest.mark.slow
def test_a_model_that_passes_its_inputs_through(tmp_path):
    inputs = keras.Input((6,), name="x")
    model = keras.Model(inputs, {"o": inputs, "o2": layers.Identity()(inputs)}, name="m")

    bundle = export(model, to=["tflite"], out=tmp_path / "b")

    given = np.arange(12, dtype="float32").reshape(2, 6)
    assert bundle.run({"x": given})["o2"].tolist() == given.tolist()
    assert "It has no nodes: every output is an input as it came, or a constant." in (
        bundle.path / "README.md"
    ).read_text(encoding="utf-8")


def test_a_model_that_takes_one_size_alone_is_tried_at_that():
    image = _images("image")
    model = keras.Model(image, layers.Dense(2)(layers.Reshape((192,))(image)), name="m")
    rows = {"image": np.ones((2, 8, 8, 3), "float32")}

    source = read_source(replace(from_model(model), rows=rows))

    shapes = [batch.inputs["image"].shape for batch in source.samples.of("given")]
    assert shapes == [(1, 8, 8, 3), (3, 8, 8, 3)]
    assert {batch.inputs["image"].shape[1:] for batch in source.samples.batches} == {(8, 8, 3)}
