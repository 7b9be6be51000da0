"""ONNX files of the standard alone: what Keras gives, in two evaluators; what fails says where."""

import re

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from export_runtimes import HAS_ONEDNN, onnx_outputs
from keras import layers, ops
from onnx import TensorProto, helper

from benchmarks.support.operators import _convert_here
from zoo_export import export
from zoo_export.converters.onnx import convert as onnx_converter
from zoo_export.converters.onnx import file as onnx_attributes
from zoo_export.making import assembly, child
from zoo_export.reading.axes import check_outputs
from zoo_export.reading.signature import signature_of
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError


class Own(layers.Layer):
    """Compute what a function does, with operators that Keras has not."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, x):
        return self.function(x)


class Attention(layers.Layer):
    """Be attention of the user's own: projections without bias, and sizes read from the input."""

    def build(self, shape):
        self.query, self.out = (layers.Dense(8, use_bias=False) for _ in range(2))
        self.query.build(shape)
        self.out.build(shape)

    def call(self, x):
        rows, steps = ops.shape(x)[:2]
        heads = ops.transpose(ops.reshape(self.query(x), (rows, steps, 2, 4)), (0, 2, 1, 3))
        weights = ops.softmax(ops.matmul(heads, ops.transpose(heads, (0, 1, 3, 2))))
        mixed = ops.transpose(ops.matmul(weights, heads), (0, 2, 1, 3))
        return self.out(ops.reshape(mixed, (rows, steps, 8)))


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_zeros():
    rows = numbers(4, 6)
    rows[:, 0] = 0
    rows[1] = 0
    return rows


def small_integers(dtype):
    return np.random.default_rng(0).integers(0, 255, (4, 6)).astype(dtype)


def checked(outputs, rows, tmp_path, shape=None, dtype="float32", allowed=1e-6):
    """Convert, run in ONNX Runtime and in the standard's evaluator, and compare with Keras."""
    x = keras.Input(rows.shape[1:] if shape is None else shape, name="x", dtype=dtype)
    model = keras.Model(x, outputs(x), name="net")
    for weight in model.weights:  # as after training: no bias of zeros, no mean of zero
        weight.assign(weight + 0.2 * keras.random.uniform(weight.shape, seed=1))
    right = signature_of(model).reference({"x": rows})
    by_runtime, by_standard, facts = onnx_outputs(model, {"x": rows}, tmp_path / "net.onnx")
    for name, wanted in right.items():
        for given in (by_runtime[name], by_standard[name]):
            assert given.dtype == wanted.dtype, name
            if wanted.dtype.kind == "f":
                np.testing.assert_allclose(given, wanted, allowed, allowed, err_msg=name)
            else:
                np.testing.assert_array_equal(given, wanted, err_msg=name)
    return facts["operators"]


# -- choices and functions near their limits -----------------------------------------------------


def test_a_choice_does_not_compute_with_what_is_not_chosen(tmp_path):
    def outputs(x):
        return {
            "sinc": ops.where(ops.equal(x, 0), 1.0, ops.sin(x) / x),
            "safe": ops.where(ops.equal(x, 0), x, 1 / x),
            "divided": ops.divide_no_nan(x[:, :3], x[:, 3:]),
            "log": ops.where(x > 0, ops.log(x), 0.0),
            "whole": ops.where(x > 0, ops.cast(x * 9, "int32"), 3),
            "bytes": ops.where(x > 0, ops.cast(x * 9, "int8"), ops.cast(3, "int8")),
            "booleans": ops.where(x > 0, ops.equal(x, 0), ops.not_equal(x, 0)),
            "xlogy": Own(lambda a: tf.math.xlogy(a, tf.abs(a)))(x),
            "xlog1py": Own(lambda a: tf.math.xlog1py(a, tf.abs(a)))(x),
            "xdivy": Own(lambda a: tf.math.xdivy(a, a))(x),
        }

    operators = checked(outputs, with_zeros(), tmp_path)
    assert operators["Where"] >= 10


