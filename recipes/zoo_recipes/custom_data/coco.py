"""Boxes as COCO has them: images, and JSON files with all that is known of them.

The format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.boxes import Box, Gathered, NamedImages
from zoo_recipes.custom_data.content import BadRecordError, Columns, Content
from zoo_recipes.custom_data.files import (
    files_of,
    head_of,
    json_in,
    location,
    split_in,
    splits_of,
    suffix_of,
    watched,
)
from zoo_recipes.custom_data.images import is_image

KEYS = {"images": list, "annotations": list, "categories": list}


def is_coco(path: Path) -> bool:
    """Return whether a folder has images and a JSON file of COCO's kind."""
    files = files_of(path)
    return bool(_annotation_files(files)) and any(map(is_image, files))


def read_coco(path: Path, columns: Columns) -> Content:
    """Read images with the boxes that JSON files give them.

    Args:
        path: A folder. Where there are files ``instances*.json``, others are not read, such as
            COCO's own of keypoints and captions.
        columns: Not used.

    Raises:
        UsageError: Some of several JSON files are named after splits and others are not, or no
            image has a box.
    """
    files = files_of(path)
    gathered = Gathered(NamedImages(path, files), flag="is_crowd")
    for file, split in splits_of(_annotation_files(files), path, split_in).items():
        where = location(file, path)
        try:
            tables = _tables(file)
            names = dict(_categories(tables["categories"]))
        except BadRecordError as error:
            gathered.bad(where, str(error))
            continue
        gathered.names += [name for name in names.values() if name not in gathered.names]
        _read_images(gathered, file, split, tables, names)
    return gathered.content()


def _annotation_files(files: Sequence[Path]) -> list[Path]:
    tables = [file for file in files if suffix_of(file) == ".json"]
    named = [file for file in tables if file.name.startswith("instances")]
    return named or [file for file in tables if _looks_like_coco(file)]


def _looks_like_coco(file: Path) -> bool:
    head = head_of(file)
    # It names one of its tables near its beginning.
    return any(f'"{key}"'.encode() in head for key in KEYS)


def _tables(file: Path) -> dict[str, list[Any]]:
    data = json_in(file)
    for key, kind in KEYS.items():
        rows = data.get(key) if isinstance(data, dict) else None
        if not isinstance(rows, kind) or not all(isinstance(row, dict) for row in rows):
            raise BadRecordError(f"is not an annotation of COCO: it has no list '{key}' of objects")
    return {key: data[key] for key in KEYS}


def _categories(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    seen: dict[Any, str] = {}
    for row in rows:
        number, name = row.get("id"), row.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or not name:
            raise BadRecordError(f"has a category without id or name: {row}")
        if number in seen or name in seen.values():
            raise BadRecordError(f"has category {number} '{name}' twice")
        seen[number] = name
    yield from sorted(seen.items())


def _read_images(
    gathered: Gathered,
    file: Path,
    split: str | None,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    names: Mapping[int, str],
) -> None:
    where = location(file, gathered.images.path)
    images = _images(gathered, where, tables["images"])
    boxes = _boxes_by_image(gathered, where, tables["annotations"], images, names)
    for number, row in watched(list(images.items()), f"reading {where}"):
        at = f"{where}, image {number}"
        try:
            image = gathered.images.find(row["file_name"], file)
        except BadRecordError as error:
            gathered.bad(at, str(error))
            continue
        found = boxes[number]
        if found is not None:
            gathered.add(at, image, split, _size(row), found)


def _images(
    gathered: Gathered, where: str, rows: Sequence[Mapping[str, Any]]
) -> dict[int | str, Mapping[str, Any]]:
    """Return the images by id; none of those whose id comes twice."""
    images: dict[int | str, Mapping[str, Any]] = {}
    twice = set()
    for row in rows:
        number = row.get("id")
        if not isinstance(number, int | str) or not isinstance(row.get("file_name"), str):
            gathered.bad(f"{where}, image {number}", "has no id or no file_name")
        elif number in images:
            gathered.bad(f"{where}, image {number}", "is there twice")
            twice.add(number)
        else:
            images[number] = row
    return {number: row for number, row in images.items() if number not in twice}


def _boxes_by_image(
    gathered: Gathered,
    where: str,
    rows: Sequence[Mapping[str, Any]],
    images: Mapping[int | str, Any],
    names: Mapping[int, str],
) -> dict[int | str, list[tuple[str, Box]] | None]:
    """Return the boxes of each image with their locations; ``None`` where one of them is wrong."""
    boxes: dict[int | str, list[tuple[str, Box]] | None] = {number: [] for number in images}
    for row in rows:
        number, at = row.get("image_id"), f"{where}, annotation {row.get('id')}"
        if not isinstance(number, int | str) or number not in images:
            gathered.bad(at, f"is of image {number}, which is not among the good images")
            continue
        try:
            box = _box(row, names)
        except BadRecordError as error:
            gathered.bad(at, str(error))
            boxes[number] = None
            continue
        found = boxes[number]
        if found is not None:
            found.append((at, box))
    return boxes


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = row.get("height"), row.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _box(row: Mapping[str, Any], names: Mapping[int, str]) -> Box:
    category, numbers = row.get("category_id"), row.get("bbox")
    if not isinstance(category, int) or category not in names:
        raise BadRecordError(f"has category {category}, which is not among the categories")
    are_numbers = isinstance(numbers, list) and all(isinstance(n, int | float) for n in numbers)
    if not isinstance(numbers, list) or not are_numbers or len(numbers) != 4:
        raise BadRecordError(f"has no bbox of four numbers: {numbers}")
    left, top, width, height = map(float, numbers)
    ignored = bool(row.get("iscrowd", 0))
    return Box(names[category], left, top, left + width, top + height, ignored)
