"""Measuring a bundle: each artifact in a fresh process, in turns."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from zoo_export import bench, load_bundle
from zoo_export.benchmarking import report as reporting
from zoo_export.benchmarking.report import BenchmarkReport, Latency, Measurement
from zoo_registry import UsageError

# What a device lacks is not found by the processes that are measured either.
ABSENT = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, *place):
    return None if name.partition(".")[0] in {absent!r} else find(name, *place)
PathFinder.find_spec = staticmethod(find_spec)
"""
HEAVY = ["tensorflow", "keras", "onnx", "tf2onnx", "sklearn", "pydantic", "matplotlib", "rich"]


@pytest.fixture
def lacking(tmp_path, monkeypatch, fresh_python):
    """Run code where some modules are absent, in all processes that it starts too."""

    def run(code, *absent):
        (tmp_path / "sitecustomize.py").write_text(ABSENT.format(absent=list(absent)))
        return fresh_python(code, PYTHONPATH=str(tmp_path))

    return run


@pytest.mark.slow
def test_every_artifact_with_every_number_of_threads(exported):
    steps = []

    report = bench(
        exported,
        threads=(1, 2),
        runs=3,
        batch_size=4,
        on_step=lambda done, total, what: steps.append((done, total, what)),
    )

    assert [(row.format, row.threads) for row in report.rows] == [
        (name, count) for name in ("tflite", "onnx", "saved_model") for count in (1, 2)
    ]
    for row in report.rows:
        assert row.error is None
        assert row.bytes == exported.artifact(row.format).bytes
        assert row.latency.runs == 3
        assert 0 < row.latency.p50 <= row.latency.p90 <= row.latency.p99
        assert row.start_ms > row.load_ms > 0
        assert row.first_ms > 0
        assert row.per_second > 0
        assert 0 <= row.max_share <= 1e-5
        assert (row.batch, bool(row.batch_per_second)) == (
            (None, False) if row.format == "tflite" else (4, True)
        )
        assert (row.accuracy, row.keras_accuracy) == pytest.approx(
            (exported.artifact(row.format).verification.accuracy,) * 2
        )
        assert row.examples == 64
    peaks = {row.format: row.peak_mb for row in report.rows}
    # Neither of the small runtimes has TensorFlow beside it.
    assert peaks["tflite"] < peaks["saved_model"] / 2 > peaks["onnx"]
    assert report.machine.cores >= 1
    assert set(report.machine.versions) == {
        "kerazoo", "numpy", "ai-edge-litert", "onnxruntime", "tensorflow",
    }  # fmt: skip
    assert [done for done, _, _ in steps] == [*range(6 * 5), 6 * 5]
    assert {total for _, total, _ in steps} == {6 * 5}
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 7, 23])
def test_exactly_as_many_runs_as_are_asked_for(exported, runs):
    steps = []
    (row,) = bench(
        exported,
        only=["onnx"],
        runs=runs,
        max_seconds=600,
        on_step=lambda done, total, what: steps.append((done, total)),
    ).rows
    assert (row.error, row.latency.runs) == (None, runs)
    whole = min(10, runs) + 2
    assert steps == [(done, whole) for done in range(whole + 1)]


@pytest.mark.slow
def test_a_zip_is_called_by_its_name(exported, tmp_path):
    packed = exported.to_zip(tmp_path / "digits.zip")
    report = bench(packed, only=["onnx"], runs=1)
    assert (report.rows[0].error, report.bundle) == (None, str(packed))


@pytest.mark.slow
def test_given_data_are_counted_on(exported, digits):
    images, labels = digits
    wrong = (labels[:50] + np.arange(50) % 2) % 10  # half of these answers are wrong

    right = bench(exported, only=["onnx", "litert"], runs=5, data=({"image": images}, labels)).rows
    (half,) = bench(exported, only=["tflite"], runs=5, data=({"image": images[:50]}, wrong)).rows

    (uncounted,) = bench(
        exported, only=["tflite"], runs=5, data=({"image": images[:50]}, wrong / 10)
    ).rows

    expected = np.mean(exported.run({"image": images}, "onnx")["logits"].argmax(-1) == labels)
    assert [row.accuracy for row in right] == pytest.approx([expected] * 2)
    assert [row.examples for row in right] == [len(labels)] * 2
    assert half.accuracy < 0.6
    assert half.keras_accuracy is None
    assert (uncounted.accuracy, uncounted.latency.runs) == (None, 5)
    assert uncounted.error == (
        "accuracy cannot be measured: the targets are float64 of shape () for outputs of shapes "
        "{'logits': (10,)}; it needs class indices for 'logits'"
    )


