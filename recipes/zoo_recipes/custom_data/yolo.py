"""Boxes as YOLO has them: a line of a text file for each, in fractions of the image.

The format: https://docs.ultralytics.com/datasets/detect/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.boxes import Box, Gathered, NamedImages
from zoo_recipes.custom_data.content import BadRecordError, Columns, Content
from zoo_recipes.custom_data.files import files_of, lines_of, location, split_in, watched
from zoo_recipes.custom_data.images import is_image
from zoo_registry import UsageError

# What the list of classes is called, beside data.yaml.
NAMES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
IMAGES, LABELS = "images", "labels"
# Names of the tables of data.yaml that say where the images of a split are.
PARTS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


def is_yolo(path: Path) -> bool:
    """Return whether a folder has images and the lists of their boxes, and says the classes."""
    if not path.is_dir():
        return False
    files = files_of(path)
    return _names_file(files) is not None and any(map(is_image, files)) and _has_lists(files)


def read_yolo(path: Path, columns: Columns) -> Content:
    """Read images with the boxes that text files of their names give them.

    An image without such a file, or with an empty one, has no boxes. Of outlines their box is
    taken; points of a pose are not read.

    Args:
        path: ``data.yaml``, or a list of classes, with ``images/`` and ``labels/`` in any order of
            folders, or both sorts of files in one folder.
        columns: Not used.

    Raises:
        UsageError: The classes cannot be read, or no image has a box.
    """
    files = files_of(path)
    described = _described(path, files)
    gathered = Gathered(NamedImages(path, files), flag="is_crowd")
    gathered.names += described.names
    lists = {file for file in files if file.suffix.lower() == ".txt" and file.name not in NAMES}
    used = set()
    for image in watched([file for file in files if is_image(file)], "reading"):
        labels = _labels_of(image, path)
        used.add(labels)
        try:
            size = gathered.images.looked_at[image].size
        except BadRecordError as error:
            gathered.bad(location(image, path), str(error))
            continue
        before = len(gathered.problems)
        rows = _rows(labels, path, gathered) if labels in lists else []
        boxes = list(_boxes(rows, labels, size, described, gathered))
        if len(gathered.problems) == before:
            where = location(labels if labels in lists else image, path)
            gathered.add(where, image, described.split_of(image, path), None, boxes)
    for file in sorted(lists - used):
        if LABELS in file.parts:
            gathered.bad(location(file, path), "there is no image of that name")
    return gathered.content()


@dataclass(frozen=True)
class Described:
    """What data.yaml or classes.txt say of all images.

    Args:
        names: Of the classes, in the order of their indices.
        folders: Where the images of each split are, as far as it is given.
        points: Whether boxes are followed by the points of a pose.
    """

    names: Sequence[str]
    folders: Mapping[Path, str]
    points: bool = False

    def split_of(self, image: Path, path: Path) -> str | None:
        """Return the split of an image, by what is given or by the names of its folders."""
        for folder in image.parents:
            if folder in self.folders:
                return self.folders[folder]
        return split_in(image.parent, path) if image.parent != path else None


def _names_file(files: Sequence[Path]) -> Path | None:
    yaml = [file for file in files if file.suffix.lower() in {".yaml", ".yml"}]
    named = [file for file in yaml if file.stem in {"data", "dataset"}] or yaml
    plain = [file for file in files if file.name in NAMES]
    return next(iter((*named, *plain)), None)


def _has_lists(files: Sequence[Path]) -> bool:
    stems = {file.stem for file in files if is_image(file)}
    return any(
        file.suffix.lower() == ".txt" and (file.stem in stems or LABELS in file.parts)
        for file in files
        if file.name not in NAMES
    )


def _described(path: Path, files: Sequence[Path]) -> Described:
    file = _names_file(files)
    if file is None:
        raise UsageError(f"'{path}' has no list of classes: data.yaml or classes.txt.")
    if file.name in NAMES:
        lines = lines_of(file, path, [])
        return Described([line.strip() for line in lines if line and line.strip()], {})
    given = _yaml(file)
    names = given.get("names")
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        if sorted(names) != list(range(len(names))):
            raise UsageError(f"'{file}': names has the numbers {sorted(names)}, not 0, 1, 2...")
        names = [names[key] for key in sorted(names)]
    if not isinstance(names, list) or not names:
        raise UsageError(f"'{file}' has no list of classes: names: [cat, dog].")
    known = [str(name) for name in names]
    if len(set(known)) < len(known):
        raise UsageError(f"'{file}' has a class twice: {', '.join(known)}.")
    folders: dict[Path, str] = {}
    for folder, split in _folders(path, file, given):
        # A folder given twice, as in coco128.yaml, is for training: other splits are taken from it.
        folders.setdefault(folder, split)
    return Described(known, folders, "kpt_shape" in given)


def _folders(path: Path, file: Path, given: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the folder of each split that is given; those that are elsewhere do not count."""
    for key, split in PARTS.items():
        value = given.get(key)
        for word in value if isinstance(value, list) else [value]:
            if not isinstance(word, str):
                continue
            # Roboflow writes ../train/images, seen from nowhere that is there.
            parts = [part for part in Path(word).parts if part not in {"..", "."}]
            roots = (file.parent, file.parent / str(given.get("path", "")), path)
            folders = [root.joinpath(*parts) for root in roots]
            found = next((folder for folder in folders if folder.is_dir()), None)
            if found is not None and found != path:
                yield found, split


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"'{file}' is not valid YAML: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"'{file}' says nothing: it needs names: [cat, dog].")
    return found


