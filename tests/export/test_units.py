"""The parts of the export room, one by one."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from zoo.cli import exporting as cli_exporting
from zoo_export import export
from zoo_export.options import ExportOptions
from zoo_export.reading.axes import input_tensors
from zoo_export.reading.inference import inference_clone
from zoo_export.reading.samples import default_sizes, drawn_rows, edge_cases, sample_batches
from zoo_export.reading.signature import signature_of
from zoo_registry import UsageError
from zoo_runtime.comparing import compare, perplexity, top1_agreement
from zoo_runtime.errors import ExportError
from zoo_runtime.running.sessions import Affine
from zoo_runtime.tensors import Tensor, bind
from zoo_runtime.verification import Fit, Verification, why, worst


def _compare(wanted, given, tolerance=1e-5):
    return compare([{"y": np.asarray(wanted)}], [{"y": np.asarray(given)}], tolerance)


@pytest.mark.parametrize(
    ("wanted", "given", "ok"),
    [
        ([100.0, 1.0], [100.0009, 1.0], True),
        ([100.0, 1.0], [100.0011, 1.0], False),
        ([0.01, 0.0], [0.01, 2e-7], False),  # the tolerance follows small outputs down
        ([0.0, 0.0], [0.0, 9e-9], False),  # and has no absolute floor
        ([6e-7, -6e-7], [6.1e-7, -6e-7], False),
        ([-1e9, 3.0], [-1e9, 3.1], False),  # masked values are no scale for others
        ([-1e9, 3.0], [-1.2e9, 3.0], False),
        ([np.inf, 1.0], [np.inf, 1.0], True),
        ([np.inf, 1.0], [1.0, 1.0], False),
        ([1, 2], [1, 2], True),
        ([1, 2], [1, 3], False),
        ([True], [False], False),
        (np.zeros((3, 0)), np.zeros((3, 0)), True),
        (np.zeros((3, 0), "int32"), np.zeros((3, 0), "int32"), True),
    ],
)
def test_values_are_compared_on_the_scale_of_the_output(wanted, given, ok):
    assert _compare(wanted, given)[0].ok is ok


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"z": np.zeros(2)}, r"its outputs are \['z'\], those of Keras \['y'\]"),
        ({"y": np.zeros(3)}, r"output 'y' has shape \(3,\), in Keras \(2,\)"),
        ({"y": np.zeros(2, "float32")}, "output 'y' is float32, in Keras float64"),
        ({"y": np.array([0, np.nan])}, "output 'y' of the artifact is NaN in 50% of its values"),
    ],
)
def test_names_then_shapes_then_kinds_then_values(given, message):
    with pytest.raises(ExportError, match=message):
        compare([{"y": np.zeros(2)}], [given], 1e-5)


def test_the_worst_row_is_told():
    rows = _compare([1.0], [1.1]) + _compare([100.0], [100.2])
    assert worst(rows).startswith("output 'y' of shape [1] differs from Keras by 0.1 where 1e-05")


def test_agreement_counts_largest_logits():
    expected = {"logits": np.eye(4)}
    given = {"logits": np.eye(4)[[0, 1, 2, 2]]}
    assert top1_agreement(expected, given) == 0.75
    assert top1_agreement({"pooled_output": np.eye(4)}, {"pooled_output": np.eye(4)}) is None


def _text_model(vocab=11):
    import keras
    from keras import layers

    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    image = keras.Input((4, 4, 3), name="image")
    kind = keras.Input((), dtype="int32", name="kind")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(vocab, 4)(tokens), mask=mask > 0)
    y = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    z = layers.Embedding(2, 4)(kind)
    out = layers.Dense(2, name="logits")(layers.Concatenate()([x, y, z]))
    return keras.Model([tokens, mask, image, kind], out, name="all-kinds")


def test_perplexity_judges_what_columns_of_a_vocabulary_cannot():
    random = np.random.default_rng(0)
    keras = random.normal(size=(2, 5, 7)).astype(np.float32)
    targets = random.integers(0, 7, (2, 5))
    targets[1, 3:] = -1
    known = targets >= 0
    log = keras - np.log(np.exp(keras).sum(-1, keepdims=True))
    wanted = np.exp(-log[known, targets[known]].mean())
    assert perplexity({"logits": keras}, targets) == pytest.approx(wanted, rel=1e-6)
    lost = Fit("logits", 3, 0.9, 1.0, 0.15, columns=7, answers=7, keras_answers=7)
    known = {"perplexity": 20.0, "keras_perplexity": 19.0, "max_loss": 0.15, "fits": (lost,)}
    assert not Verification("tflite:int8", 0.3, (), fits=(lost,)).ok
    assert Verification("tflite:int8", 0.3, (), **known).ok
    worse = Verification("tflite:int8", 0.3, (), **{**known, "perplexity": 22.0})
    assert not worse.ok
    assert why(worse) == (
        "its perplexity on the examples is 22.00 and that of Keras 19.00, where 15% more is allowed"
    )


def test_drawn_inputs_are_what_the_layers_can_take():
    model = _text_model()
    tensors = input_tensors(signature_of(model))
    rows = drawn_rows(signature_of(model), tensors, {"sequence": 16})

    assert rows["token_ids"].shape == (4, 16)
    assert 2 < rows["token_ids"].max() < 11
    assert rows["kind"].max() < 2
    assert 100 < rows["image"].max() <= 255
    assert rows["padding_mask"].sum(axis=1).tolist() == [16, 8, 4, 2]
    assert (np.diff(rows["padding_mask"], axis=1) <= 0).all()
    assert np.isfinite(signature_of(model).call(rows)["logits"]).all()


def test_batches_of_one_and_three_and_others_before():
    rows = {"token_ids": np.arange(20).reshape(2, 10)}
    shapes = [case["token_ids"].shape for case in sample_batches(rows, [4, 1])]
    assert shapes == [(4, 10), (1, 10), (3, 10)]


def _edges(apply, *inputs):
    """Return the edge cases of a model, and how they differ from the rows drawn for it."""
    import keras

    model = keras.Model(inputs, {"y": apply(*inputs)})
    tensors = input_tensors(signature_of(model))
    rows = drawn_rows(signature_of(model), tensors, default_sizes(signature_of(model), tensors))
    edges = [
        pair[0]
        for pair in edge_cases(signature_of(model), tensors, rows).values()
        if pair is not None
    ]
    return edges, {name: row[:1] for name, row in rows.items()}


def test_zeros_and_large_numbers_are_tried_too():
    import keras

    image = keras.Input((4, 4, 3), name="image")
    sound, mask = keras.Input((6,), name="sound"), keras.Input((6,), name="sound_mask")
    (zeros, large, masked), drawn = _edges(
        lambda image, sound, mask: (
            keras.ops.sum(keras.layers.Rescaling(1 / 255)(image)) + sound * mask
        ),
        image,
        sound,
        mask,
    )

    assert not zeros["image"].any()
    assert not zeros["sound"].any()
    np.testing.assert_array_equal(large["sound"], drawn["sound"] * 100)
    np.testing.assert_array_equal(large["image"], drawn["image"])  # pixels end at 255
    assert (zeros["sound_mask"] == drawn["sound_mask"]).all()
    assert not masked["sound_mask"].any()
    np.testing.assert_array_equal(masked["sound"], drawn["sound"])


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [("int32", -100, -50), ("uint8", 100, 255), ("int8", -100, -50)]
)
def test_whole_numbers_that_index_no_table_have_their_range(dtype, least, most):
    import keras

    edges, drawn = _edges(lambda x: x * 2, keras.Input((50,), name="x", dtype=dtype))
    array = drawn["x"] if dtype == "uint8" else edges[0]["x"]

    extreme = array.max() if dtype == "uint8" else array.min()
    assert least <= extreme <= most
    assert array.dtype == dtype


def test_numbers_of_a_table_have_no_edges():
    import keras

    inputs = keras.Input((5,), name="ids", dtype="int32")

    assert not _edges(keras.layers.Embedding(7, 2), inputs)[0]
    assert not _edges(keras.layers.CategoryEncoding(7, output_mode="multi_hot"), inputs)[0]


@pytest.mark.parametrize(
    ("apply", "kept"),
    [
        ("log", [0.0]),  # NaN of what is negative; infinities are compared
        ("divide", [1.0]),  # 0 / 0
        ("sin_of_many", [0.0]),  # depends on the last bit of large numbers
        ("square", [0.0, 1.0]),
        ("take", []),  # Keras fails beyond the table
    ],
)
def test_edges_that_tell_nothing_are_left_out(apply, kept):
    import keras
    from keras import ops

    functions = {
        "log": ops.log,
        "divide": lambda x: x / x,
        "sin_of_many": lambda x: ops.sin(x * 1e3),
        "square": ops.square,
        "take": lambda x: ops.take(ops.arange(2), x, axis=0),
    }
    dtype = "int32" if apply == "take" else "float32"
    edges, _ = _edges(functions[apply], keras.Input((6,), name="x", dtype=dtype))

    assert [float(np.any(case["x"])) for case in edges] == kept


def test_the_default_length_respects_what_positions_the_model_has():
    from zoo_models.build import get_model

    model = get_model("gpt-nano", vocab_size=50, max_length=20)
    assert default_sizes(signature_of(model), input_tensors(signature_of(model))) == {
        "sequence": 20
    }
    assert default_sizes(signature_of(model), input_tensors(signature_of(model)), 7) == {
        "sequence": 7
    }
    unbounded = get_model("lstm-classifier", vocab_size=50)
    assert default_sizes(signature_of(unbounded), input_tensors(signature_of(unbounded))) == {
        "sequence": 128
    }


def test_a_float32_model_is_its_own_clone_and_others_keep_their_weights():
    import keras

    inputs = keras.Input((4,), name="x")
    plain = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    assert inference_clone(plain) is plain

    half = keras.Model(inputs, keras.layers.Dense(2, dtype="bfloat16", name="y")(inputs))
    clone = inference_clone(half)
    assert {v.dtype for v in clone.variables} == {"float32"}
    np.testing.assert_array_equal(
        clone.get_weights()[0], np.asarray(half.get_weights()[0], "float32")
    )


def test_outputs_are_named_after_keys_or_layers():
    import keras
    from keras import layers

    x = keras.Input((None, 3), name="steps")
    states = layers.LSTM(2, return_state=True, name="memory")(x)
    assert list(signature_of(keras.Model(x, states)).outputs) == [
        "memory_0",
        "memory_1",
        "memory_2",
    ]
    logits = layers.Dense(1, name="logits")(states[0])
    assert list(signature_of(keras.Model(x, {"score-1": logits})).outputs) == ["score_1"]
    assert list(signature_of(keras.Model(x, logits)).outputs) == ["logits"]


def test_arrays_are_narrowed_but_never_changed():
    tensors = [Tensor("ids", "int32", ("batch", "sequence")), Tensor("x", "float32", ("batch",))]
    bound = bind(tensors, {"ids": [[1, 2]], "x": np.array([0.5])})
    assert (bound["ids"].dtype, bound["x"].dtype) == ("int32", "float32")
    with pytest.raises(UsageError, match="'ids' takes int32 and got float64: convert it first"):
        bind(tensors, {"ids": np.array([[1.5]]), "x": [0]})
    with pytest.raises(UsageError, match="'ids' holds numbers that int32 cannot hold"):
        bind(tensors, {"ids": np.array([[1 << 40]]), "x": [0]})
    with pytest.raises(UsageError, match="'batch' is 1 in input 'ids' and 2 in 'x'"):
        bind(tensors, {"ids": [[1]], "x": [0, 1]})


def test_reading_and_listing_import_nothing_heavy(fresh_python):
    code = (
        "import sys, zoo_export, zoo_registry\n"
        "from zoo_export import load_bundle, export, verify, measure\n"
        "assert zoo_registry.formats.names() == ["
        "'litertlm', 'onnx', 'onnxruntime-genai', 'saved_model', 'tflite']\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'onnxruntime', 'ai_edge_litert', 'tf2onnx',\n"
        "         'pydantic', 'PIL', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert fresh_python(code).stdout.strip() == "[]"
    done = fresh_python(
        "import sys, zoo_export; print('numpy' in sys.modules, dir(zoo_export)[:2])"
    )
    assert done.stdout.strip() == "False ['Budget', 'BudgetError']"


def test_integers_refuse_nan_and_clip_what_is_too_large():
    held = Affine(0.5, 3, "int8")
    given = np.array([np.inf, -np.inf, 1e30, 0.25, -0.25, 0], np.float32)
    assert held.quantize(given).tolist() == [127, -128, 127, 4, 2, 3]
    message = (
        "An input holds NaN, and the file takes it as int8, which has no number for that. Give "
        "numbers in its place."
    )
    with pytest.raises(UsageError) as error:
        held.quantize(np.array([0, np.nan], np.float32))
    assert str(error.value) == message


def test_an_option_is_an_argument_of_export_and_of_the_command_line():
    names = {field.name for field in fields(ExportOptions)}
    arguments = inspect.signature(export).parameters
    assert {name for name in names if arguments[name].default is None} == names
    flags = {option.name for option in cli_exporting.export.params}
    assert set(cli_exporting._OPTIONS) == names <= flags
