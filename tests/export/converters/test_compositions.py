"""Operators that a format lacks, made of others: right where they are used and at their edges."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from export_runtimes import HAS_ONEDNN
from export_small import convert, runner
from keras import layers, ops

from zoo_export.converters.compositions import LITERT, composed
from zoo_export.reading.functional import encoders
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError

FIRST = {"data_format": "channels_first"}


def _model(apply, shape, dtype="float32"):
    inputs = keras.Input(shape, name="x", dtype=dtype)
    return keras.Model(inputs, apply(inputs), name="small")


def _all_ok(found):
    errors = {name: str(one) for name, one in found.items() if isinstance(one, Exception)}
    assert errors == {}
    return found


# -- formulas -------------------------------------------------------------------------------------

EXACT = {
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "Cosh": np.cosh,
    "Erf": scipy.special.erf,
    "Erfc": scipy.special.erfc,
    "Erfinv": scipy.special.erfinv,
    "Expm1": np.expm1,
    "Log1p": np.log1p,
    "Sinh": np.sinh,
    "Tan": np.tan,
}
# Units in the last place. LiteRT's own exponential is so far off at 40 and more, and its sine where
# it is zero.
ULPS = dict.fromkeys(("Cosh", "Sinh", "Expm1", "Erfc"), 128)


@pytest.fixture(scope="module")
def formulas():
    from ai_edge_litert.interpreter import Interpreter

    generator = np.random.default_rng(0)
    edges = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 0.5, -0.5, 1e-30, 1e-8, 88.6, 89, 104, 1e38]
    parts = [
        edges,
        generator.uniform(-1, 1, 4000),
        generator.uniform(-100, 100, 4000),
        generator.normal(size=4000) * 10.0 ** generator.uniform(-20, 20, 4000),
        1 - 10.0 ** generator.uniform(-7, 0, 1000),
        1 + 10.0 ** generator.uniform(-7, 0, 1000),
    ]
    x = np.concatenate(parts).astype("float32")

    def serve(x):
        return {name: getattr(tf.raw_ops, name)(x=x) for name in EXACT}

    function = tf.function(serve, autograph=False)
    with composed(LITERT):
        concrete = function.get_concrete_function(tf.TensorSpec(x.shape, name="x"))
    module = tf.Module()
    module.function = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    file = converter.convert()
    return x, Interpreter(model_content=file).get_signature_runner()(x=x)


@pytest.mark.parametrize("name", EXACT)
def test_a_formula_over_its_whole_domain(formulas, name):
    x, found = formulas
    if name == "Tan":  # of larger numbers LiteRT's sine is another one
        x, found = x[np.abs(x) < 100], {name: found[name][np.abs(x) < 100]}
    with np.errstate(all="ignore"):
        wanted = EXACT[name](x.astype(np.float64)).astype(np.float32)
        same = (wanted == found[name]) | (np.isnan(wanted) & np.isnan(found[name]))
        smallest = np.finfo(np.float32).tiny
        steps = np.spacing(np.maximum(np.abs(wanted), smallest).astype(np.float32))
        wrong = np.abs(found[name].astype(np.float64) - wanted) / steps
    # What is smaller than the smallest normal number is zero.
    same |= (np.abs(wanted) < 2 * smallest) & (found[name] == 0)
    if name == "Tan":
        same |= np.abs(found[name] - wanted) < 3e-6 * (1 + wanted.astype(np.float64) ** 2)
    far = ~same & ~(wrong <= ULPS.get(name, 8))
    assert not far.any(), list(zip(x[far], found[name][far], wanted[far], strict=True))[:5]


@pytest.mark.parametrize(("exclusive", "reverse"), [(False, False), (True, True)])
def test_products_along_an_axis(exclusive, reverse):
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype("float32")
    wanted = tf.math.cumprod(x, 1, exclusive, reverse)

    @tf.function(autograph=False)
    def serve(x):
        return tf.math.cumprod(x, 1, exclusive, reverse)

    with composed(LITERT):
        concrete = serve.get_concrete_function(tf.TensorSpec(x.shape))
    assert "Cumprod" not in {node.type for node in concrete.graph.get_operations()}
    np.testing.assert_allclose(concrete(tf.constant(x)), wanted, rtol=1e-5)


def test_gelu_stays_one_operator(tmp_path):
    def apply(x):
        return {"one": layers.Activation("gelu")(x), "own": x * (1 + ops.erf(x / 3))}

    found = _all_ok(convert(_model(apply, (8,)), tmp_path, ["tflite"]))
    assert found["tflite"].facts["operators"]["GELU"] == 1


# -- layers ---------------------------------------------------------------------------------------


def _one_dimension(x):
    return {
        "same": layers.Conv1D(4, 3, padding="same", **FIRST)(x),
        "steps": layers.Conv1D(4, 3, strides=2, **FIRST)(x),
        "dilated": layers.Conv1D(4, 2, dilation_rate=2, **FIRST)(x),
        "transposed": layers.Conv1DTranspose(4, 3, strides=2, **FIRST)(x),
        "transposed-dilated": layers.Conv1DTranspose(4, 3, dilation_rate=2, **FIRST)(x),
        "depthwise": layers.DepthwiseConv1D(3, **FIRST)(x),
        "pooled": layers.MaxPooling1D(2, **FIRST)(x),
    }


def _two_dimensions(x):
    return {
        "same": layers.Conv2D(4, 3, padding="same", **FIRST)(x),
        "steps": layers.Conv2D(4, 3, strides=2, **FIRST)(x),
        "dilated": layers.Conv2D(4, 2, dilation_rate=2, **FIRST)(x),
        "transposed": layers.Conv2DTranspose(4, 3, strides=2, **FIRST)(x),
        "transposed-dilated": layers.Conv2DTranspose(2, (2, 3), dilation_rate=(3, 2), **FIRST)(x),
        "separable": layers.SeparableConv2D(4, 3, **FIRST)(x),
        "pooled": layers.AveragePooling2D(4, padding="same", **FIRST)(x),
        "normalized": layers.BatchNormalization(axis=1)(x),
        "bicubic": layers.Resizing(9, 8, interpolation="bicubic", **FIRST)(x),
    }


def _three_dimensions(x):
    return {
        "same": layers.Conv3D(4, 3, padding="same", **FIRST)(x),
        "steps": layers.Conv3D(4, 3, strides=2, **FIRST)(x),
        "transposed": layers.Conv3DTranspose(2, 3, strides=2, **FIRST)(x),
        "largest": layers.MaxPooling3D(2, padding="same", **FIRST)(x),
        "mean": layers.AveragePooling3D(2, **FIRST)(x),
    }


def _short_kernels(x):
    layer = layers.Conv2DTranspose
    return {kind: layer(3, 2, strides=3, padding=kind)(x) for kind in ("same", "valid")}


def _resized(x):
    kinds = ("bicubic", "area", "bilinear", "lanczos3")
    return {
        f"{kind}_{smooth}": layers.Resizing(9, 5, interpolation=kind, antialias=smooth)(x)
        for kind in kinds
        for smooth in (False, True)
    }


def _encoded(x):
    modes = ("multi_hot", "count", "one_hot")
    return {mode: layers.CategoryEncoding(5, output_mode=mode)(x) for mode in modes}


def _of_integers(x):
    table = ops.reshape(ops.tile(x, (1, 4)), (-1, 4, 4))
    return {
        "left": ops.bitwise_left_shift(x, ops.flip(x, -1) % 8),
        "both": ops.bitwise_and(x, ops.flip(x, -1)),
        "either": ops.bitwise_or(x, ops.flip(x, -1)),
        "diagonal": ops.diagonal(ops.cast(table, "float32"), axis1=1, axis2=2),
    }


def _arithmetic(x):
    one = ops.cast(1, x.dtype)
    return {
        "sum": x + x,
        "product": x * x - x,
        "largest": ops.maximum(x, ops.flip(x, -1)),
        "quotient": x // (x + one) if x.dtype == "int16" else ops.minimum(x, one),
        "all": ops.sum(x, axis=-1),
        "most": ops.max(x, axis=-1),
        "less": x < ops.flip(x, -1),
        "chosen": ops.where(x < ops.flip(x, -1), x, one),
    }


def _images_of_numbers(x):
    """Return uint8 images resized and taken apart by TensorFlow, as layers of one's own do."""

    class Patches(layers.Layer):
        def call(self, x):
            sizes = {"sizes": [1, 3, 2, 1], "strides": [1, 2, 1, 1], "rates": [1, 1, 2, 1]}
            return tf.image.extract_patches(tf.cast(x, "float32"), **sizes, padding="SAME")

    return {
        "patches": Patches()(x),
        "nearest": ops.image.resize(x, (12, 14), interpolation="nearest"),
        "bilinear": ops.image.resize(ops.cast(x, "float32"), (12, 14)),
    }


