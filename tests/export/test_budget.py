"""The smallest artifact that keeps a budget, the report of the others, and refusal."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo_export import Budget, BudgetError, export_within, verify
from zoo_export.budget import BudgetReport, Candidate, candidates
from zoo_registry import UsageError


@pytest.fixture(scope="module")
def uneven(trained):
    """The network that knows the digits, but for one channel a thousand times the others.

    The next layer takes that back, so that nothing changes in float; in int8 one range for all
    channels leaves nothing of the others.
    """
    scale = np.array([1000] + [1] * 7, "float32")
    inputs = keras.Input((8, 8, 1), name="image")
    x = trained.layers[2](trained.layers[1](inputs))
    for name, factors in (("spread", scale), ("gather", 1 / scale)):
        layer = layers.DepthwiseConv2D(1, use_bias=False, name=name)
        x = layer(x)
        layer.set_weights([factors.reshape(1, 1, 8, 1)])
    outputs = trained.get_layer("logits")(layers.Flatten()(x))
    return keras.Model(inputs, outputs, name="uneven")


@pytest.mark.slow
def test_the_smallest_that_keeps_the_budget(make_run, tmp_path):
    out = tmp_path / "bundle"
    budget = Budget(max_drop=0.02, max_mb=0.1, max_ms=1000)
    to = ["onnx:float16", "tflite:dynamic-int8"]

    bundle, report = export_within(make_run(examples=300), budget, to=to, out=out)

    sizes = {row.format: row.bytes for row in report.candidates}
    assert list(sizes) == ["tflite:dynamic-int8", "onnx:float16"]
    assert sizes["tflite:dynamic-int8"] < sizes["onnx:float16"]
    assert [artifact.format for artifact in bundle.artifacts] == ["tflite:dynamic-int8"]
    assert bundle.artifacts[0].bytes == sizes[report.kept]
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "assets", "manifest.json", "digits-net.dynamic-int8.tflite")
    }
    assert all(row.ok for row in verify(out))
    assert report.examples == 300
    for row in report.candidates:
        assert row.drop == pytest.approx(report.keras_accuracy - row.accuracy)
        assert row.ms > 0
    stored = bundle.manifest.budget
    assert stored["kept"] == "tflite:dynamic-int8"
    assert stored["budget"] == {"max_drop": 0.02, "max_mb": 0.1, "max_ms": 1000}
    assert [row["format"] for row in stored["candidates"]] == list(sizes)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.slow
def test_where_int8_loses_too_much_the_worst_layers_stay_in_float(make_run, uneven, tmp_path):
    run = make_run(uneven, examples=300)

    bundle, report = export_within(
        run, Budget(max_drop=0.01), to=["tflite:int8", "onnx:int8"], out=tmp_path / "bundle"
    )

    assert set(report.failures) == {"tflite:int8", "onnx:int8"}
    assert {row.format for row in report.candidates} == {"tflite:int8-mixed", "onnx:int8-mixed"}
    assert report.kept in {"tflite:int8-mixed", "onnx:int8-mixed"}
    for errors in report.layer_errors.values():
        assert {"spread", "gather", "conv", "logits"} <= set(errors)
        assert set(list(errors)[:2]) == {"spread", "gather"}
        assert errors["spread"] > 10 * errors["logits"]
    facts = bundle.artifacts[0].facts
    assert set(facts["float_layers"]) == {"spread", "gather"}
    assert facts["weights"]["int8"] > 0.8 * sum(facts["weights"].values())
    assert bundle.manifest.budget["layer_errors"] == report.layer_errors
    assert "Cost of each layer alone in int8 (" in str(report)


@pytest.mark.slow
def test_a_budget_that_nothing_keeps_leaves_nothing(make_run, tmp_path):
    with pytest.raises(BudgetError) as caught:
        export_within(
            make_run(), Budget(max_drop=0, max_mb=0.001), to=["onnx:float16"], out=tmp_path / "b"
        )
    assert list(tmp_path.iterdir()) == []
    row = caught.value.report.candidates[0]
    first, header, *rest = str(caught.value).splitlines()
    assert first == "No artifact of 'digits-net' keeps the budget. Nothing was written."
    assert header.startswith("| FORMAT       | SIZE kB | LATENCY ms | ACCURACY |")
    assert f"MB {row.bytes / 1e6:.3g} > 0.001" in rest[1]


def test_a_run_without_classes_has_no_accuracy(make_run, tmp_path):
    run = make_run()
    with np.load(run / "examples.npz") as stored:
        np.savez(run / "examples.npz", **{"x/image": stored["x/image"], "y": np.zeros((64, 3))})
    with pytest.raises(UsageError) as caught:
        export_within(run, Budget(max_drop=0.01), out=tmp_path / "b")
    assert str(caught.value) == (
        f"Run '{run}' has no accuracy to keep: a budget needs logits, and the right class of "
        "each held-out example."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_drop": 5}, "max_drop=5 is not a fraction from 0 to 1: 0.005 is 0.5 %."),
        ({"max_drop": float("nan")}, "max_drop=nan is not a fraction from 0 to 1: 0.005 is 0.5 %."),
        ({"max_drop": 0.01, "max_mb": 0}, "max_mb=0 must be above 0."),
        ({"max_drop": 0.01, "max_ms": -2}, "max_ms=-2 must be above 0."),
    ],
)
def test_a_budget_that_makes_no_sense(arguments, message):
    with pytest.raises(UsageError) as caught:
        Budget(**arguments)
    assert str(caught.value) == message


def test_a_report_says_what_each_has_too_much_of_and_what_the_examples_can_show():
    small = Candidate(format="tflite:int8", bytes=4000, ms=3.0, accuracy=0.9, drop=0.02)
    large = Candidate(format="tflite", bytes=16_000, ms=1.0, accuracy=0.92, drop=0.0)
    report = BudgetReport(
        budget=Budget(max_drop=0.005, max_ms=2),
        examples=256,
        keras_accuracy=0.92,
        candidates=(small, large),
        failures={"onnx": "it broke"},
        layer_errors={"tflite:int8-mixed": {"conv": 0.25, "logits": 0.001}},
        kept="tflite",
    )
    assert str(report) == (
        "| FORMAT      | SIZE kB | LATENCY ms | ACCURACY |  DROP | RESULT                       |\n"
        "| :---------- | ------: | ---------: | -------: | ----: | :--------------------------- |\n"
        "| tflite:int8 |     4.0 |      3.000 |   0.9000 | 2.00% | drop 2.00% > 0.50%, ms 3 > 2 |\n"
        "| tflite      |    16.0 |      1.000 |   0.9200 | 0.00% | kept                         |\n"
        "| onnx        |         |            |          |       | it broke                     |\n"
        "Drops are against Keras' 0.9200 on 256 held-out examples: one answer is 0.39%, and a "
        "true drop of 1.16% would be seen 19 times out of 20.\n"
        "A drop of 0.50% is finer than they can show: that takes 598 examples.\n"
        "Cost of each layer alone in int8 (tflite:int8-mixed): conv 25.00%, logits 0.10%."
    )


def test_the_mixed_scheme_waits_until_int8_has_failed():
    names = [row.name for row in candidates(["tflite"])]
    assert names[:2] == ["tflite", "tflite:float16"]
    assert "tflite:int8" in names
    assert "tflite:int8-mixed" not in names
