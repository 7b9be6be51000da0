"""LiteRT files for several batches, or any, in one set of weights."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from zoo_export import BundleError, export, load_bundle, verify
from zoo_registry import UsageError
from zoo_runtime.manifest import seal
from zoo_runtime.tensors import Tensor, pieces

pytestmark = pytest.mark.xdist_group("batch-sizes")
FORMATS = ["tflite", "tflite:dynamic-int8", "tflite:int8"]
ROWS = np.random.default_rng(0).normal(size=(64, 12, 12, 1)).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1), name="image")
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = layers.Dense(512, activation="relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="net")


def exported_with(model, folder, to=FORMATS, **options):
    arrays = {"image": ROWS}
    return export(model, to=to, out=folder, samples=arrays, calibration=arrays, **options)


@pytest.fixture(scope="module")
def one(model, tmp_path_factory):
    return exported_with(model, tmp_path_factory.mktemp("one") / "net")


@pytest.fixture(scope="module")
def two(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "net"
    return exported_with(model, folder, [*FORMATS, "onnx"], batch_sizes=[8, 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_each_signature_is_that_model_and_the_weights_are_there_once(model, one, two, name):
    from ai_edge_litert.interpreter import Interpreter

    artifact = two.artifact(name)
    assert artifact.batch_sizes == (1, 8)
    assert artifact.bytes < 1.03 * one.artifact(name).bytes
    assert {1, 3, 8} <= set(artifact.verification.batches)
    weights = artifact.facts["weights"]
    for dtype, size in one.artifact(name).facts["weights"].items():
        assert weights[dtype] <= size + 100  # shapes, which are constants too

    interpreter = Interpreter(model_path=str(two.path / artifact.path))
    assert sorted(interpreter.get_signature_list()) == ["batch_8", "serving_default"]
    details = interpreter.get_signature_runner("batch_8").get_input_details()
    assert details["image"]["shape"].tolist() == [8, 12, 12, 1]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 8, 19])
def test_any_number_of_rows_runs(model, two, rows):
    expected = np.asarray(model(ROWS[:rows]))
    for artifact in two.artifacts:
        outputs = two.run({"image": ROWS[:rows]}, artifact.format)
        allowed = artifact.verification.tolerance * np.abs(expected).max()
        np.testing.assert_allclose(outputs["logits"], expected, atol=allowed)


@pytest.mark.slow
def test_each_batch_runs_in_its_own_signature(two):
    runner = two.runner("tflite")
    ran = []
    plain = runner.session.run
    runner.session.run = lambda arrays: ran.append(len(arrays["image"])) or plain(arrays)

    runner.run({"image": ROWS[:19]})

    assert ran == [8, 8, 1, 1, 1]
    assert list(runner.session._by_batch) == [8]


@pytest.mark.slow
def test_the_bundle_says_so_and_proves_it_again(two):
    card = (two.path / "README.md").read_text()
    assert "It has signatures for batches of 1 and 8: the runtime below puts others" in card
    assert "Its signature batch_8 takes 8 rows at once (XNNPACK: 4 of 4 nodes)." in card

    results = verify(load_bundle(two.path))

    assert [row.batches for row in results] == [(1, 3, 8)] * len(two.artifacts)


@pytest.mark.slow
def test_a_single_larger_batch(model, tmp_path):
    bundle = exported_with(model, tmp_path / "net", ["tflite"], batch_sizes=[4])
    [artifact] = bundle.artifacts
    assert artifact.inputs == (Tensor("image", "float32", (4, 12, 12, 1)),)
    assert artifact.batch_sizes == (4,)
    outputs = bundle.run({"image": ROWS[:5]})
    np.testing.assert_allclose(outputs["logits"], np.asarray(model(ROWS[:5])), atol=1e-5)


@pytest.mark.slow
def test_any_batch_and_what_it_costs(model, tmp_path):
    bundle = exported_with(model, tmp_path / "net", ["tflite", "onnx"], batch_sizes="dynamic")

    artifact = bundle.artifacts[0]
    assert artifact.inputs == (Tensor("image", "float32", ("batch", 12, 12, 1)),)
    assert artifact.batch_sizes == ()
    # XNNPACK leaves what turns the batch, which it does not know, into shapes.
    share, cost = artifact.facts["xnnpack"], artifact.facts["dynamic_batch"]
    assert {"SHAPE", "PACK", "RESHAPE"} <= set(share["left"])
    assert cost["static_xnnpack"]["left"] == {}
    assert cost["times"] == pytest.approx(cost["ms"] / cost["static_ms"], abs=0.01)
    assert cost["ms"] > 0
    assert "dynamic_batch" not in bundle.artifact("onnx").facts
    card = (bundle.path / "README.md").read_text()
    assert f"It takes any batch: one row took {cost['times']:.2f} times as long" in card
    # The file that it is compared with is gone.
    assert [path.name for path in bundle.path.rglob("*.tflite")] == ["net.tflite"]
    for rows in (5, 1, 40):
        outputs = bundle.run({"image": ROWS[:rows]}, "tflite")
        np.testing.assert_allclose(outputs["logits"], np.asarray(model(ROWS[:rows])), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([0], r"has impossible batches: \(0,\)"),
        ([1, 2**40], "has an impossible tensor: image: float32"),
    ],
)
def test_a_manifest_of_impossible_batches(one, tmp_path, sizes, message):
    folder = tmp_path / "bundle"
    shutil.copytree(one.path, folder)
    data = json.loads((folder / "manifest.json").read_text())
    data["artifacts"][0]["batch_sizes"] = sizes
    (folder / "manifest.json").write_text(json.dumps(seal(data)))

    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("given", [[], [0, 8], [8, 8], [1.5], [True], "1,x"])
def test_numbers_that_are_no_batches(model, given):
    with pytest.raises(UsageError) as caught:
        export(model, to=["tflite"], batch_sizes=given)
    assert str(caught.value) == (
        f"batch_sizes={given!r}: give different whole numbers from 1, such as [1, 8], or 'dynamic'."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"to": ["onnx", "saved_model"]},
            "batch_sizes=[1, 8] is for tflite, whose batch is fixed; onnx, saved_model takes any "
            "batch. Leave it out.",
        ),
        (
            {"to": ["tflite", "tflite:int16x8"]},
            "batch_sizes=[1, 8]: tflite:int16x8 is made for batch 1 alone. Leave it out, or export "
            "float32 or one of: float16, dynamic-int8, int8, int8-io, int4-weights, int4-blocks.",
        ),
        (
            {"target": "microcontroller"},
            "batch_sizes=[1, 8]: a file for a microcontroller takes one row at a time. Leave it "
            "out, or the target.",
        ),
    ],
)
def test_what_has_no_use_for_batches(model, options, message):
    with pytest.raises(UsageError) as caught:
        export(model, batch_sizes=[1, 8], **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("sizes", [(1,), (1, 8), (3,), (5, 8), (1, 4, 32)])
def test_pieces_hold_all_rows_and_cost_no_more_than_any_single_batch(sizes):
    for rows in range(1, 100):
        found = pieces(rows, sizes)
        cost = sum(found) + len(found)
        assert rows <= sum(found) < rows + max(sizes)
        assert all(cost <= -(-rows // size) * (size + 1) for size in sizes)
    assert all(pieces(size, sizes) == (size,) for size in sizes)