def test_logarithm_and_exponential_near_zero(tmp_path):
    rows = np.array([[1e-8, 1e-4, 0.5, 1e9, -0.5, 3e38], [0, -1e-7, 3, 1, -0.9, 7]], "float32")
    checked(lambda x: {"log1p": ops.log1p(x)}, rows, tmp_path)
    rows = np.array([[1e-8, -1e-4, 0.5, -1e9, -0.5, 3], [0, 1e-7, -3, 1, -0.9, 7]], "float32")
    checked(lambda x: {"expm1": ops.expm1(x)}, rows, tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_small_integers(dtype, tmp_path):
    def outputs(x):
        mirrored = ops.flip(x, axis=-1)
        return {
            "sum": x + mirrored,
            "difference": x - mirrored,
            "product": x * mirrored,
            "largest": ops.maximum(x, mirrored),
            "total": ops.sum(x, axis=-1),
            "most": ops.max(x, axis=-1),
            "where": ops.argmax(x, axis=-1),
            "running": ops.cumsum(x, axis=-1),
            "chosen": ops.where(x > 100, x, mirrored),
            "equal": ops.equal(x, mirrored),
            "squares": ops.square(x),
        }

    checked(outputs, small_integers(dtype), tmp_path, dtype=dtype)


def test_einsum_with_dots_scan_and_slices(tmp_path):
    def outputs(x):
        turned = ops.transpose(x, (0, 1, 3, 2))
        return {
            "product": ops.einsum("...ij,...jk->...ik", x, turned),
            "repeated": ops.einsum("...ij,...jk->...ik", x, turned[:, :1]),
            "inside": ops.einsum("b...c,cd->b...d", x, ops.ones((5, 2))),
            "sums": ops.einsum("...c->...", x),
            "scanned": Own(_scanned)(x),
            "backwards": Own(lambda a: _scanned(a, reverse=True))(x),
            "updated": Own(lambda a: ops.slice_update(a, (0, 1, 1, 3), a[:, :1, :2, :2]))(x),
            "at_the_end": Own(lambda a: ops.slice_update(a, (0, 9, 0, 9), a[:, :1, :, :1]))(x),
        }

    rows = numbers(3, 2, 3, 5)
    checked(outputs, rows, tmp_path)


def _scanned(x, **options):
    first = ops.transpose(x[:, 0, 0], (1, 0))
    _, made = ops.scan(lambda c, v: (c + v, c * v), ops.zeros_like(first[0]), first, **options)
    return ops.transpose(made, (1, 0))


@pytest.mark.parametrize("steps", [None, 5])
def test_attention_of_ones_own(steps, tmp_path):
    # tf2onnx drops a Reshape whose successor takes a size from it.
    checked(Attention(), numbers(4, 5, 8), tmp_path, shape=(steps, 8))


def test_layers_over_steps_that_are_open(tmp_path):
    def outputs(x):
        within = layers.TimeDistributed(layers.Conv1D(3, 2))(x)
        return {
            "dense": layers.TimeDistributed(layers.Dense(3))(x),
            "last": layers.TimeDistributed(layers.GRU(3))(within),
        }

    checked(outputs, numbers(2, 5, 4, 3), tmp_path, shape=(None, 4, 3))


# -- images --------------------------------------------------------------------------------------


def test_resized_images(tmp_path):
    sizes = [(14, 20), (14, 14), (3, 5), (15, 9), (21, 21), (1, 1), (4, 6), (13, 1), (7, 10)]
    kinds = ("nearest", "bilinear", "bicubic")

    def outputs(x):
        return {
            f"{kind}_{height}_{width}": layers.Resizing(height, width, interpolation=kind)(x)
            for kind in kinds
            for height, width in sizes
        } | {
            f"up_{kind}_{factor}": layers.UpSampling2D(factor, interpolation=kind)(x)
            for kind in kinds
            for factor in (2, 3)
        }

    checked(outputs, numbers(2, 7, 10, 3), tmp_path, allowed=1e-5)
    modes = {
        attribute.s
        for node in onnx.load(tmp_path / "net.onnx").graph.node
        for attribute in node.attribute
        if attribute.name == "coordinate_transformation_mode"
    }
    assert modes == {b"half_pixel"}


def test_images_of_any_size(tmp_path):
    def outputs(x):
        return {
            "nearest": layers.Resizing(13, 9, interpolation="nearest")(x),
            "bilinear": layers.Resizing(13, 9)(x),
            "twice": layers.UpSampling2D(2, interpolation="nearest")(x),
            "thrice": layers.UpSampling2D(3, interpolation="bilinear")(x),
        }

    checked(outputs, numbers(2, 7, 10, 3), tmp_path, shape=(None, None, 3), allowed=1e-5)


# -- what is refused says where ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            layers.Resizing(13, 9, interpolation="bicubic", name="larger"),
            "ResizeBicubic (layer 'larger') cannot be written in ONNX: bicubic resizing of images "
            "whose size is known only when data arrive is not in ONNX Runtime: give the model a "
            "fixed size, or resize bilinearly",
        ),
        (
            Own(lambda x: x + tf.cast(tf.bitcast(x, "int32"), "float32"), name="bits"),
            "ONNX has no operator for Bitcast (layer 'bits')",
        ),
    ],
)
def test_a_refusal_names_operator_and_layer(layer, message, tmp_path):
    x = keras.Input((None, None, 3), name="x")
    model = keras.Model(x, ops.mean(layer(x), axis=(1, 2)), name="net")
    with pytest.raises(ExportError) as caught:
        onnx_outputs(model, {"x": numbers(2, 7, 10, 3)}, tmp_path / "net.onnx")
    assert str(caught.value) == message
    assert [blame.layer for blame in caught.value.blames] == [layer.name]