def _rounded_on_the_way(x):
    there_and_back = {
        kind: ops.cast(ops.cast(x * 1000.0, kind), "float32")
        for kind in ("float16", "uint8", "int8", "int16", "int32")
    }
    table = np.array([-1.0, 0.0, 1.0], "float32")
    return {
        **there_and_back,
        "places": ops.searchsorted(table, x[:, 0]),
        "places-right": ops.searchsorted(table, x[:, 1], side="right"),
    }


def _quantiles(x):
    return {
        "quantile": ops.quantile(x, 0.3, axis=1),
        "median": ops.median(x, axis=-1),
        "kept": ops.percentile(x, 70.0, axis=1, keepdims=True),
        "twice": x * 2,
    }


def _chosen(x):
    values, places = ops.top_k(x, 3)
    return {"values": values, "places": places, "order": ops.argsort(x, axis=-1)}


LAYERS = {
    "channels-first-1d": (_one_dimension, (3, 8), "float32"),
    "channels-first-2d": (_two_dimensions, (3, 6, 6), "float32"),
    "channels-first-3d": (_three_dimensions, (3, 5, 4, 4), "float32"),
    "transposed-by-a-short-kernel": (_short_kernels, (5, 6, 2), "float32"),
    "resized": (_resized, (6, 7, 3), "float32"),
    "category-encoding": (_encoded, (4,), "int32"),
    "integers": (_of_integers, (4,), "int32"),
    "uint8": (_arithmetic, (8,), "uint8"),
    "images-of-numbers": (_images_of_numbers, (6, 7, 3), "uint8"),
    "int16": (_arithmetic, (8,), "int16"),
    "rounded-on-the-way": (_rounded_on_the_way, (4,), "float32"),
    # Keras leaves the sizes of these open.
    "quantiles": (_quantiles, (8, 6), "float32"),
    # Of equals Keras takes the first.
    "ties": (lambda x: _chosen(ops.round(ops.relu(x))), (8,), "float32"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_every_format(tmp_path, name):
    if name.startswith("channels-first") and not HAS_ONEDNN:
        with pytest.raises(
            ExportError, match=r"only with oneDNN: set .* TF_ENABLE_ONEDNN_OPTS=1\."
        ):
            convert(_model(*LAYERS[name]), tmp_path)
        return
    keras.utils.set_random_seed(0)
    for artifact in _all_ok(convert(_model(*LAYERS[name]), tmp_path)).values():
        assert artifact.verification.tolerance == 1e-5


def test_uint8_wraps_around_as_it_does_in_keras(tmp_path):
    found = _all_ok(convert(_model(lambda x: {"y": x * x}, (3,), "uint8"), tmp_path))
    for artifact in found.values():
        given = runner(tmp_path, artifact).run({"x": np.array([[200, 16, 15]], "uint8")})
        assert given["y"].tolist() == [[200 * 200 % 256, 0, 225]]


def test_images_of_whole_numbers_are_resized_as_predict_does(tmp_path):
    # In a graph, as in fit and predict, Keras resizes them in floats; model(x) rounds.
    def apply(x):
        small = layers.Resizing(5, 9, interpolation="area", name="small")(x)
        x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(small))
        return {"small": small, "y": layers.GlobalAveragePooling2D()(x)}

    keras.utils.set_random_seed(0)
    model = _model(apply, (8, 7, 3), "uint8")
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 7, 3), "uint8")
    wanted = model.predict(image, verbose=0)
    for artifact in _all_ok(convert(model, tmp_path)).values():
        given = runner(tmp_path, artifact).run({"x": image})
        np.testing.assert_allclose(given["small"], wanted["small"], rtol=1e-6)
        np.testing.assert_allclose(given["y"], wanted["y"], atol=1e-6)