def _labels_of(image: Path, path: Path) -> Path:
    """Return the file of an image's boxes: ``labels/`` stands where ``images/`` does."""
    parts = list(image.relative_to(path).parts)
    folders = [at for at, part in enumerate(parts[:-1]) if part.lower() == IMAGES]
    if folders:
        parts[folders[-1]] = LABELS
    return path.joinpath(*parts).with_suffix(".txt")


def _rows(file: Path, path: Path, gathered: Gathered) -> list[tuple[int, str]]:
    lines = enumerate(lines_of(file, path, gathered.problems), 1)
    return [(number, line) for number, line in lines if line is not None and line.strip()]


def _boxes(
    rows: Sequence[tuple[int, str]],
    file: Path,
    size: tuple[int, int],
    described: Described,
    gathered: Gathered,
) -> Iterator[tuple[str, Box]]:
    for number, line in rows:
        where = location(file, gathered.images.path, number)
        try:
            yield where, _box(line.split(), size, described)
        except BadRecordError as error:
            gathered.bad(where, str(error))


def _box(words: Sequence[str], size: tuple[int, int], described: Described) -> Box:
    try:
        number, *fractions = (float(word) for word in words)
    except ValueError as error:
        raise BadRecordError(f"is not a box: {' '.join(words)[:60]}") from error
    names = described.names
    if not number.is_integer() or not 0 <= number < len(names):
        raise BadRecordError(f"class {number:g} is none of the {len(names)} that are named")
    height, width = size
    if len(fractions) == 4 or (described.points and len(fractions) > 4):
        x, y, w, h = fractions[:4]
        sides = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    elif len(fractions) >= 6 and len(fractions) % 2 == 0:
        sides = (
            min(fractions[::2]),
            min(fractions[1::2]),
            max(fractions[::2]),
            max(fractions[1::2]),
        )
    else:
        raise BadRecordError(f"has {len(words)} numbers, not a class and x, y, width and height")
    if max(sides) > 2:
        raise BadRecordError("is in pixels: boxes of YOLO are fractions of the image, 0 to 1")
    left, top, right, bottom = sides
    label = names[int(number)]
    return Box(label, left * width, top * height, right * width, bottom * height)
