"""Boxes as a detector learns them: maps, losses, what is refused, and a training of custom data."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import zoo_registry
from kerazoo_data.mnist5k import scene
from zoo import evaluate, export, train
from zoo_recipes.configs import Component
from zoo_recipes.datasets import reading
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import as_recipe
from zoo_recipes.tasks.boxes import UNKNOWN, Scenes, flipped, make_maps
from zoo_recipes.tasks.centernet import centernet
from zoo_recipes.training.batches import Batches
from zoo_registry import UsageError
from zoo_runtime.answers.boxes import find_boxes

BOXES = {
    "bbox": np.array([[0.1, 0.2, 0.5, 0.4], [0.25, 0.5, 0.75, 1.0], [0, 0, 1, 0.25]], np.float32),
    "label": np.array([2, 0, 1]),
}
SHAPE = (16, 24, 3)


def told(maps, most):
    """Return the boxes of a detector that answers exactly what it was to learn."""
    with np.errstate(divide="ignore"):
        logits = np.log(maps["heatmap"]) - np.log(1 - np.minimum(maps["heatmap"], 1 - 1e-6))
    found = find_boxes({**{k: v[..., :2] for k, v in maps.items()}, "heatmap": logits}, most)
    order = np.argsort(found.classes)
    return found.classes[order], found.corners[order]


def test_maps_tell_the_boxes_that_they_were_made_of():
    classes, corners = told(make_maps(BOXES, SHAPE), 3)
    order = np.argsort(BOXES["label"])
    np.testing.assert_array_equal(classes, BOXES["label"][order])
    np.testing.assert_allclose(corners, BOXES["bbox"][order][:, [1, 0, 3, 2]], atol=1e-5)


def test_a_flip_takes_the_boxes_along():
    images = np.arange(2 * 64 * 96, dtype=np.float32).reshape(2, 64, 96, 1)
    targets = {name: np.stack([part] * 2) for name, part in make_maps(BOXES, SHAPE).items()}
    rng = np.random.default_rng(0)
    inputs, made = flipped({"image": images}, targets, rng)
    where = [not np.array_equal(a, b) for a, b in zip(inputs["image"], images, strict=True)]
    assert sorted(where) == [False, True]  # one of the two
    row = where.index(True)
    np.testing.assert_array_equal(inputs["image"][row], images[row, :, ::-1])
    _, corners = told({name: part[row] for name, part in made.items()}, 3)
    _, before = told({name: part[1 - row] for name, part in made.items()}, 3)
    np.testing.assert_allclose(corners, (before * [-1, 1, -1, 1] + [1, 0, 1, 0])[:, [2, 1, 0, 3]])


def test_a_crowd_is_not_learned_and_what_is_in_it_is():
    boxes = {**BOXES, "label": np.zeros(3, int), "is_crowd": np.array([False, False, True])}
    maps = make_maps(boxes, SHAPE)
    assert (maps["heatmap"] == 1).sum() == 2
    assert maps["size"][..., 2].sum() == 2
    assert (maps["heatmap"][:, :6, 0] >= np.float32(UNKNOWN)).all()
    loss = centernet()["heatmap"]
    sure = np.full((1, *SHAPE), -9.0, np.float32)
    there = sure.copy()
    there[0, 3, 2, 0] = 9.0
    one, other = (float(loss(maps["heatmap"][np.newaxis], logits)) for logits in (sure, there))
    assert one == pytest.approx(other, rel=1e-5)


def test_losses_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    maps = [make_maps(BOXES, SHAPE), make_maps({**BOXES, "label": np.array([1, 1, 1])}, SHAPE)]
    targets = {name: np.stack([part[name] for part in maps]) for name in maps[0]}
    made = {
        name: rng.normal(size=(2, *SHAPE[:2], 3 if name == "heatmap" else 2)).astype(np.float32)
        for name in targets
    }
    wanted = dict.fromkeys(targets, 0.0)
    for row in range(2):
        y, p = targets["heatmap"][row], 1 / (1 + np.exp(-made["heatmap"][row]))
        focal = np.where(y == 1, (1 - p) ** 2 * np.log(p), (1 - y) ** 4 * p**2 * np.log(1 - p))
        wanted["heatmap"] -= focal.sum() / 3 / 2
        for name, weight in (("size", 0.1), ("offset", 1)):
            at = targets["offset"][row, ..., 2] == 1
            far = np.abs(made[name][row][at] - targets[name][row][at][:, :2]).sum()
            wanted[name] += weight * far / 3 / 2
    got = {name: float(loss(targets[name], made[name])) for name, loss in centernet().items()}
    assert got == pytest.approx(wanted, rel=1e-5)


def test_batches_flip_with_their_boxes_and_repeat():
    images = [np.random.default_rng(n).integers(0, 255, (64, 96, 1), np.uint8) for n in range(8)]
    source = Scenes(
        images, [BOXES] * 8, lambda raws: {"image": np.stack(raws).astype(np.float32)}, 3
    )
    flip = Component(name="RandomFlip", arguments={"mode": "horizontal"})
    made = [
        list(Batches(source, batch_size=8, seed=0, augmentation=[flip]).of_epoch(0))
        for _ in range(2)
    ]
    keras.tree.map_structure(np.testing.assert_array_equal, *made)
    ((inputs, targets),) = made[0]
    plain = {image.tobytes() for image in images}
    mirrored = [row.astype(np.uint8).tobytes() not in plain for row in inputs["image"]]
    assert 0 < sum(mirrored) < 8
    _, straight = told(make_maps(BOXES, SHAPE), 3)
    for row, is_mirrored in enumerate(mirrored):
        _, corners = told({name: part[row] for name, part in targets.items()}, 3)
        assert np.allclose(corners, straight, atol=1e-5) is not is_mirrored


DETECTOR = {
    "model": {"name": "centernet-micro"},
    "dataset": {"name": "mnist5k_scenes", "label": "objects"},
    "compile": {"loss": "centernet", "metrics": []},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"augmentation": [{"name": "random_rotation", "factor": 0.1}]},
            "augmentation: random_rotation would leave boxes where they were. With boxes go "
            "random_flip and layers that change colours alone, such as random_brightness.",
        ),
        (
            {"augmentation": ["RandomFlip"]},
            'augmentation: RandomFlip takes boxes along with mode = "horizontal" only.',
        ),
        (
            {"compile": {"loss": "centernet"}},
            "compile.metrics: what centernet trains is measured by mean average precision, and by "
            "no metric of Keras: set compile.metrics=[].",
        ),
        (
            {"compile": {"loss": "mse", "metrics": []}},
            'compile.loss: task "object-detection" is trained with loss = "centernet".',
        ),
        (
            {"model": {"name": "lenet5"}},
            'compile.loss = "centernet": it is for task "object-detection", not '
            '"image-classification".',
        ),
        (
            {"fit": {"class_weight": "balanced"}},
            "fit.class_weight: an image with boxes is of no one class; leave it out.",
        ),
        (
            {"distillation": {"run": "runs/x"}},
            "distillation: a teacher of classes has no boxes; leave it out.",
        ),
    ],
)
def test_what_does_not_go_with_boxes_is_refused(change, message):
    with pytest.raises(UsageError) as caught:
        as_recipe({**DETECTOR, **change}, "mine")
    assert f"\n  {message}" in str(caught.value)
    colours = [{"name": "random_flip", "mode": "horizontal"}, {"name": "RandomBrightness"}]
    assert as_recipe({**DETECTOR, "augmentation": colours}, "mine")


def test_scenes_are_the_same_every_time_and_their_boxes_tight():
    digit = np.zeros((28, 28), np.uint8)
    digit[6:20, 9:19] = 255
    counts = set()
    for seed in range(20):
        pixels, boxes = scene(digit[np.newaxis], [4], np.random.default_rng(seed))
        again, _ = scene(digit[np.newaxis], [4], np.random.default_rng(seed))
        np.testing.assert_array_equal(pixels, again)
        counts.add(len(boxes))
        assert len(boxes) <= 6
        for (top, left, bottom, right), label in boxes:
            assert label == 4
            assert (bottom - top) / (right - left) == pytest.approx(1.4, rel=0.1)
            inside = pixels[int(top) : int(bottom), int(left) : int(right)].astype(float)
            edges = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
            assert min(np.median(edge) for edge in edges) > 110
    assert len(counts) >= 4


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Return a COCO folder of 60 images of 40x60 with red and blue rectangles, some in a crowd."""
    folder, rng = tmp_path_factory.mktemp("own") / "squares", np.random.default_rng(0)
    images, annotations = [], []
    for number in range(60):
        pixels = rng.integers(0, 60, (40, 60, 3)).astype(np.uint8)
        for label in (3, 7)[: number % 3]:
            height, width = (int(size) for size in rng.integers(10, 20, 2))
            top, left = int(rng.integers(0, 40 - height)), int(rng.integers(0, 60 - width))
            pixels[top : top + height, left : left + width, 0 if label == 7 else 2] = 250
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": label,
                    "bbox": [left, top, width, height],
                    "iscrowd": int(number == 59),
                }
            )
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"images/{number:02d}.png")
        images.append({"id": number, "file_name": f"{number:02d}.png", "height": 40, "width": 60})
    names = [{"id": 7, "name": "red"}, {"id": 3, "name": "blue"}]
    tables = {"images": images, "annotations": annotations, "categories": names}
    (folder / "instances.json").write_text(json.dumps(tables))
    return folder


