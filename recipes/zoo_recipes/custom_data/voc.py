"""Boxes as Pascal VOC has them: images, and an XML file for each.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.boxes import Box, Gathered, NamedImages
from zoo_recipes.custom_data.content import BadRecordError, Columns, Content
from zoo_recipes.custom_data.files import files_of, location, split_in, splits_of, watched
from zoo_recipes.custom_data.images import is_image

FOLDER = "Annotations"
LISTS = Path("ImageSets", "Main")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
# ``trainval`` is read where the two that it joins are not.
PARTS = {"train": "train", "val": "validation", "test": "test"}


def is_voc(path: Path) -> bool:
    """Return whether a folder has images, and XML files in ``Annotations`` or named like them."""
    files = files_of(path)
    names = {file.with_suffix("") for file in files if is_image(file)}
    return bool(names) and any(
        file.parent.name == FOLDER or file.with_suffix("") in names for file in _xml(files)
    )


def read_voc(path: Path, columns: Columns) -> Content:
    """Read images with the boxes that an XML file each gives them.

    Args:
        path: A folder with ``Annotations`` and ``JPEGImages``, or with XML files beside images;
            or several such folders, of which ``train``, ``valid`` and ``test`` are splits. Lists in
            ``ImageSets/Main`` say which are read, and for which split.
        columns: Not used.

    Raises:
        UsageError: Some folders are named after splits and others are not, or no image has a box.
    """
    files = files_of(path)
    gathered = Gathered(NamedImages(path, files), flag="is_difficult")
    found = list(_annotations(path, _xml(files), gathered))
    for file, split in watched(found, f"reading {path.name}"):
        where = location(file, path)
        try:
            root = _parsed(file)
            image = _image(root, file, gathered.images)
        except BadRecordError as error:
            gathered.bad(where, str(error))
            continue
        boxes = _boxes(gathered, root, where)
        if boxes is not None:
            gathered.add(where, image, split, _size(root), boxes)
    return gathered.content()


def _xml(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() == ".xml"]


def _annotations(
    path: Path, files: Sequence[Path], gathered: Gathered
) -> Iterator[tuple[Path, str | None]]:
    """Yield the XML files that are to be read, with the split that the data put them in."""
    free = []
    for root in sorted({_root(file) for file in files}):
        own = [file for file in files if _root(file) == root]
        lists = _lists(root)
        if lists:
            yield from _listed(path, {file.stem: file for file in own}, lists, gathered)
        else:
            free += own
    yield from splits_of(free, path, split_in).items()


def _root(file: Path) -> Path:
    return file.parent.parent if file.parent.name == FOLDER else file.parent


def _lists(root: Path) -> dict[Path, str]:
    found = {root / LISTS / f"{name}.txt": part for name, part in PARTS.items()}
    found = {file: part for file, part in found.items() if file.is_file()}
    both = root / LISTS / "trainval.txt"
    if both.is_file() and "train" not in found.values():
        found = {both: "train"} | found
    return found


def _listed(
    path: Path, files: dict[str, Path], lists: dict[Path, str], gathered: Gathered
) -> Iterator[tuple[Path, str]]:
    seen: dict[str, str] = {}
    for file, part in lists.items():
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            name = (line.split() or [""])[0]
            where = location(file, path, number)
            if not name:
                continue
            if name not in files:
                gathered.bad(where, f"there is no annotation '{name}.xml'")
            elif name in seen:
                gathered.bad(where, f"'{name}' has been listed before, at {seen[name]}")
            else:
                seen[name] = where
                yield files[name], part


def _parsed(file: Path) -> Any:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        root = parse(file, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise BadRecordError("declares a document type or entities, which are not read") from error
    except (ParseError, LookupError, ValueError) as error:
        raise BadRecordError(f"is not valid XML: {error}") from error
    if root.tag != "annotation":
        raise BadRecordError(f"is not an annotation of VOC: it begins with <{root.tag}>")
    return root


def _image(root: Any, file: Path, images: NamedImages) -> Path:
    named = (root.findtext("filename") or "").strip()
    try:
        return images.find(named, file)
    except BadRecordError:
        # Tools write names without a suffix, or those of an image that was renamed.
        beside = [f for f in images.files if f.stem == file.stem and is_image(f)]
        if len(beside) != 1:
            raise
        return beside[0]


def _size(root: Any) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{name}")) for name in ("height", "width"))
    except (TypeError, ValueError):
        return None
    # Tools that do not know the size write 0.
    return (height, width) if height and width else None


def _boxes(gathered: Gathered, root: Any, where: str) -> list[tuple[str, Box]] | None:
    found = []
    before = len(gathered.problems)
    for number, annotated in enumerate(root.findall("object"), 1):
        at = f"{where}, object {number}"
        try:
            found.append((at, _box(annotated)))
        except BadRecordError as error:
            gathered.bad(at, str(error))
    return found if len(gathered.problems) == before else None


def _box(annotated: Any) -> Box:
    label = (annotated.findtext("name") or "").strip()
    if not label:
        raise BadRecordError("has no name")
    texts = [annotated.findtext(f"bndbox/{corner}") for corner in CORNERS]
    try:
        left, top, right, bottom = (float(text) for text in texts)
    except (TypeError, ValueError) as error:
        raise BadRecordError(f"has no bndbox of four numbers: {texts}") from error
    difficult = (annotated.findtext("difficult") or "0").strip() not in ("", "0")
    return Box(label, left, top, right, bottom, difficult)
