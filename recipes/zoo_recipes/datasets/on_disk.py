"""Pictures that memory does not hold: decoded and resized once, and read from the disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from zoo_recipes.datasets.rows import Examples, Rows, class_names, stacked
from zoo_registry import ZooError
from zoo_system.durable import kept
from zoo_system.folders import cache_folder

_RAWS, _LABELS, _ABOUT = "raws.npy", "labels.npy", "about.json"
_LAYOUT = 2
_BOXES, _COUNTS = "boxes.npz", "_counts"


def examples_on_disk(rows: Rows, count: int, size: tuple[int, ...]) -> Examples:
    """Return a split whose pictures stay in a file of the cache, written the first time.

    Args:
        rows: The split.
        count: Its examples.
        size: Height, width and channels of the pictures.

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


def _decode(rows: Rows, count: int, size: tuple[int, ...], folder: Path) -> None:
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
    places: list[str | None] = []
    title = f"decoding '{rows.split}' of {rows.builder.info.full_name} once"
    shown = track(rows.read(digest), title, total=count, console=Console(stderr=True))
    for number, row in enumerate(shown):
        (pixels,) = preprocessor.batch([row.raw]).values()
        raws[number] = pixels[0]
        labels.append(row.label)
        groups.append(row.group)
        places.append(row.place)
    raws.flush()
    if rows.label:
        _save_labels(folder, stacked(labels))
    about = {
        "sha256": digest.hexdigest(),
        "groups": groups if rows.group else None,
        "places": None if None in places else places,
    }
    (folder / _ABOUT).write_text(json.dumps(about, default=str), encoding="utf-8")