@pytest.mark.slow
def test_what_is_not_installed_is_a_row_and_the_rest_needs_no_tensorflow(exported, lacking):
    code = f"""
import json, zoo_export
report = zoo_export.bench({str(exported.path)!r}, runs=5)
print(json.dumps(report.to_dict()))
"""
    done = lacking(code, *HEAVY, "onnxruntime")
    assert done.returncode == 0, done.stderr
    tflite, onnx, saved_model = json.loads(done.stdout)["rows"]
    assert tflite["error"] is None
    assert tflite["latency"]["runs"] == 5
    assert (onnx["latency"], onnx["bytes"]) == (None, exported.artifact("onnx").bytes)
    assert onnx["error"] == (
        "Format 'onnx' needs the package 'onnxruntime', which is not installed: "
        "pip install 'kerazoo-runtime[onnx]'"
    )
    assert saved_model["error"].endswith("pip install tensorflow")


@pytest.mark.slow
def test_a_process_that_dies_or_hangs_costs_its_own_row(bundle_copy, monkeypatch, tmp_path):
    (tmp_path / "ends.py").write_text(
        "import os, signal, time\n"
        "def crash(path, *, threads): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "def hang(path, *, threads): time.sleep(60)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "from dataclasses import replace\n"
        "import zoo_runtime.formats as formats\n"
        "table = dict(formats.FORMATS)\n"
        "table['tflite'] = replace(table['tflite'], runtime='ends:crash')\n"
        "table['saved_model'] = replace(table['saved_model'], runtime='ends:hang')\n"
        "formats.FORMATS = table\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    tflite, onnx, hung = bench(bundle_copy, runs=5, time_limit=8).rows

    assert re.match(r"its process was killed by SIGSEGV", tflite.error)
    assert (onnx.error, onnx.latency.runs) == (None, 5)
    assert hung.error == "its process took longer than 8 s"


def test_what_cannot_be_measured_is_refused(exported, monkeypatch):
    bundle = load_bundle(exported.path)
    for options, message in [
        ({"threads": (0,)}, "threads=0: use 1 to 1024, or leave it out."),
        ({"threads": (1, 1025)}, "threads=1025: use 1 to 1024, or leave it out."),
        ({"threads": ()}, "There is no number of threads to measure with: name at least one."),
        ({"runs": 0}, "runs=0: use 1 or more."),
        (
            {"only": ["tflite:int8"]},
            f"Bundle '{bundle.path}' has no format 'tflite:int8'. Did you mean 'tflite'? "
            "It has: tflite, onnx, saved_model.",
        ),
        (
            {"data": ({"image": np.zeros((3, 8, 8, 1))}, np.zeros(2, int))},
            "There are 2 answers for 3 examples.",
        ),
    ]:
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            bench(bundle, **options)
    monkeypatch.setattr("zoo_export.benchmarking.turn.free_memory", lambda: 1000)
    (row,) = bench(bundle, only=["onnx"]).rows
    assert row.error == "it needs about 0.0 GB of memory and 0.0 GB is free"


@pytest.fixture
def report():
    """Figures that are as crowded as those of a real bundle."""
    names = ["tflite", "tflite:float16", "tflite:dynamic-int8", "tflite:int8", "onnx:int8", "onnx"]
    rows = [
        Measurement(
            format=name,
            threads=threads,
            bytes=size,
            latency=Latency.of([median, median * 1.1]),
            max_share=10.0**-index,
        )
        for threads in (1, 2)
        for index, (name, size, median) in enumerate(
            zip(
                names,
                (343_000, 174_000, 92_900, 93_300, 97_000, 344_000),
                (0.019, 0.021, 0.018, 0.018, 0.019, 0.0191),
                strict=True,
            )
        )
    ]
    from zoo_export.benchmarking.report import look

    return BenchmarkReport(name="digits", bundle="b", rows=tuple(rows), machine=look([], 0.0))


def test_names_in_the_chart_cover_no_point_and_no_other_name(report, tmp_path, monkeypatch):
    placed, place = [], reporting.place_labels

    def keep(axes, rows):
        texts = place(axes, rows)
        points = [axes.transData.transform((r.bytes / 1e6, r.latency.p50)) for r in rows]
        boxes = [Text.get_window_extent(text) for text in texts]  # without the line to its point
        placed.append((boxes, points, axes.get_window_extent()))
        return texts

    monkeypatch.setattr(reporting, "place_labels", keep)
    for suffix in reporting.SUFFIXES:
        reporting.draw(report, tmp_path / f"chart{suffix}")

    assert len(placed) == 4  # a panel for each number of threads, twice
    for boxes, points, frame in placed:
        assert len(boxes) == 6
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:index])
            assert not any(box.contains(*point) for point in points)
            assert frame.x0 < box.x0 < box.x1 < frame.x1
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "chart.svg").read_text()


def test_a_chart_of_nothing_or_of_another_kind_is_refused(report, tmp_path):
    with pytest.raises(UsageError, match=r"its name must end in \.svg or \.png\.$"):
        reporting.draw(report, tmp_path / "chart.pdf")
    with pytest.raises(UsageError, match=r"^There is no folder '.*/no' for the chart\.$"):
        reporting.draw(report, tmp_path / "no" / "chart.png")
    empty = replace(report, rows=(Measurement(format="onnx", threads=1, bytes=1, error="died"),))
    with pytest.raises(UsageError, match="Nothing of 'b' was measured: there is nothing to draw"):
        reporting.draw(empty, tmp_path / "chart.png")
