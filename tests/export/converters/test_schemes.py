"""Quantized files: they hold the numbers they claim, they agree with Keras, or they are refused."""

import sys

import keras
import numpy as np
import pytest
from export_runtimes import by_keras, conversion_of
from keras import layers

from zoo_export import ExportError, export, verify
from zoo_export.converters.litert.schemes import int16x8
from zoo_export.converters.mixed_precision import by_layer, room_for_float
from zoo_export.reading.axes import input_tensors
from zoo_export.reading.samples import drawn_rows
from zoo_export.reading.signature import signature_of
from zoo_models.build import get_model
from zoo_registry import UsageError
from zoo_runtime.formats import FORMATS
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_tflite

# One worker makes the bundle of all schemes.
pytestmark = pytest.mark.xdist_group("schemes")

# Which layers stay in float is tested on a model that needs it, with the accuracy budget; what
# trains on the device, and what takes integers, with those.
SCHEMES = {
    f"{row.name}:{scheme.name}": scheme
    for row in FORMATS.values()
    for scheme in row.schemes
    if scheme.name not in {"int8-mixed", "int8-io", "train"} and not scheme.tasks
}
# Bytes of a file whose weights dominate, as a share of the float32 file.
MOST_BYTES = {"float16": 0.52, "int8": 0.30, "int4": 0.16}


