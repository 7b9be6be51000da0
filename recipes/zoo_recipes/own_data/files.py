"""Files of a folder, and lines of a file, as people leave them lying about."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from zoo_recipes.own_data.content import Problem
from zoo_recipes.own_data.encodings import decoded
from zoo_registry import UsageError

T = TypeVar("T")
# Fewer are read in a second or two.
MANY = 1000
# What operating systems put beside the files of people.
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
# What tells people of data, and is none.
_TOLD = re.compile(
    r"(readme|licen[sc]e|citation|changelog)([._-].*)?|.*\.md|dataset_infos\.json", re.IGNORECASE
)
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}


def is_path(name: str) -> bool:
    """Return whether the name of a dataset is the path of own data.

    Example:
        >>> is_path("./flowers"), is_path("/data/flowers.csv"), is_path("glue/sst2")
        (True, True, False)
    """
    return name in {".", ".."} or name.startswith(("./", "../", "~")) or Path(name).is_absolute()


def files_of(path: Path) -> list[Path]:
    """Return a file, or all files below a folder in a fixed order; hidden ones do not count.

    Raises:
        UsageError: There is nothing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"There are no data at '{path}'.")
    return sorted(_below(path))


def _below(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        # A link may lead back to where it is.
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [n for n in folders if _counts(n) and not _leads_back(real, f"{root}/{n}")]
        yield from (Path(root, name) for name in names if _counts(name))


def _leads_back(folder: str, entry: str) -> bool:
    """Return whether an entry of a folder is a link to what the folder is in."""
    if not Path(entry).is_symlink():
        return False
    return Path(folder).is_relative_to(os.path.realpath(entry))


def folders_of(path: Path) -> list[Path]:
    """Return the folders right below a folder; hidden ones do not count."""
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and _counts(entry.name))


def _counts(name: str) -> bool:
    is_told = name.startswith(".") or name.lower() in IGNORED
    return not is_told and _TOLD.fullmatch(name) is None


def watched(items: Sequence[T], what: str) -> Iterable[T]:
    """Return the same items; a bar on the terminal shows how many of many were taken."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = len(items) < MANY or not console.is_terminal
    return track(items, description=what, console=console, transient=True, disable=hidden)


def place(file: Path, path: Path, line: int | None = None) -> str:
    """Return how messages name a file of the data, and a line in it."""
    name = file.name if file == path else file.relative_to(path).as_posix()
    return name if line is None else f"{name}:{line}"


def split_of(file: Path, path: Path) -> str | None:
    """Return the split that a file of the data is named after, such as ``train.csv``.

    Example:
        >>> [split_of(Path(name), Path()) for name in ("val.csv.gz", "reviews.csv")]
        ['validation', None]
    """
    return SPLITS.get(file.name.partition(".")[0].lower())


def split_in(file: Path, path: Path) -> str | None:
    """Return the split that a file or one of its folders is named after, the innermost first.

    Example:
        >>> split_in(Path("coco/annotations/instances_val2017.json"), Path("coco"))
        'validation'
        >>> split_in(Path("farm/valid/_annotations.coco.json"), Path("farm"))
        'validation'
    """
    if file == path:
        return None
    found = (split_word(part) for part in reversed(file.relative_to(path).parts))
    return next((split for split in found if split), None)


def split_word(name: str) -> str | None:
    """Return the split that is one of the words of a name.

    Example:
        >>> split_word("seg_train"), split_word("val2017"), split_word("trains")
        ('train', 'validation', None)
    """
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def splits_of(
    files: list[Path], path: Path, split_of: Callable[[Path, Path], str | None] = split_of
) -> dict[Path, str | None]:
    """Return the split of each file: that of its name where all are named after one, or ``None``.

    Args:
        files: Of the data.
        path: The data.
        split_of: Gives the split of a file of the data.

    Raises:
        UsageError: Some files are named after splits and others are not.
    """
    found = {file: split_of(file, path) for file in files}
    named = [file for file, split in found.items() if split]
    if named and len(named) < len(files):
        other = next(file for file, split in found.items() if not split)
        raise UsageError(
            f"'{path}': '{place(named[0], path)}' is named after a split and "
            f"'{place(other, path)}' is not: name all files train, validation or test, or none."
        )
    return found


def lines_of(file: Path, path: Path, problems: list[Problem]) -> list[str | None]:
    """Return the lines of a text file; one that is no UTF-8 is a problem, and ``None``."""
    found: list[str | None] = []
    # U+2028 and others end lines for Python, and not for those who wrote the file.
    for number, line in enumerate(decoded(file).text.removesuffix("\n").split("\n"), 1):
        try:
            line.encode("utf-8")
        except UnicodeEncodeError as error:
            found.append(None)
            before = len(line[: error.start].encode("utf-8"))
            text = not_utf8(line.encode("utf-8", "surrogateescape"), before)
            problems.append(Problem(place(file, path, number), text))
        else:
            found.append(line.removesuffix("\r"))
    return found


def not_utf8(line: bytes, at: int) -> str:
    """Return what is wrong with a line that cannot be decoded."""
    return f"is not UTF-8: byte 0x{line[at]:02x} at column {at + 1}"
