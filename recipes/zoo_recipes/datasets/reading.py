"""From a prepared dataset to its examples, in memory or in a file of the cache."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from zoo_recipes.arrays.sources import Rows
from zoo_recipes.custom_data.content import NOTED, NUMBER
from zoo_recipes.custom_data.files import watched
from zoo_recipes.datasets.decoded import (
    check_room,
    decoded_images,
    keeps_files,
    whole_images,
    write_rows,
    writing,
)
from zoo_recipes.datasets.rows import (
    Examples,
    RawExample,
    SplitReader,
    class_names,
    complete,
    in_threads,
    stacked,
)
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.preprocess.pixels import is_white_1
from zoo_system.durable import kept
from zoo_system.folders import cache_folder
from zoo_system.quiet import quiet_logger

# Of this machine's memory; a training also holds prepared arrays and the model.
MEMORY_SHARE = 0.4
_RAWS, _LABELS, _ABOUT = "raws.npy", "labels.npy", "about.json"
_LAYOUT = 3
_BOXES, _COUNTS = "boxes.npz", "_counts"


def read_split(
    builder: Any,
    split: str,
    *,
    input: str | Sequence[str],  # noqa: A002
    label: str | None,
    steps: Sequence[Mapping[str, Any]] = (),
    group: str | None = None,
) -> Examples:
    """Return one split of a prepared dataset, always in the same order.

    Args:
        builder: What :func:`open_dataset` returned.
        split: In slicing syntax, such as ``train[:90%]``.
        input: Feature that is the raw input, or several of texts that are one together. Words are
            one text, with a space between them.
        label: Feature that is the class, or ``None``.
        steps: Of the preprocessing: images are brought to its size as they are read, so that
            photographs need no more memory than what the model takes of them.
        group: Feature that puts the examples into groups, or ``None``.

    Raises:
        UsageError: No such split or feature, or more data than memory holds. Images that it does
            not hold are decoded once to the disk, those of custom data always.
        ZooError: The disk is full or cannot be written.
    """
    inputs = (input,) if isinstance(input, str) else tuple(input)
    wanted = [*(("dataset.input", name) for name in inputs)]
    wanted += [("dataset.label", label)] if label else []
    _check_features(builder, [*wanted, ("slice", group)] if group else wanted)
    count = _num_examples(builder, split)
    rows = SplitReader(builder, split, inputs, label, group, steps)
    if keeps_files(builder, inputs):
        return _custom_images(rows)
    digest = hashlib.sha256()
    with quiet_logger("absl"):  # of what tensorflow-datasets warns
        coming = rows.read(digest)
        first = next(coming)
        size = rows.image_size(first)
        # Images are prepared batch by batch; preprocessing makes float32 of all else.
        needed = count * (math.prod(size) if size else 5 * _bytes(first.raw))
        if needed > _available() and size:
            return examples_on_disk(rows, count, size)
        _check_memory(rows, needed)
        read = [first, *coming]
    examples = _examples(rows, read, [row.raw for row in read], digest)
    return replace(examples, resized=size is not None)


def _custom_images(rows: SplitReader) -> Examples:
    """Return a split of custom data whose images are kept as files."""
    (feature,) = rows.inputs
    digest = hashlib.sha256()
    raws: Sequence[Any]
    with quiet_logger("absl"):
        read = list(replace(rows, inputs=(NUMBER,), steps=()).read(digest))
        if [step.get("step") for step in rows.steps] == ["image"]:
            images = decoded_images(rows.builder, feature, rows.steps)
            raws = Rows(images, np.asarray([row.raw for row in read]))
            resized = True
        else:
            resized = False
            coming = whole_images(rows.builder, rows.split, feature)
            first = next(coming)
            _check_memory(rows, len(read) * 5 * _bytes(first))
            raws = [first, *coming]
    return replace(_examples(rows, read, raws, digest), resized=resized)


def _examples(
    rows: SplitReader, read: Sequence[RawExample], raws: Sequence[Any], digest: Any
) -> Examples:
    if any(step.get("step") == "image" for step in rows.steps) and is_white_1(raws):
        _refuse_as_black(rows.builder.info.full_name, rows.split, raws[0].dtype)
    return Examples(
        raws,
        stacked([row.label for row in read]) if rows.label else None,
        digest.hexdigest(),
        [row.group for row in read] if rows.group else None,
        class_names(rows.builder, rows.label),
        complete([row.location for row in read]),
        complete([row.digest for row in read]),
    )


def _available() -> float:
    return MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_memory(rows: SplitReader, needed: float) -> None:
    available = _available()
    if needed > available:
        _refuse_as_too_large(rows.builder.info.full_name, rows.split, needed, available)


def fingerprint(name: str, version: str, hashes: list[str]) -> str:
    """Return the sha256 of a dataset: its name, its version and the content of its splits."""
    return hashlib.sha256("\n".join([name, version, *hashes]).encode()).hexdigest()


def _check_features(builder: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for key, feature in wanted:
        if feature not in builder.info.features:
            names = [name for name in builder.info.features if name not in NOTED]
            raise UsageError(
                f"Dataset '{builder.info.full_name}' has no feature '{feature}' ({key})."
                f"{did_you_mean(feature, names)} It has: {', '.join(names)}."
            )


def _num_examples(builder: Any, split: str) -> int:
    if not builder.info.splits:
        return 0  # Nothing is known of the mocked builders of `tfds.testing`.
    try:
        count = int(builder.info.splits[split].num_examples)
    except (KeyError, ValueError, AssertionError) as error:
        names = list(builder.info.splits)
        raise UsageError(
            f"Dataset '{builder.info.full_name}' has no split '{split}'."
            f"{did_you_mean(split, names)} It has: {', '.join(names)}."
        ) from error
    if not count:
        raise UsageError(f"Split '{split}' of '{builder.info.full_name}' has no examples.")
    return count


def _bytes(raw: Any) -> int:
    if isinstance(raw, tuple):
        return sum(map(_bytes, raw))
    # Beside an audio clip stands its rate, a plain number.
    return len(raw) if isinstance(raw, str) else int(getattr(raw, "nbytes", 0))


def _refuse_as_black(name: str, split: str, dtype: Any) -> NoReturn:
    raise UsageError(
        f"The images of split '{split}' of '{name}' have {dtype} pixels of 0 to 1, and here "
        "pixels go from 0 to 255: multiply them by 255."
    )


def _refuse_as_too_large(name: str, split: str, needed: float, available: float) -> NoReturn:
    raise UsageError(
        f"Split '{split}' of '{name}' needs about {needed / 2**30:.1f} GiB in memory, more "
        f"than the {available / 2**30:.1f} GiB set aside for it: train on a part of it, such "
        f"as dataset.train=train[:{max(1, int(100 * available / needed))}%]."
    )


def examples_on_disk(rows: SplitReader, count: int, size: tuple[int, ...]) -> Examples:
    """Return a split whose images stay in a file of the cache, written the first time.

    Args:
        rows: The split.
        count: Its examples.
        size: Height, width and channels of the images.

    Raises:
        ZooError: The disk is full or cannot be written.
    """
    what = [rows.builder.info.full_name, rows.split, rows.inputs, rows.label, rows.group]
    # Another layout of the file below is another file.
    key = hashlib.sha256(
        json.dumps([_LAYOUT, *what, list(map(dict, rows.steps))]).encode()
    ).hexdigest()
    home = cache_folder() / "decoded" / key[:24]
    with writing(rows.builder.info.full_name, count * math.prod(size), home.parent):
        folder = kept(home, lambda work: _decode(rows, count, size, work / "files"))
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    labels = _load_labels(folder) if rows.label else None
    raws = np.load(folder / _RAWS, mmap_mode="r", allow_pickle=False)
    classes = class_names(rows.builder, rows.label)
    return Examples(
        raws, labels, about["sha256"], about["groups"], classes, about["places"], resized=True
    )


def _save_labels(folder: Path, labels: Any) -> None:
    """Write one array of labels, or for a list of boxes one of each of their parts, end to end."""
    if not isinstance(labels, list):
        np.save(folder / _LABELS, labels)
        return
    parts = {name: np.concatenate([row[name] for row in labels]) for name in labels[0]}
    parts[_COUNTS] = np.asarray([len(next(iter(row.values()))) for row in labels])
    np.savez(folder / _BOXES, allow_pickle=False, **parts)


def _load_labels(folder: Path) -> Any:
    if not (folder / _BOXES).is_file():
        return np.load(folder / _LABELS, allow_pickle=False)
    with np.load(folder / _BOXES, allow_pickle=False) as stored:
        arrays = dict(stored)
    ends = np.cumsum(arrays.pop(_COUNTS))[:-1]
    parts = {name: np.split(array, ends) for name, array in arrays.items()}
    return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]


def _decode(rows: SplitReader, count: int, size: tuple[int, ...], folder: Path) -> None:
    from zoo_runtime.preprocess import Preprocessor

    name = rows.builder.info.full_name
    check_room(name, count * math.prod(size), folder.parent)
    folder.mkdir()
    preprocessor, digest = Preprocessor(rows.steps), hashlib.sha256()
    labels: list[Any] = []
    groups: list[Any] = []
    locations: list[str | None] = []

    def decode(raw: Any) -> Any:
        (pixels,) = preprocessor.batch([raw]).values()
        return pixels[0].astype(np.uint8)

    def raws() -> Iterator[Any]:
        # Resized in threads, and not as they are read.
        for row in replace(rows, steps=()).read(digest):
            labels.append(row.label)
            groups.append(row.group)
            locations.append(row.location)
            yield row.raw

    title = f"decoding '{rows.split}' of {name} once"
    shown = watched(enumerate(in_threads(decode, raws())), title, count)
    write_rows(folder / _RAWS, (count, *size), shown)
    if rows.label:
        _save_labels(folder, stacked(labels))
    about = {
        "sha256": digest.hexdigest(),
        "groups": groups if rows.group else None,
        "places": None if None in locations else locations,
    }
    (folder / _ABOUT).write_text(json.dumps(about, default=str), encoding="utf-8")