def test_an_exception_of_tf2onnx_names_operator_and_layer(tmp_path, monkeypatch):
    from tf2onnx.handler import tf_op

    def without_values(*_, **__):
        raise TypeError("object of type 'NoneType' has no len()")

    plain = tf_op.create_mapping

    def with_a_fault(*options):
        mapping = plain(*options)
        return {**mapping, "Rint": (without_values, {}), "Round": (without_values, {})}

    monkeypatch.setattr(tf_op, "create_mapping", with_a_fault)
    with pytest.raises(ExportError) as caught:
        checked(Own(tf.round, name="whole"), numbers(2, 3), tmp_path)
    assert str(caught.value) == (
        "Round (layer 'whole') cannot be written in ONNX: TypeError: object of type 'NoneType' has "
        "no len()"
    )


def _with(operator, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], "dense_1/operator", **attributes)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([node], "net", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_converter.OPSET)])


@pytest.mark.parametrize(
    ("operator", "attributes", "fault"),
    [
        ("Resize", {"coordinate_transformation_mode": "tf_half_pixel_for_nn"},
         "'coordinate_transformation_mode' is 'tf_half_pixel_for_nn'"),
        ("Resize", {"nearest_mode": "round"}, "'nearest_mode' is 'round'"),
        ("Pad", {"mode": "symmetric"}, "'mode' is 'symmetric'"),
        ("Conv", {"auto_pad": "SAME"}, "'auto_pad' is 'SAME'"),
        ("ConvTranspose", {"auto_pad": "explicit"}, "'auto_pad' is 'explicit'"),
        ("LSTM", {"direction": "backward"}, "'direction' is 'backward'"),
        ("Resize", {"mode": "bilinear"}, "'mode' is 'bilinear'"),
        ("ScatterND", {"reduction": "sum"}, "'reduction' is 'sum'"),
        ("DepthToSpace", {"mode": "depth"}, "'mode' is 'depth'"),
        ("LSTM", {"activations": ["Sigmoid", "Swish", "Tanh"]}, "'activations' is 'Swish'"),
        ("Cast", {"to": 99}, "'to' is 99, which is not a data type"),
        ("Relu", {"alpha": 1.0}, "'alpha'"),
        ("Softmax", {"axis": 1.0}, "'axis' of type FLOAT, not INT"),
    ],
)  # fmt: skip
def test_an_attribute_that_the_standard_does_not_know(operator, attributes, fault, dense):
    model = dense(layers.Dense(4, name="dense_1"))
    with pytest.raises(ExportError) as caught:
        onnx_attributes.refuse_unknown_attributes(_with(operator, **attributes), model)
    assert str(caught.value) == (
        f"{operator} (layer 'dense_1') has an attribute that ONNX of opset 20 does not know: "
        f"{fault}"
    )


