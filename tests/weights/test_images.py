"""Images become the pixels that timm and transformers make of them, byte for byte."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from references.drawing import odd_images

from zoo_models.weights.images import preparation, preparation_of_timm
from zoo_registry import UsageError
from zoo_runtime.preprocess import as_step

ROWS = json.loads((Path(__file__).parent / "references" / "pixels.json").read_text())


def prepared(row):
    return preparation_of_timm(row["timm"]) if "timm" in row else preparation(row["processor"], "")


def test_the_pixels_are_those_of_timm_and_transformers():
    drawn = list(odd_images())
    unequal = []
    for row in ROWS:
        made = prepared(row)
        assert made.notes == (), row
        pixels = as_step(made.step(made.size, 3)).batch(drawn)["image"].astype("uint8")
        if zlib.crc32(pixels.tobytes()) != row["crc"]:
            unequal.append(row)
    assert unequal == []
    assert len(ROWS) > 50


def test_of_images_of_another_size_as_much_is_cut_off():
    timm = {"input_size": [3, 224, 224], "crop_pct": 0.9}
    assert preparation_of_timm(timm).step((80, 80), 3)["shorter_side"] == 88  # 80 / .9
    deit = preparation({"image_processor_type": "DeiTImageProcessor"}, "vit")
    assert deit.step((112, 56), 1) == {
        "step": "image",
        "size": [112, 56],
        "channels": 1,
        "resample": "bicubic",
        "resized": [128, 64],
    }


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"do_resize": False, "size": 8}, ["do_resize=False", "size=8", "do_center_crop=False"]),
        ({"image_processor_type": "BeitImageProcessor"}, ["image_processor_type='BeitImage"]),
        ({"size": {"shortest_edge": 8}}, ["size={'shortest_edge': 8}", "do_center_crop=False"]),
        ({"size": {"shortest_edge": 8, "longest_edge": 9}}, ["'longest_edge': 9}"]),
        ({"size": 8, "do_center_crop": True, "crop_size": 9}, ["size=8", "crop_size=9"]),
        ({"do_pad": True, "rescale_offset": True}, ["do_pad=True", "rescale_offset=True"]),
        ({"resample": 5}, ["resample=5"]),
        ({"sharpened": 2, "do_convert_rgb": True}, ["sharpened=2"]),
    ],
)
def test_what_no_step_does_is_reported_by_its_key(processor, expected):
    notes = " ".join(preparation(processor, "vit").notes)
    assert all(part in notes for part in expected), notes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"input_size": [3, 64, 64], "crop_mode": "border"}, "crop_mode='border' to input_size="),
        ({"input_size": [3, 64, 96]}, "crop_mode='center' to input_size=[3, 64, 96]"),
        ({"interpolation": "hamming"}, "interpolation='hamming'"),
    ],
)
def test_what_timm_does_and_no_step_is_reported(settings, expected):
    assert expected in " ".join(preparation_of_timm(settings).notes)


@pytest.mark.parametrize(
    "settings", [{"input_size": [3, 64]}, {"crop_pct": 2}, {"crop_pct": "all"}, {"std": [0, 1, 1]}]
)
def test_settings_of_timm_that_are_none(settings):
    with pytest.raises(UsageError, match=r"input_size=|crop_pct=|image_std="):
        preparation_of_timm(settings)


def test_what_the_settings_do_not_say_is_what_the_libraries_take():
    np.testing.assert_allclose(preparation({}, "resnet").mean, [0.5] * 3)
    assert preparation({}, "mobilenet_v2").shorter_side == 256
    made = preparation_of_timm({"input_size": [3, 224, 224]})
    assert (made.shorter_side, made.resample, made.mean[0]) == (256, "bicubic", 0.485)
