"""Images of every sort become what the preprocessing of a bundle makes of their files."""

import numpy as np
import pytest
from PIL import Image

from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.splitting import PARTS
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_runtime.preprocess import Preprocessor


def all_raws(path, data_dir):
    builder = open_dataset(str(path), data_dir=data_dir)
    parts = [read_split(builder, part, input="image", label="label") for part in PARTS]
    return [raw for part in parts for raw in part.raws]


def test_grey_pictures_keep_one_channel(pictures, tmp_path):
    raws = all_raws(pictures, tmp_path)
    assert {raw.shape for raw in raws} == {(8, 9, 1)}
    files = {np.asarray(Image.open(file)).tobytes() for file in pictures.rglob("*.png")}
    assert {raw.tobytes() for raw in raws} == files


def _saved(path, image, kind):
    if kind == "turned jpeg":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path.with_suffix(".jpg"), exif=exif)
    elif kind == "alpha":
        image.putalpha(Image.fromarray(np.full((image.height, image.width), 90, np.uint8)))
        image.save(path.with_suffix(".png"))
    elif kind == "16 bit":
        Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 200).save(
            path.with_suffix(".png")
        )
    elif kind == "palette":
        image.quantize(16).save(path.with_suffix(".gif"))
    else:
        image.save(path.with_suffix(".webp"), lossless=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_sees_what_the_device_sees(channels, tmp_path):
    rng = np.random.default_rng(1)
    kinds = ("turned jpeg", "alpha", "16 bit", "palette", "webp")
    for label in "ab":
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(25):
            height, width = rng.integers(5, 30, 2)
            image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            _saved(tmp_path / "in" / label / f"{number}", image, kinds[number % 5])
    step = {"step": "image", "size": [12, 10], "channels": channels}
    preprocessor = Preprocessor([step])
    trained = preprocessor.batch(all_raws(tmp_path / "in", tmp_path))["image"]
    files = sorted(file for file in (tmp_path / "in").rglob("*") if file.is_file())
    on_device = preprocessor.batch(files)["image"]
    assert len(files) == 50
    assert sorted(row.tobytes() for row in trained) == sorted(row.tobytes() for row in on_device)


def test_large_pictures_are_resized_as_they_are_read(pictures, tmp_path):
    builder = open_dataset(str(pictures), data_dir=tmp_path)
    for size, shape in (([4, 3], (4, 3, 1)), ([20, 20], (20, 20, 1))):
        steps = [{"step": "image", "size": size, "channels": 1}]
        plain, small = (
            read_split(builder, "train", input="image", label="label", steps=given)
            for given in ([], steps)
        )
        assert {raw.shape for raw in small.raws} == {shape}
        assert plain.sha256 == small.sha256
        one, other = (Preprocessor(steps).batch(e.raws)["image"] for e in (plain, small))
        np.testing.assert_array_equal(one, other)


def test_classes_that_are_numbers_are_in_order(pictures, tmp_path):
    (pictures / "dark").rename(pictures / "10")
    (pictures / "light").rename(pictures / "9")
    content = layout_of(pictures).read(pictures, {})
    assert content.features["label"].names == ["9", "10"]
    assert content.examples[0].size == (8, 9)
