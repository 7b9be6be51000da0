"""Images of custom data are kept as files and decoded once, to what predictions make of them."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from zoo_recipes.custom_data.images import pixels
from zoo_recipes.custom_data.splitting import PARTS
from zoo_recipes.datasets import decoded, reading
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.tasks.objectives import make_source
from zoo_registry import ZooError
from zoo_runtime.preprocess import Preprocessor

PLAIN = {"step": "image", "size": [9, 7]}
STEPS = (
    PLAIN,
    {**PLAIN, "channels": 1, "resample": "nearest"},
    {**PLAIN, "size": [40, 50], "resample": "bicubic"},
    {**PLAIN, "shorter_side": 11, "resample": "lanczos"},
    {**PLAIN, "resized": [12, 12], "rounding": "even"},
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return the folder that decoded images are kept in."""
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def colours(rng):
    height, width = rng.integers(5, 30, 2)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def turned(image, path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path.with_suffix(".jpg"), exif=exif)


def transparent(image, path):
    image.putalpha(image.convert("L"))
    image.save(path.with_suffix(".png"))


def deep(image, path):
    grey = np.asarray(image.convert("L"), np.uint16)
    Image.fromarray(grey * 200).save(path.with_suffix(".png"))


def palette(image, path):
    image.quantize(16).save(path.with_suffix(".gif"), transparency=3)


def moving(image, path):
    image.save(path.with_suffix(".webp"), save_all=True, append_images=[image.rotate(90)])


def printed(image, path):
    image.convert("CMYK").save(path.with_suffix(".jpg"))


def black_or_white(image, path):
    image.convert("1").save(path.with_suffix(".tif"))


SORTS = (
    *(partial(turned, orientation=number) for number in range(1, 9)),
    *(transparent, deep, palette, moving, printed, black_or_white),
)


@pytest.fixture
def photographs(tmp_path):
    """Return a folder with two images of every sort in each of two classes."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for number in range(2 * len(SORTS)):
            SORTS[number % len(SORTS)](colours(rng), folder / label / f"{number:02d}")
    return folder


def inputs_of(found, step):
    """Return all images as a training takes them."""
    recipe = resolve_recipe("flowers-transfer")
    source = make_source(found, Preprocessor([step]), "image-classification", recipe)
    return source.take(np.arange(len(source)))[0]["image"]


@pytest.mark.parametrize("step", STEPS)
def test_what_is_decoded_is_what_a_prediction_sees_of_the_file(step, photographs, tmp_path):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    seen = []
    for split in (*PARTS, "train[25%:]", "validation+test"):
        found = read_split(builder, split, input="image", label="label", steps=[step])
        files = [photographs / where for where in found.locations]
        one_by_one = [Preprocessor([step]).batch([file])["image"][0] for file in files]
        assert found.raws.array.dtype == np.uint8
        np.testing.assert_array_equal(inputs_of(found, step), one_by_one)
        assert [builder.info.features["label"].names[n] for n in found.labels] == [
            file.parent.name for file in files
        ]
        seen += found.locations if split in PARTS else []
    assert len(set(seen)) == len(seen) == 2 * 2 * len(SORTS)


@pytest.mark.parametrize("share", [0.4, 0.0])
@pytest.mark.parametrize("step", STEPS)
def test_no_image_of_any_data_is_cropped_twice(step, share, data_dir, monkeypatch):
    monkeypatch.setattr(reading, "MEMORY_SHARE", share)
    builder = open_dataset("digits", data_dir=data_dir)
    rows = {"input": "image", "label": "label"}
    whole = list(tfds.as_numpy(builder.as_dataset("test[:50]", shuffle_files=False)))
    found = read_split(builder, "test[:50]", steps=[step], **rows)
    right = Preprocessor([step]).batch([row["image"] for row in whole])["image"]
    np.testing.assert_array_equal(inputs_of(found, step), right)


def test_files_are_kept_as_they_are(photographs, tmp_path):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    skip = {"image": tfds.decode.SkipDecoding()}
    rows = [row for part in PARTS for row in tfds.as_numpy(builder.as_dataset(part, decoders=skip))]
    assert len(rows) == 2 * 2 * len(SORTS)
    for row in rows:
        assert row["image"] == (photographs / row["record_place"].decode()).read_bytes()
    stored = sum(file.stat().st_size for file in (tmp_path / "own_data").rglob("*tfrecord*"))
    assert stored < 1.5 * sum(len(row["image"]) for row in rows) + 300 * len(rows)


def test_without_the_size_of_a_recipe_images_are_whole(photographs, tmp_path, cache):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    found = read_split(builder, "train", input="image", label="label")
    for raw, where in zip(found.raws, found.locations, strict=True):
        np.testing.assert_array_equal(raw, pixels(photographs / where, 3))
    small = read_split(builder, "train", input="image", label="label", steps=[PLAIN])
    assert (small.sha256, small.digests) == (found.sha256, found.digests)
    assert len(list(cache.glob("*/*"))) == 1


def test_all_splits_and_later_trainings_share_what_is_decoded(
    photographs, tmp_path, cache, monkeypatch
):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    read = partial(read_split, builder, input="image", label="label")
    for split in (*PARTS, "train[:50%]"):
        read(split, steps=[PLAIN])
    (array,) = cache.glob("*/*")
    written = array.stat().st_mtime_ns
    shutil.rmtree(photographs)
    assert len(read("train", steps=[PLAIN]).raws) > 0
    assert array.stat().st_mtime_ns == written
    # Another size, or another program that decodes, may make other pixels.
    read("test", steps=[{**PLAIN, "size": [3, 3]}])
    monkeypatch.setattr("PIL.__version__", "99")
    read("test", steps=[PLAIN])
    assert len(list(cache.glob("*/*"))) == 3


CHILD = """
    import os, sys, time
    from zoo_recipes.datasets import decoded
    from zoo_recipes.datasets.loading import open_dataset
    from zoo_recipes.datasets.reading import read_split

    usual, log = decoded._decoded, os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def slow(preprocessor, numbered):
        os.write(log, b".")
        time.sleep(float(sys.argv[4]))
        return usual(preprocessor, numbered)
    decoded._decoded = slow
    builder = open_dataset(sys.argv[1], data_dir=sys.argv[2])
    print("reading", flush=True)
    found = read_split(
        builder, "train", input="image", label="label",
        steps=[{"step": "image", "size": [9, 7]}],
    )
    print(len(found.raws), flush=True)