def test_every_exported_file_runs_by_the_standard(dense, monkeypatch, tmp_path, standard_of_onnx):
    """What ONNX Runtime ran is another file than the one that is left: the fixture sees it."""

    def run(job, cases):
        given = plain(job, cases)
        proto = onnx.load(job.path)
        if job.options.optimize is None:
            proto.graph.initializer[0].raw_data = b"\0" * len(proto.graph.initializer[0].raw_data)
        onnx.save(proto, job.path)
        return given

    plain = child._run
    monkeypatch.setattr(child, "_run", run)
    monkeypatch.setattr(assembly, "convert_all", _convert_here)
    for optimize in (None, "onnxruntime"):
        folder = tmp_path / str(optimize)
        export(dense(), to=["onnx"], out=folder, name="net", optimize=optimize)
    assert standard_of_onnx
    for fault in standard_of_onnx:
        assert fault.startswith("net.onnx is wrong by the standard: ")
    standard_of_onnx.clear()


def test_every_default_of_the_standard_is_known_to_it(dense):
    model, tried = dense(), 0
    for schema in onnx.defs.get_all_schemas():
        if schema.domain:
            continue
        current = (
            onnx.defs.get_schema(schema.name, onnx_converter.OPSET, "")
            if onnx.defs.has(schema.name, onnx_converter.OPSET, "")
            else None
        )
        for name, attribute in (current.attributes if current else {}).items():
            if attribute.default_value.name:
                value = helper.get_attribute_value(attribute.default_value)
                onnx_attributes.refuse_unknown_attributes(
                    _with(schema.name, **{name: value}), model
                )
                tried += 1
    assert tried > 100


def test_every_word_of_an_attribute_is_one_of_the_standard():
    """Held against the schemas: each word is in their prose, and all that they put into quotes."""
    known, operators = set(onnx_attributes.WORDS), onnx.defs.get_all_schemas()
    for operator in sorted({schema.name for schema in operators if not schema.domain}):
        if not onnx.defs.has(operator, onnx_converter.OPSET, ""):
            continue
        schema = onnx.defs.get_schema(operator, onnx_converter.OPSET, "")
        for name, attribute in schema.attributes.items():
            if "STRING" not in attribute.type.name or name in onnx_attributes.FREE_TEXT:
                continue
            words = onnx_attributes.words_of(operator, name)
            known -= {name, f"{operator}.{name}"}
            said = re.findall(r"\w+", f"{attribute.description} {schema.doc}")
            assert not {*words} - {*said}, (operator, name)
            # In quotes stand words, and of 'nearest_mode' also that "mode" has to be "nearest".
            quoted = {*re.findall(r"[\"']+(\w+)[\"']+", attribute.description)}
            assert not quoted - {*words, "mode", "nearest"}, (operator, name)
    assert not known