# -- causes ---------------------------------------------------------------------------------------


REFUSED = {
    "halves": (
        layers.Resizing(2, 3, interpolation="area", dtype="uint8", name="small"),
        ((8, 7, 3), "uint8"),
        "tflite",
        "differs from Keras by 1 where 0 is allowed. Layer 'small' rounds ",
    ),
    "equals": (
        lambda x: ops.argmax(ops.round(0.2 * x), axis=-1),
        ((8,), "float32"),
        "onnx",
        "ArgMax' chooses among numbers that are equal to the last bit, ",
    ),
    "many-axes": (
        lambda x: ops.sum(x, axis=3),
        ((2, 1, 3, 2, 1, 2), "float32"),
        "tflite",
        "LiteRT's XNNPACK takes SUM and then fails on its sizes, as on tensors of more than six "
        "axes: let the model compute on fewer, which keras.ops.reshape makes of them",
    ),
    "other-rows": (
        lambda x: ops.reshape(x, (-1, 2)),
        ((4,), "float32"),
        "tflite",
        " has 2 rows where the inputs have 1, and LiteRT, which runs one batch "
        "size alone, could not assign them",
    ),
    "place": (
        lambda x: ops.cumsum(x, axis=0),
        ((4,), "float32"),
        "tflite",
        "its rows depend on each other: in Keras the answer to one row moves by ",
    ),
    "bfloat16": (
        lambda x: ops.cast(ops.cast(x, "bfloat16"), "float32"),
        ((4,), "float32"),
        "onnx",
        "it computes in bfloat16, which this file cannot hold: Cast. Compute in float32 there",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_by_its_cause(tmp_path, name):
    apply, (shape, dtype), format_name, cause = REFUSED[name]
    found = convert(_model(apply, shape, dtype), tmp_path, [format_name])
    assert cause in str(found[format_name])


# -- schemes --------------------------------------------------------------------------------------


def test_a_branch_that_is_never_on_is_quantized(tmp_path):
    def apply(x):
        never = keras.initializers.Constant(-100.0)
        dead = layers.Conv2D(8, 3, activation="relu", bias_initializer=never)(x)
        alive = layers.Conv2D(8, 3, activation="relu")(x)
        x = layers.Conv2D(4, 2)(dead) + layers.Conv2D(4, 2)(alive)
        return layers.Dense(4, name="y")(layers.GlobalAveragePooling2D()(x))

    keras.utils.set_random_seed(0)
    rows = {"x": np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")}
    formats = ["tflite:int8", "tflite:int8-io", "tflite:int16x8"]
    model = _model(apply, (8, 8, 2))
    found = _all_ok(convert(model, tmp_path, formats, samples=rows, calibration=rows))
    wanted = ops.convert_to_numpy(model(rows["x"]))
    for name in ("tflite:int8", "tflite:int16x8"):
        off = runner(tmp_path, found[name]).run(rows)["y"] - wanted
        assert 0 < np.abs(off).mean() < 0.02 * wanted.std()


def test_int8_attends_to_what_is_not_masked(tmp_path):
    keras.utils.set_random_seed(0)
    steps, mask = keras.Input((6, 8), name="steps"), keras.Input((6,), name="mask")
    scores = ops.matmul(layers.Dense(8)(steps), ops.transpose(layers.Dense(8)(steps), (0, 2, 1)))
    visible = mask[:, None, :]
    forms = {
        "added": ops.softmax(scores + (1.0 - visible) * -1e9),
        "chosen": ops.softmax(ops.where(visible > 0.5, scores, -1e9)),
        "infinite": ops.softmax(ops.where(visible > 0.5, scores, -np.inf)),
        "subtracted": ops.softmax(scores - 1e9 * (1.0 - visible)),
        "from_below": ops.softmax(scores + (visible - 1.0) * 1e9),
        "of_both": ops.softmax(scores * visible - 1e4 * (1.0 - visible)),
    }
    outputs = {name: ops.mean(ops.matmul(form, steps), 1) for name, form in forms.items()}
    attention = layers.MultiHeadAttention(2, 4)
    outputs["of_keras"] = ops.mean(attention(steps, steps, attention_mask=visible > 0.5), 1)
    model = keras.Model([steps, mask], outputs)
    rng = np.random.default_rng(0)
    hidden = (rng.random((64, 6)) > 0.4).astype("float32")
    hidden[:, 0] = 1
    rows = {"steps": rng.normal(size=(64, 6, 8)).astype("float32"), "mask": hidden}

    formats, given = ["tflite:int8", "tflite:int8-mixed"], {"samples": rows, "calibration": rows}
    artifacts = _all_ok(convert(model, tmp_path, formats, batch_sizes=(1, 4), **given))

    # Comparisons have no kernel in int16, and Keras' own attention compares what is masked.
    plain = keras.Model([steps, mask], {name: outputs[name] for name in forms})
    of_int16 = _all_ok(convert(plain, tmp_path / "int16", ["tflite:int16x8"], **given))
    before = {
        0.1: runner(tmp_path, artifacts["tflite:int8"]).run(rows),
        0.005: runner(tmp_path / "int16", of_int16["tflite:int16x8"]).run(rows),
    }
    wanted = model([rows["steps"], hidden])
    for limit, answers in before.items():
        for name, answer in answers.items():
            keras_gives = ops.convert_to_numpy(wanted[name])
            assert np.abs(answer - keras_gives).mean() < limit * keras_gives.std(), name


def test_what_int16_has_no_kernel_for_is_named(tmp_path):
    keras.utils.set_random_seed(0)
    rows = {"x": np.random.default_rng(0).normal(size=(16, 8)).astype("float32")}
    models = {
        "SQUARED_DIFFERENCE": layers.LayerNormalization(),
        "GREATER": lambda x: ops.where(x > 0, x, x * 0.1),
    }
    for kind, apply in models.items():
        given = {"samples": rows, "calibration": rows}
        found = convert(_model(apply, (8,)), tmp_path / kind, ["tflite:int16x8"], **given)
        assert str(found["tflite:int16x8"]) == (
            f"LiteRT has no kernel for {kind} with the dtypes that this scheme gives it: take "
            "tflite:int8, whose floats stay where there is none, or tflite:float16"
        )


def test_images_of_any_size_are_resized_in_onnx_by_its_own_kinds_alone(tmp_path):
    model = _model(layers.Resizing(4, 5, interpolation="area", name="shrunk"), (None, None, 3))
    error = convert(model, tmp_path, ["onnx"])["onnx"]
    assert str(error) == (
        "ResizeArea (layer 'shrunk') cannot be written in ONNX: images whose size is known only "
        "when data arrive are resized there with bilinear and nearest interpolation alone, without "
        "antialias: give the model a fixed size, or take these"
    )


def test_weights_beyond_float16_stay_in_float32(tmp_path):
    keras.utils.set_random_seed(0)
    model = _model(lambda x: layers.Dense(8)(layers.Dense(64, name="hidden")(x)), (64,))
    rows = {"x": np.random.default_rng(0).normal(size=(16, 64)).astype("float32") / 100}
    kernel = model.get_layer("hidden").kernel
    kernel.assign(kernel + np.eye(64) * 3e5)
    found = _all_ok(convert(model, tmp_path, ["tflite:float16", "onnx:float16"], samples=rows))
    for artifact in found.values():
        weights = artifact.facts["weights"]
        assert 64 * 64 * 4 <= weights["float32"] < 64 * 65 * 4 + 100
        assert weights["float16"] >= 64 * 8 * 2


# -- sizes and rows -------------------------------------------------------------------------------


def test_two_images_whose_samples_differ_in_size(tmp_path):
    a, b = (keras.Input((None, None, 3), name=name) for name in "ab")
    conv = layers.Conv2D(2, 3, padding="same")
    model = keras.Model([a, b], {"first": conv(a), "second": conv(b)})
    samples = {"a": np.ones((2, 2, 9, 3)), "b": np.ones((2, 12, 7, 3))}
    found = _all_ok(convert(model, tmp_path, ["onnx"], samples=samples))
    assert [str(tensor) for tensor in found["onnx"].inputs] == [
        "a: float32[batch, height, width, 3]",
        "b: float32[batch, b_height, b_width, 3]",
    ]


def _two_towers():
    image = keras.Input((8, 8, 3), name="image")
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    seen = layers.Dense(5)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
    read = layers.GlobalAveragePooling1D()(layers.Embedding(20, 5)(ids), mask=mask > 0)
    seen, read = ops.normalize(seen), ops.normalize(read)
    logits = ops.exp(0.5) * ops.matmul(seen, ops.transpose(read))
    outputs = {"per_image": logits, "per_text": ops.transpose(logits)}
    return keras.Model([image, ids, mask], outputs, name="clip")


def test_encoders_that_are_compared_are_exported_one_by_one(tmp_path):
    model = _two_towers()
    error = convert(model, tmp_path, ["tflite"])["tflite"]
    line = (
        "for name, encoder in zoo_export.encoders(model).items(): zoo_export.export(encoder, "
        "name=name)"
    )
    assert str(error).startswith("its rows depend on each other: in Keras the answer to one row ")
    assert str(error).endswith(
        "It compares every row of 'image' with every row of 'ids': export each encoder by itself "
        f"({line})"
    )
    made = {}
    told = {"encoders": encoders, "export": lambda encoder, name: made.update({name: encoder})}
    exec(line, {"zoo_export": SimpleNamespace(**told), "model": model})
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    texts = {"ids": rng.integers(0, 20, (3, 6), "int32"), "padding_mask": np.ones((3, 6), "int32")}
    wanted = ops.convert_to_numpy(model([images, *texts.values()])["per_image"])
    given = {"image": {"image": images}, "ids": texts}
    found = {}
    for name, encoder in made.items():
        length = {"sequence_length": 6} if name == "ids" else {}
        artifact = convert(encoder, tmp_path / name, ["tflite"], **length)["tflite"]
        found[name] = runner(tmp_path / name, artifact).run(given[name])["embedding"]
    product = np.exp(0.5) * found["image"] @ found["ids"].T
    np.testing.assert_allclose(product, wanted, atol=1e-6)


def test_models_that_compare_no_rows_have_no_encoders(tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    beside = keras.Model([a, b], {"y": a + b - ops.mean(a, axis=0, keepdims=True)}, name="beside")
    error = convert(beside, tmp_path, ["tflite"])["tflite"]
    assert str(error).endswith("or batch_sizes='dynamic'")
    with pytest.raises(UsageError, match="Model 'beside' has no encoders to take apart: no opera"):
        encoders(beside)
