"""From the maps of a detector to boxes, and to those of an image of any size."""

from dataclasses import replace

import numpy as np
from click.testing import CliRunner
from export_small import convert, runner
from PIL import Image

from zoo.cli.main import cli
from zoo.support_matrix import Case
from zoo.support_measuring import build
from zoo_export import export
from zoo_models.build import get_model
from zoo_registry import models
from zoo_runtime.answers.boxes import find_boxes
from zoo_runtime.answers.prediction import answer
from zoo_runtime.contents import check_agreement
from zoo_runtime.files import list_files
from zoo_runtime.manifest import Manifest
from zoo_runtime.preprocess.pixels import size_of


def maps(heatmap, *, size, offset=0.5):
    flat = (*heatmap.shape[:2], 2)
    return {"heatmap": heatmap, "size": np.full(flat, size), "offset": np.full(flat, offset)}


def test_peaks_are_those_of_a_3x3_maximum():
    heatmap = np.random.default_rng(0).normal(size=(9, 7, 3))
    found = find_boxes(maps(heatmap, size=1.0), most=500)
    wanted = [
        (float(heatmap[row, column, label]), row, column, label)
        for label in range(3)
        for row in range(9)
        for column in range(7)
        if heatmap[row, column, label]
        == heatmap[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, label].max()
    ]
    wanted.sort(reverse=True)
    np.testing.assert_allclose(
        found.scores, [1 / (1 + np.exp(-row[0])) for row in wanted], rtol=1e-5
    )
    np.testing.assert_array_equal(found.classes, [row[3] for row in wanted])
    middles = (found.corners[:, :2] + found.corners[:, 2:]) / 2 * [7, 9] - 0.5
    np.testing.assert_allclose(middles, [(row[2], row[1]) for row in wanted], atol=1e-6)
    assert len(find_boxes(maps(heatmap, size=1.0), most=4).scores) == 4


def test_equal_logits_side_by_side_are_one_thing():
    heatmap = np.full((6, 6, 1), -5.0)
    heatmap[1:3, 1:4] = 2.0  # as int8 leaves them
    heatmap[5, 5] = 1.0
    found = find_boxes(maps(heatmap, size=1.0, offset=0.0), most=2)
    np.testing.assert_allclose(found.corners[:, :2] * 6, [[0.5, 0.5], [4.5, 4.5]])


IMAGE = ({"step": "image", "size": [32, 64], "channels": 3},)


def test_a_detector_of_one_class_is_exported(tmp_path):
    """Its one map of heat is that of its one label; of one logit there are two, no and yes."""
    reduced = models.get("centernet-micro").reduced
    model = get_model("centernet-micro", **{**reduced, "num_classes": 1})
    about = {"task": "object-detection", "labels": ("square",)}
    artifact = convert(model, tmp_path, ["tflite"], **about)["tflite"]
    signature = {"inputs": artifact.inputs, "outputs": artifact.outputs}
    files = {artifact.path: list_files(tmp_path)[artifact.path]}
    manifest = Manifest(name="m", files=files, artifacts=(artifact,), **signature, **about)
    check_agreement(tmp_path, manifest)
    image = np.random.default_rng(0).uniform(0, 255, (1, *artifact.inputs[0].shape[1:]))
    outputs = runner(tmp_path, artifact).run({"image": image.astype("float32")})
    raws = [image[0].astype("uint8")]
    (found,) = answer(replace(manifest, preprocessing=IMAGE), tmp_path, outputs, raws=raws, top_k=2)
    assert len(found.boxes) == 2
    assert {box.label for box in found.boxes} == {"square"}


def test_a_bundle_tells_boxes_in_pixels_of_the_picture(tmp_path):
    model = build(Case("centernet-micro", "object-detection"))
    bundle = export(
        model,
        to=["tflite"],
        out=tmp_path / "bundle",
        labels=list("abcde"),
        preprocessing=[{"step": "image", "size": [32, 64], "channels": 3}],
    )
    pixels = np.random.default_rng(0).integers(0, 255, (50, 80, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    assert size_of(tmp_path / "turned.png") == (80, 50)
    plain, sideways = bundle.predict([pixels, tmp_path / "turned.png"], top_k=3)
    for prediction, width, height in ((plain, 80, 50), (sideways, 50, 80)):
        found = find_boxes(prediction.outputs, most=3)
        assert len(prediction.boxes) == 3
        for box, corners, label in zip(prediction.boxes, found.corners, found.classes, strict=True):
            sides = (box.left / width, box.top / height, box.right / width, box.bottom / height)
            np.testing.assert_allclose(sides, corners)
            assert box.label == "abcde"[label]
    # Without a number of boxes: those that are probable.
    assert all(box.score >= 0.3 for box in bundle.predict(pixels)[0].boxes)
    words = ["predict", str(tmp_path / "bundle"), str(tmp_path / "turned.png"), "--top-k", "3"]
    done = CliRunner().invoke(cli, [*words, "--save", str(tmp_path / "drawn.png")])
    assert done.exit_code == 0, done.output
    assert done.output.split("\n")[0].split() == [
        "LABEL", "SCORE", "LEFT", "TOP", "RIGHT", "BOTTOM",
    ]  # fmt: skip
    best = sideways.boxes[0]
    assert f"{best.score:.4f}" in done.output
    assert f"{best.left:.1f}" in done.output
    assert Image.open(tmp_path / "drawn.png").size == (250, 400)