@pytest.fixture(scope="module")
def wide(digits):
    """A network that knows the digits and whose file is nearly all weights."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(32, 3, activation="relu", name="conv")(x)
    x = layers.Dense(128, activation="relu", name="dense")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(10, name="logits")(x), name="wide")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits, epochs=4, verbose=0)
    return model


@pytest.fixture(scope="module")
def bundle(make_run, wide, tmp_path_factory):
    """A run in every scheme of every format."""
    return export(
        make_run(wide),
        to=["tflite", "onnx", *SCHEMES],
        out=tmp_path_factory.mktemp("bundles") / "wide",
    )


@pytest.fixture
def typical():
    """Draw 16 rows that a model without a run is calibrated with."""

    def draw(model, **sizes):
        tensors = input_tensors(signature_of(model))
        parts = [drawn_rows(signature_of(model), tensors, sizes, seed=seed) for seed in range(4)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return draw


# -- every scheme on a run ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_of_a_run(bundle, name):
    scheme = SCHEMES[name]
    artifact, plain = bundle.artifact(name), bundle.artifact(name.partition(":")[0])
    weights, figures = artifact.facts["weights"], artifact.verification

    assert artifact.path == f"digits-net.{scheme.name}.{name.partition(':')[0]}"
    assert artifact.facts["scheme"] == scheme.name
    assert weights[scheme.dtype] / sum(weights.values()) > 0.9
    assert sum(weights.values()) < artifact.bytes == (bundle.path / artifact.path).stat().st_size
    assert artifact.bytes < MOST_BYTES[scheme.dtype] * plain.bytes
    assert artifact.facts.get("calibration", {}).get("rows") == (128 if scheme.calibrated else None)
    assert figures.examples == 64
    assert figures.top1_agreement >= scheme.min_agreement
    assert figures.keras_accuracy == plain.verification.accuracy > 0.9
    assert abs(figures.accuracy - figures.keras_accuracy) <= 1 - figures.top1_agreement
    # Another file than the float one, and not by much.
    assert plain.verification.max_abs_diff < figures.max_abs_diff
    assert all(row.ok for row in figures.comparisons)
    # Inputs and outputs stay in float: a quantized file takes the place of the float one.
    assert (artifact.inputs, artifact.outputs) == (plain.inputs, plain.outputs)


@pytest.mark.slow
def test_all_schemes_are_proved_again_from_the_bundle(bundle):
    rows = verify(bundle.path)
    assert [row.format for row in rows] == ["tflite", "onnx", *SCHEMES]
    assert [row.tolerance for row in rows[2:]] == [row.tolerance for row in SCHEMES.values()]
    assert all(row.ok for row in rows)
    image = np.load(bundle.path / "assets/samples.npz")["0/x/image"]
    answers = {name: int(bundle.run({"image": image}, name)["logits"].argmax()) for name in SCHEMES}
    assert len(set(answers.values())) == 1, answers
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert all(f"`{artifact.path}`" in card for artifact in bundle.artifacts)
    for name in SCHEMES:
        times = bundle.artifact(name).facts["times_float"]
        assert times > 0
        costs = ": on this processor the scheme saves bytes, not time" if times > 1.1 else ""
        assert f"One row takes {times:.2f} times as long as in the float file{costs}." in card
    assert "times_float" not in bundle.artifact("onnx").facts


@pytest.mark.slow
def test_integer_files_compute_in_integers(bundle):
    operators = {row.format: row.facts["operators"] for row in bundle.artifacts}
    # Only the input is quantized and the logits are dequantized; all between is integers.
    assert operators["tflite:int8"] == {**operators["tflite"], "DEQUANTIZE": 1, "QUANTIZE": 1}
    assert operators["onnx:int8"]["QuantizeLinear"] >= 3
    assert operators["onnx:dynamic-int8"]["MatMulInteger"] == 2
    assert "QuantizeLinear" not in operators["onnx:float16"]


@pytest.mark.slow
def test_equal_constants_of_onnx_files_are_stored_once(bundle):
    import onnx

    graph = onnx.load(bundle.path / bundle.artifact("onnx:int8").path).graph
    held = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer]
    assert len(held) == len(set(held))


@pytest.mark.slow
def test_equal_zero_points_of_litert_files_are_stored_once(tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    image = keras.Input((8, 8, 1), name="image")
    # Positive weights: every value follows the brightness of the image.
    uniform = keras.initializers.RandomUniform(0.0, 0.1, seed=0)
    x = layers.Conv2D(64, 3, activation="relu", kernel_initializer=uniform)(image)
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=uniform)(x)
    x = layers.Conv2D(64, 1, kernel_initializer=uniform)(x)
    x = layers.Dense(10, kernel_initializer=uniform, name="values")(
        layers.GlobalAveragePooling2D()(x)
    )
    model = keras.Model(image, x, name="net")
    # Of different brightness: an average over noise is nearly one number.
    light = np.linspace(0.1, 1, 16, dtype="float32").reshape(-1, 1, 1, 1)
    rows = light * np.random.default_rng(0).random((16, 8, 8, 1), "float32")
    given = {"calibration": {"image": rows}, "samples": {"image": rows}}
    bundle = export(model, to="tflite:int8", out=tmp_path / "b", **given)

    content = (bundle.path / bundle.artifacts[0].path).read_bytes()
    net = schema.Model.GetRootAs(content, 0)
    graph = net.Subgraphs(0)
    zeros = {}
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        affine = tensor.Quantization()
        if affine.ZeroPointLength():
            place = affine._tab.Vector(affine._tab.Offset(10))
            zeros.setdefault(affine.ZeroPointAsNumpy().tobytes(), set()).add(place)
    assert bytes(64 * 8) in zeros
    assert all(len(places) == 1 for places in zeros.values())
    # Weights begin where the schema says.
    starts = [net.Buffers(i)._tab for i in range(net.BuffersLength())]
    assert all(tab.Vector(tab.Offset(4)) % 16 == 0 for tab in starts if tab.Offset(4))


# -- other models -------------------------------------------------------------------------------


def _export(model, tmp_path, to, **options):
    bundle = export(model, to=to, out=tmp_path / "bundle", **options)
    assert all(row.ok for row in verify(bundle.path))
    return {artifact.format: artifact for artifact in bundle.artifacts}


@pytest.mark.slow
def test_a_bert_with_masks(typical, tmp_path):
    model = get_model("bert-tiny", vocab_size=500, hidden_dim=64, ff_dim=128, max_length=16)
    to = ["tflite:int8", "tflite:dynamic-int8", "onnx:int8", "onnx:dynamic-int8"]

    found = _export(
        model, tmp_path, to, calibration=typical(model, sequence=12), sequence_length=12
    )

    for artifact in found.values():
        assert {tensor.dtype for tensor in artifact.inputs} == {"int32"}
        # The table of embeddings, half of all weights, too.
        assert sum(artifact.facts["weights"].values()) < 0.3 * 4 * model.count_params()
    assert found["onnx:int8"].inputs[0].shape == ("batch", "sequence")


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_loop_is_unrolled_to_be_calibrated(cell, typical, tmp_path):
    # Calibrating the loop itself kills the process.
    model = get_model("rnn", input_shape=(20, 4), hidden_dim=16, cell=cell)

    found = _export(model, tmp_path, ["tflite", "tflite:int8"], calibration=typical(model))

    kinds = {n: [*row.facts["rnn"].values()] for n, row in found.items()}
    assert kinds["tflite"] == [{"strategy": "loop", "steps": 20}] * 2
    assert kinds["tflite:int8"] == [{"strategy": "unroll", "steps": 20}] * 2
    assert "WHILE" in found["tflite"].facts["operators"]
    assert "WHILE" not in found["tflite:int8"].facts["operators"]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrent_layer_is_stored_in_int8(cell, typical, tmp_path):
    # Standard ONNX computes it in float.
    keras.utils.set_random_seed(2)
    model = get_model("lstm-classifier", cell=cell, vocab_size=100, hidden_dim=128)
    to = ["onnx", "onnx:dynamic-int8", "onnx:int8", "onnx:int8-mixed"]

    found = _export(
        model, tmp_path, to, calibration=typical(model, sequence=12), sequence_length=12
    )

    for name in to[1:3]:
        assert found[name].bytes < 0.29 * found["onnx"].bytes
    for artifact in found.values():
        assert artifact.facts["operators"][cell.upper()] == 2
    assert found["onnx:int8-mixed"].facts["weights"]["int8"] > 0


@pytest.mark.slow
def test_a_tied_embedding_is_stored_once(typical, tmp_path):
    model = get_model("gpt-nano", vocab_size=500, max_length=16)
    to = ["tflite", "tflite:dynamic-int8", "onnx", "onnx:int8"]

    found = _export(
        model, tmp_path, to, calibration=typical(model, sequence=12), sequence_length=12
    )

    for name, artifact in found.items():
        # A second table of its size would make this 1.2, or in 8 bits 0.35.
        most = 1.05 if artifact.format in {"tflite", "onnx"} else 0.3
        assert sum(artifact.facts["weights"].values()) < most * 4 * model.count_params(), name


def test_what_a_recurrent_layer_holds_stays_together():
    steps = keras.Input((4, 3), name="steps")
    x = layers.Bidirectional(layers.LSTM(5, name="lstm"), name="both")(steps)
    model = keras.Model(steps, layers.Dense(2, name="logits")(x), name="net")
    names = ("both/forward_lstm", "both/forward_lstm/lstm_cell", "both/backward_lstm", "logits")

    found = by_layer(model, [(f"{name}/MatMul", [f"net/{name}/MatMul"]) for name in names])

    assert found == {
        "both/forward_lstm": ["both/forward_lstm/MatMul", "both/forward_lstm/lstm_cell/MatMul"],
        "both/backward_lstm": ["both/backward_lstm/MatMul"],
        "logits": ["logits/MatMul"],
    }
    sizes, _ = room_for_float(model, found)
    both_kernels = (3 + 5) * 4 * 5
    assert sizes == {
        "both/forward_lstm": both_kernels,
        "both/backward_lstm": both_kernels,
        "logits": 10 * 2,
    }


@pytest.mark.slow
def test_where_all_layers_cost_the_same_most_bytes_stay_in_int8(typical, tmp_path):
    # 90 % of the error of drawn weights is in nearly all layers.
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3), name="image")
    x = inputs
    for at in range(6):
        x = layers.Conv2D(16, 3, padding="same", activation="relu", name=f"conv_{at}")(x)
    x = layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(inputs, x, name="drawn")
    to = ["tflite:int8-mixed", "onnx:int8-mixed"]

    found = _export(model, tmp_path, to, calibration=typical(model))

    card = (tmp_path / "bundle/README.md").read_text(encoding="utf-8")
    for artifact in found.values():
        weights, kept = artifact.facts["weights"], artifact.facts["float_layers"]
        assert weights["int8"] > weights["float32"] > 0
        assert kept[0] in list(artifact.facts["layer_errors"])[:6]
        assert f"Layers that stayed in float32: {kept[0]}" in card


# -- what is refused ----------------------------------------------------------------------------


def _refusal(model, tmp_path, **options):
    with pytest.raises((UsageError, ExportError)) as caught:
        export(model, out=tmp_path / "out" / "bundle", name="small", **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    return str(caught.value)


ROWS = np.random.default_rng(0).uniform(-1, 1, (16, 4)).astype("float32")
REFUSED_CALIBRATION = {
    "none": (
        None,
        "tflite:int8 measures the ranges of activations on real inputs, and 'small' has none: "
        "export a run that this version trained, or give typical inputs "
        "(calibration={name: array}).",
    ),
    "too few": ({"features": ROWS[:7]}, "Calibration needs at least 8 rows, and got 7."),
    "NaN": (
        {"features": np.where(ROWS > 0.9, np.nan, ROWS)},
        "The calibration rows of input 'features' hold NaN or infinite values.",
    ),
    "another scale": (
        {"features": ROWS * 255},
        "The calibration rows of input 'features' reach 254, the samples 0.995: preprocess both "
        "in the same way.",
    ),
    "another name": (
        {"feature": ROWS},
        "There is no input 'feature'. Did you mean 'features'? Inputs: features.",
    ),
    "another shape": (
        {"features": ROWS[:, :3]},
        "Input features: float32[batch, 4] got an array of shape (16, 3).",
    ),
    "another kind": (
        {"features": ROWS.astype("complex64")},
        "'features' takes float32 and got complex64: convert it first.",
    ),
}


@pytest.mark.parametrize("what", REFUSED_CALIBRATION)
def test_calibration_that_would_mislead_is_refused(what, dense, tmp_path):
    calibration, message = REFUSED_CALIBRATION[what]
    options = {"to": ["tflite:int8"], "samples": {"features": ROWS}, "calibration": calibration}
    assert _refusal(dense(), tmp_path, **options) == message


def test_a_scheme_that_a_format_has_not(dense, tmp_path):
    assert _refusal(dense(), tmp_path, to=["onnx:dynamic-int9"]) == (
        "Format 'onnx' has no scheme 'dynamic-int9'. Did you mean 'dynamic-int8'? "
        "It has: float32, float16, dynamic-int8, int8, int8-mixed, int8-blocks, int4-blocks."
    )
    assert _refusal(dense(), tmp_path, to=["saved_model:int8"]) == (
        "Format 'saved_model' has no scheme 'int8'. It has: float32."
    )
    assert _refusal(dense(), tmp_path, to=["tflite:int8-blocks"]) == (
        "Format 'tflite' has no scheme 'int8-blocks': LiteRT has no product with int8 in blocks. "
        "Take tflite:dynamic-int8, which has a scale for each channel."
    )
    assert _refusal(dense(), tmp_path, to=["onnx:int4-blocks"]) == (
        "onnx:int4-blocks is for models that generate texts (causal-lm, seq2seq), which read all "
        "weights for each token; this one has none. Use onnx:dynamic-int8."
    )


@pytest.mark.slow
def test_int16_does_not_cut_what_calibration_has_not_seen(dense, tmp_path):
    keras.utils.set_random_seed(0)
    model = dense(layers.Dense(16, activation="relu"))
    rows = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    conversion = conversion_of(
        model, {"features": rows}, tmp_path / "m.tflite", batch=1, calibration={"features": rows}
    )
    int16x8(conversion)
    run = Runner(open_tflite(conversion.path), conversion.inputs, conversion.outputs).run
    answers = by_keras(model, {"features": 1.9 * rows})
    for name, given in run({"features": 1.9 * rows}).items():
        assert np.abs(given - answers[name]).max() < 0.02 * np.abs(answers[name]).max()


@pytest.mark.slow
def test_int4_without_its_package_says_what_to_install(dense, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    (blocked / "litert_quantizer").mkdir(parents=True)
    (blocked / "litert_quantizer/__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(str(blocked))

    with pytest.raises(ExportError) as caught:
        export(dense(), to=["tflite:int4-weights"], out=tmp_path / "out", name="small")

    assert str(caught.value) == (
        "Model 'small' cannot be exported to tflite:int4-weights: it needs "
        "litert-quantizer: pip install 'kerazoo[int4]'.\nNothing was written."
    )
    assert not (tmp_path / "out").exists()
    sys.modules.pop("litert_quantizer", None)