class Few(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Twenty pictures with none to two boxes each."""

    VERSION = tfds.core.Version("1.0.0")
    # Where a data set's own page would be; a test is in no package.
    pkg_dir_path = Path(__file__).parent

    def _info(self):
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=["blue", "red"]),
        }
        image = tfds.features.Image(shape=(None, None, 3))
        features = {"image": image, "objects": tfds.features.Sequence(box)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        rng = np.random.default_rng(0)
        for number in range(20):
            pixels = rng.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)
            box = {"bbox": tfds.features.BBox(0.1, 0.2, 0.5, 0.6 + number / 100), "label": "red"}
            yield number, {"image": pixels, "objects": [box] * (number % 3)}


def test_boxes_of_pictures_on_the_disk_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    builder = Few(data_dir=tmp_path)
    builder.download_and_prepare()
    steps = [{"step": "image", "size": [32, 64]}]
    in_memory = read_split(builder, "train", input="image", label="objects", steps=steps)
    monkeypatch.setattr(reading, "MEMORY_SHARE", 0.0)
    on_disk = read_split(builder, "train", input="image", label="objects", steps=steps)
    assert isinstance(on_disk.raws, np.memmap)
    np.testing.assert_array_equal(on_disk.raws, np.stack(in_memory.raws))
    assert (on_disk.sha256, on_disk.classes) == (in_memory.sha256, ["blue", "red"])
    assert sorted(len(one["label"]) for one in on_disk.labels) == [0] * 7 + [1] * 7 + [2] * 6
    for one, other in zip(on_disk.labels, in_memory.labels, strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"num_classes": 1},
            "model.overrides.num_classes=1, and the boxes of '{}' are of 2 classes: leave it out.",
        ),
        (
            {"input_shape": [32, 32, 1]},
            "Recipe 'mine-squares': preprocessing makes image (64, 64, 1), but model "
            "'centernet-micro' takes image (32, 32, 1).",
        ),
        (
            {"input_shape": [40, 64, 1]},
            "centernet: input_shape=(40, 64, 1) must be a multiple of 32 in height and width, the "
            "largest stride of its resnet.",
        ),
    ],
)
def test_a_model_that_the_boxes_do_not_fit(squares, data_dir, tmp_path, overrides, message):
    steps = [{"step": "image", "size": [64, 64], "channels": 1}]
    model = {"name": "centernet-micro", "overrides": {"input_shape": [64, 64, 1], **overrides}}
    recipe = as_recipe({**DETECTOR, "model": model, "preprocessing": steps}, "mine")
    with pytest.raises(UsageError) as caught:
        train(recipe, data=squares, data_dir=data_dir, out=tmp_path / "run", verbose=False)
    assert str(caught.value) == message.format(squares)


@pytest.mark.slow
def test_own_boxes_from_training_to_the_device(squares, data_dir, measured_again, tmp_path):
    recipe = zoo_registry.recipes.get("mnist5k-scenes-centernet")
    recipe = replace(
        recipe,
        model=replace(recipe.model, overrides={"input_shape": [64, 64, 3]}),
        preprocessing=({"step": "image", "size": [64, 64]},),
        augmentation=(Component(name="random_flip", arguments={"mode": "horizontal"}),),
        fit=replace(recipe.fit, epochs=25, batch_size=16),
    )
    run = train(recipe, data=squares, data_dir=data_dir, out=tmp_path / "run", verbose=False)
    assert run.info["labels"] == ["blue", "red"]
    assert run.metrics["map_50"] > 0.5, run.metrics
    assert run.metrics == measured_again(run, data_dir=data_dir, resamples=5)

    bundle = export(run.path, to=["tflite", "onnx", "tflite:int8"], out=tmp_path / "bundle")
    found = {
        artifact.format: evaluate(bundle, runtime=artifact.format, data_dir=data_dir, resamples=20)
        for artifact in bundle.artifacts
    }
    for name in ("tflite", "onnx"):
        assert found[name].metrics["map"] == pytest.approx(run.metrics["map"], abs=1e-3)
    assert found["tflite:int8"].metrics["map_50"] > run.metrics["map_50"] - 0.2
    assert set(found["onnx"].per_class) == {"blue", "red"}
    assert set(found["onnx"].per_class["red"]) <= {"average_precision"}
