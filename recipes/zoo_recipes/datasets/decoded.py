"""Images of custom data: their files, decoded once for each size that recipes take.

What is decoded lies in one array for all splits, so that no part of a cross-validation decodes what
another has. The code that decodes is that of predictions, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.custom_data.content import DIGEST, NUMBER
from zoo_recipes.custom_data.files import watched
from zoo_recipes.custom_data.images import pixels
from zoo_recipes.datasets.rows import examples_of, in_threads
from zoo_registry import ZooError
from zoo_runtime.preprocess import Preprocessor
from zoo_system.durable import kept
from zoo_system.folders import cache_folder

ARRAY = "images.npy"
# Another one, where this code makes other pixels of the same files, or lays them out otherwise.
_LAYOUT = 1
# Files that are fetched together, and their bytes.
_FETCHED, _FETCHED_BYTES = 64, 1 << 24
# Files that a thread decodes at a time: of small ones each takes less than to be handed over.
_DECODED = 8
# What decodes files, as Pillow calls it.
_DECODERS = ("jpg", "libjpeg_turbo", "jpg_2000", "zlib", "libtiff", "webp", "avif", "freetype2")


def keeps_files(builder: Any, inputs: Sequence[str]) -> bool:
    """Return whether the inputs of a prepared dataset are images of custom data, kept as files."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    return DIGEST in features and any(
        isinstance(features[name], tfds.features.Image) for name in inputs
    )


def decoded_images(builder: Any, feature: str, steps: Sequence[Mapping[str, Any]]) -> Any:
    """Return all images of custom data at the size of a recipe, from a file of the cache.

    They are decoded the first time, by as many threads as there are cores. Of several processes one
    does so, and the others wait for it.

    Args:
        builder: Of the prepared data.
        feature: The images.
        steps: Of the preprocessing: the step ``image`` and no other.

    Returns:
        uint8 (examples, height, width, channels), in the order of their numbers.

    Raises:
        ZooError: The disk is full or cannot be written.
    """
    name = builder.info.full_name
    count = sum(split.num_examples for split in builder.info.splits.values())
    (shape,) = Preprocessor(steps).steps[0].shapes.values()
    what = [_LAYOUT, name, feature, list(map(dict, steps)), _decoders()]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    home = cache_folder() / "decoded" / key
    needed = count * math.prod(shape)

    def make(work: Path) -> None:
        check_room(name, needed, home.parent)
        (work / "files").mkdir()
        decode = partial(_decoded, Preprocessor(steps))
        together = min(_DECODED, _at_once(builder))
        coming = in_threads(decode, _all_files(builder, feature), together)
        shown = watched(coming, f"decoding {name} once", count)
        write_rows(work / "files" / ARRAY, (count, *shape), shown)

    with writing(name, needed, home.parent), _alone(home):
        path = kept(home, make) / ARRAY
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ZooError(f"'{path}' is damaged: {error}. Remove '{home}'.") from error


def whole_images(builder: Any, split: str, feature: str) -> Iterator[Any]:
    """Yield the images of a split of custom data at their own sizes, uint8.

    Args:
        builder: Of the prepared data.
        split: In slicing syntax.
        feature: The images.
    """
    channels = builder.info.features[feature].shape[-1]
    files = (file for _, file in _files(builder, split, feature))
    return in_threads(partial(pixels, channels=channels), files)


def write_rows(path: Path, shape: tuple[int, ...], rows: Iterable[tuple[int, Any]]) -> None:
    """Write an array of uint8 to a file, as :func:`numpy.load` reads it.

    It is not mapped into memory to be written: a disk that is full would end the process.

    Args:
        path: The file.
        shape: Of the array.
        rows: Each with its index.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    size = math.prod(shape[1:])
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        first = file.tell()
        for index, row in rows:
            file.seek(first + index * size)
            file.write(np.ascontiguousarray(row).data)


def check_room(name: str, needed: int, folder: Path) -> None:
    """Refuse to write what the disk has no room for.

    Args:
        name: Of the dataset.
        needed: Bytes of its images.
        folder: Where they are to be written.

    Raises:
        ZooError: Both, and what to do.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ZooError(
            f"The decoded images of '{name}' need {needed / 2**30:.1f} GiB in '{folder}', where "
            f"{free / 2**30:.1f} GiB are free: remove what is not needed there, or set "
            "KERAZOO_CACHE to a folder of another disk."
        )


@contextmanager
def writing(name: str, needed: int, folder: Path) -> Iterator[None]:
    """Say what could not be written, and where.

    The arguments are those of :func:`check_room`.

    Raises:
        ZooError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise ZooError(
            f"The decoded images of '{name}' need {needed / 2**30:.1f} GiB in '{folder}', which "
            f"cannot be written: {error}"
        ) from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one process at a time make a folder, where the disk knows locks."""
    from filelock import FileLock

    home.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.parent / f".{home.name}.lock")
    with suppress(NotImplementedError):  # each of them decodes, and one is kept
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _decoded(preprocessor: Preprocessor, numbered: tuple[int, bytes]) -> tuple[int, Any]:
    number, file = numbered
    (made,) = preprocessor.batch([file]).values()
    # Pillow resizes uint8 to uint8: nothing is lost.
    return number, made[0].astype(np.uint8)


def _all_files(builder: Any, feature: str) -> Iterator[tuple[int, bytes]]:
    for split in builder.info.splits:
        yield from _files(builder, split, feature)


def _files(builder: Any, split: str, feature: str) -> Iterator[tuple[int, bytes]]:
    """Yield the file of each example of a split, and the number of the example."""
    import tensorflow_datasets as tfds

    decoders = tfds.decode.PartialDecoding(
        {feature: True, NUMBER: True}, decoders={feature: tfds.decode.SkipDecoding()}
    )
    dataset = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
    for example in examples_of(dataset, _at_once(builder)):
        yield int(example[NUMBER]), example[feature]


def _at_once(builder: Any) -> int:
    """Return how many files are fetched together: a camera's are as large as many others."""
    splits = builder.info.splits.values()
    total = sum(int(split.num_bytes) for split in splits)
    mean = total // sum(int(split.num_examples) for split in splits)
    return max(1, min(_FETCHED, _FETCHED_BYTES // max(1, mean)))


def _decoders() -> dict[str, str | None]:
    from PIL import __version__, features

    found = {name: features.version(name) for name in _DECODERS if features.check(name)}
    return {"pillow": __version__, **found}