def test_a_batch_that_keras_calls_one(tmp_path):
    table = ops.convert_to_tensor(numbers(1, 5, 8))
    rows = numbers(4, 5, 8)
    checked(lambda x: ops.add(table, x), rows, tmp_path)

    x = keras.Input((5, 8), name="x")
    summed = keras.Model(x, ops.sum(x, axis=0, keepdims=True), name="net")
    with pytest.raises(UsageError, match="has no batch axis, its shape is"):
        check_outputs(signature_of(summed), {"x": rows[:1]})


# -- convolutions --------------------------------------------------------------------------------

LAYOUTS = ("channels_last", "channels_first")
OPTIONS = [{}, {"strides": 2}, {"dilation_rate": 2}, {"groups": 2}, {"groups": 2, "strides": 2}]
TRANSPOSED = [
    {},
    {"kernel_size": 2, "strides": 3},
    {"dilation_rate": 2},
    {"strides": 2, "output_padding": 1},
    {"kernel_size": 1, "strides": 2},
]


def _convolutions(rank, layout):
    """Yield every convolution of so many axes, of ten channels, which no side of an image has.

    Where the last side has as many as there are channels, Keras 3.15 takes it for them and adds the
    bias to it: what it gives for one image then depends on whether the size is known.
    """
    plain, back = (getattr(layers, f"Conv{rank}D{kind}") for kind in ("", "Transpose"))
    named = {"data_format": layout, "bias_initializer": "uniform"}
    for padding in ("valid", "same"):
        for options in OPTIONS:
            yield plain(10, 3, padding=padding, **named, **options)
        for options in TRANSPOSED:
            if "dilation_rate" in options and not HAS_ONEDNN:
                continue
            yield back(10, **{"kernel_size": 3, "padding": padding, **named, **options})
    if rank == 1 and layout == "channels_last":
        yield plain(10, 3, padding="causal", dilation_rate=2, **named)
    if rank < 3:
        yield getattr(layers, f"DepthwiseConv{rank}D")(3, padding="same", **named)
        yield getattr(layers, f"SeparableConv{rank}D")(10, 3, strides=2, **named)


@pytest.mark.parametrize(
    ("rank", "layout", "is_open"),
    [
        *((rank, layout, is_open) for rank in (1, 2) for layout in LAYOUTS for is_open in (0, 1)),
        (3, "channels_first", False),
        (3, "channels_last", True),
    ],
)
def test_convolutions(rank, layout, is_open, tmp_path):
    if layout == "channels_first" and not HAS_ONEDNN:
        pytest.skip("Keras computes none of them on this processor without oneDNN")
    sides, channels = {1: (11,), 2: (6, 9), 3: (5, 5, 7)}[rank], (4,)
    order = (lambda s: (*s, *channels)) if layout == "channels_last" else lambda s: (*channels, *s)
    rows = numbers(2, *order(sides))

    def outputs(x):
        made = [convolve(x) for convolve in _convolutions(rank, layout)]
        return {f"made_{at}": ops.relu(value) for at, value in enumerate(made)}

    shape = order([None] * rank) if is_open else order(sides)
    checked(outputs, rows, tmp_path, shape=shape, allowed=1e-5)


def test_what_is_added_to_a_convolution(tmp_path):
    def outputs(x):
        convolved = layers.Conv2D(4, 3)(x)
        larger = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
        more = ops.convert_to_tensor(np.arange(4, dtype="float32"))
        return {
            "twice": ops.add(ops.add(convolved, more), more),
            "bias": Own(lambda a: tf.nn.bias_add(a, more))(layers.Conv2D(4, 3)(x)),
            "transposed": Own(lambda a: tf.nn.bias_add(a, more))(larger),
            "normalized": layers.BatchNormalization()(
                layers.Conv2DTranspose(4, 3, strides=2, use_bias=False)(x)
            ),
        }

    operators = checked(outputs, numbers(2, 7, 9, 3), tmp_path, allowed=1e-5)
    assert (operators["Conv"], operators["ConvTranspose"]) == (2, 2)
    assert not {"Mul", "Sqrt", "Sub"} & operators.keys()
