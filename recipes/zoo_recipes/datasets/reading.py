"""From a prepared dataset to its examples, in memory or in a file of the cache."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from zoo_recipes.custom_data.content import LOCATION
from zoo_recipes.datasets.rows import Examples, SplitReader, class_names, locations_of, stacked
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_runtime.preprocess.pixels import is_white_1
from zoo_system.durable import kept
from zoo_system.folders import cache_folder
from zoo_system.quiet import quiet_logger

# Of this machine's memory; a training also holds prepared arrays and the model.
MEMORY_SHARE = 0.4
_RAWS, _LABELS, _ABOUT = "raws.npy", "labels.npy", "about.json"
_LAYOUT = 2
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
            not hold are decoded once to the disk.
    """
    inputs = (input,) if isinstance(input, str) else tuple(input)
    wanted = [*(("dataset.input", name) for name in inputs)]
    wanted += [("dataset.label", label)] if label else []
    _check_features(builder, [*wanted, ("slice", group)] if group else wanted)
    count = _num_examples(builder, split)
    rows = SplitReader(builder, split, inputs, label, group, steps)
    digest = hashlib.sha256()
    with quiet_logger("absl"):  # of what tensorflow-datasets warns
        coming = rows.read(digest)
        first = next(coming)
        size = rows.image_size(first)
        # Images are prepared batch by batch; preprocessing makes float32 of all else.
        needed = count * (math.prod(size) if size else 5 * _bytes(first.raw))
        available = MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > available and size:
            return examples_on_disk(rows, count, size)
        if needed > available:
            _refuse_as_too_large(builder.info.full_name, split, needed, available)
        read = [first, *coming]
    raws = [row.raw for row in read]
    if any(step.get("step") == "image" for step in steps) and is_white_1(raws):
        _refuse_as_black(builder.info.full_name, split, raws[0].dtype)
    return Examples(
        raws,
        stacked([row.label for row in read]) if label else None,
        digest.hexdigest(),
        [row.group for row in read] if group else None,
        class_names(builder, label),
        locations_of(read),
    )


def fingerprint(name: str, version: str, hashes: list[str]) -> str:
    """Return the sha256 of a dataset: its name, its version and the content of its splits."""
    return hashlib.sha256("\n".join([name, version, *hashes]).encode()).hexdigest()


def _check_features(builder: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for key, feature in wanted:
        if feature not in builder.info.features:
            names = [name for name in builder.info.features if name != LOCATION]
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
    import numpy as np

    what = [rows.builder.info.full_name, rows.split, rows.inputs, rows.label, rows.group]
    # Another layout of the file below is another file.
    key = hashlib.sha256(
        json.dumps([_LAYOUT, *what, list(map(dict, rows.steps))]).encode()
    ).hexdigest()
    home = cache_folder() / "decoded" / key[:24]
    try:
        folder = kept(home, lambda work: _decode(rows, count, size, work / "files"))
    except OSError as error:
        raise ZooError(
            f"Split '{rows.split}' of '{rows.builder.info.full_name}' needs "
            f"{count * int(np.prod(size)) / 2**30:.1f} GiB in '{home.parent}', which cannot be "
            f"written: {error}"
        ) from error
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    labels = _load_labels(folder) if rows.label else None
    raws = np.load(folder / _RAWS, mmap_mode="r", allow_pickle=False)
    classes = class_names(rows.builder, rows.label)
    return Examples(raws, labels, about["sha256"], about["groups"], classes, about["places"])


def _save_labels(folder: Path, labels: Any) -> None:
    """Write one array of labels, or for a list of boxes one of each of their parts, end to end."""
    import numpy as np

    if not isinstance(labels, list):
        np.save(folder / _LABELS, labels)
        return
    parts = {name: np.concatenate([row[name] for row in labels]) for name in labels[0]}
    parts[_COUNTS] = np.asarray([len(next(iter(row.values()))) for row in labels])
    np.savez(folder / _BOXES, allow_pickle=False, **parts)


def _load_labels(folder: Path) -> Any:
    import numpy as np

    if not (folder / _BOXES).is_file():
        return np.load(folder / _LABELS, allow_pickle=False)
    with np.load(folder / _BOXES, allow_pickle=False) as stored:
        arrays = dict(stored)
    ends = np.cumsum(arrays.pop(_COUNTS))[:-1]
    parts = {name: np.split(array, ends) for name, array in arrays.items()}
    return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]


def _decode(rows: SplitReader, count: int, size: tuple[int, ...], folder: Path) -> None:
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from zoo_runtime.preprocess import Preprocessor

    folder.mkdir()
    preprocessor, digest = Preprocessor(rows.steps), hashlib.sha256()
    raws = np.lib.format.open_memmap(
        folder / _RAWS, mode="w+", dtype=np.uint8, shape=(count, *size)
    )
    labels: list[Any] = []
    groups: list[Any] = []
    locations: list[str | None] = []
    title = f"decoding '{rows.split}' of {rows.builder.info.full_name} once"
    shown = track(rows.read(digest), title, total=count, console=Console(stderr=True))
    for index, row in enumerate(shown):
        (pixels,) = preprocessor.batch([row.raw]).values()
        raws[index] = pixels[0]
        labels.append(row.label)
        groups.append(row.group)
        locations.append(row.location)
    raws.flush()
    if rows.label:
        _save_labels(folder, stacked(labels))
    about = {
        "sha256": digest.hexdigest(),
        "groups": groups if rows.group else None,
        "places": None if None in locations else locations,
    }
    (folder / _ABOUT).write_text(json.dumps(about, default=str), encoding="utf-8")