"""


def child(*words):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_that_looks_finished(photographs, tmp_path, cache):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    log = tmp_path / "log"
    process = child(photographs, tmp_path, log, 0.2)
    assert process.stdout.readline() == "reading\n"
    while not log.exists() or log.stat().st_size < 5:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(cache.glob(".preparing-*"))
    assert not [path for path in cache.iterdir() if not path.name.startswith(".")]
    found = read_split(builder, "train", input="image", label="label", steps=[PLAIN])
    files = [photographs / where for where in found.locations]
    right = Preprocessor([PLAIN]).batch(files)["image"]
    np.testing.assert_array_equal(found.raws[np.arange(len(files))], right)
    assert not list(cache.glob(".preparing-*"))


@pytest.mark.slow
def test_of_two_processes_one_decodes(photographs, tmp_path):
    open_dataset(str(photographs), data_dir=tmp_path)
    log = tmp_path / "log"
    both = [child(photographs, tmp_path, log, 0.05) for _ in range(2)]
    shown = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(shown) == 1
    assert log.stat().st_size == 2 * 2 * len(SORTS)


def test_a_disk_without_room(photographs, tmp_path, cache, monkeypatch):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    with pytest.raises(ZooError) as caught:
        read_split(
            builder, "test", input="image", label=None, steps=[{**PLAIN, "size": [999, 900]}]
        )
    assert str(caught.value) == (
        f"The decoded images of '{builder.info.full_name}' need 0.1 GiB in '{cache}', where 0.0 "
        "GiB are free: remove what is not needed there, or set KERAZOO_CACHE to a folder of "
        "another disk."
    )
    assert not [path for path in cache.iterdir() if not path.name.startswith(".")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is full")
def test_a_disk_that_gets_full(tmp_path):
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    said = r"^The decoded images of 'a' need 0\.0 GiB in '.*', which cannot be written: .*No space"
    with pytest.raises(ZooError, match=said), decoded.writing("a", 6, tmp_path):
        decoded.write_rows(path, (2, 3), [(0, np.zeros(3, np.uint8))])


def test_a_damaged_array(photographs, tmp_path, cache):
    builder = open_dataset(str(photographs), data_dir=tmp_path)
    read = partial(read_split, builder, "test", input="image", label=None, steps=[PLAIN])
    read()
    (array,) = cache.glob("*/*")
    os.truncate(array, array.stat().st_size - 1)
    with pytest.raises(ZooError, match=rf"^'{array}' is damaged: .*\. Remove '{array.parent}'\.$"):
        read()
