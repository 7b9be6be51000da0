"""Files of a folder and lines of a file as users have them, in whatever encoding."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from zoo_recipes.custom_data.content import HALF, BadRecordError, Problem
from zoo_registry import UsageError, meaning_of
from zoo_system import machine

T = TypeVar("T")
_LISTED: ContextVar[dict[Path, list[Path]] | None] = ContextVar("listed", default=None)
# Files a core that are looked at before they are asked for.
_AHEAD = 4
# Fewer are read in a second or two.
MANY = 1000
# What operating systems put beside the user's files.
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
# Files about data, which are not data.
_ABOUT_DATA = re.compile(
    r"(readme|licen[sc]e|citation|changelog)([._-].*)?|.*\.md|dataset_infos\.json", re.IGNORECASE
)
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
GZIP = ".gz"
MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
WESTERN = "cp1252"
# Characters of several bytes, as UTF-8 has them.
_LONG = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# What no writing with Latin letters has within a word, and other encodings make of theirs.
_MARKS = "\u2019\u2018\u00b4\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00b0"
_ODD = re.compile(
    rf"[A-Za-z][^\x00-\x7f\w{_MARKS}]|[^\x00-\x7f\w{_MARKS}\u20ac\u00a3\u00bf\u00a1][A-Za-z]"
)
# So many accents in a row are the letters of another script.
_SCRIPT = re.compile(r"[^\W\d_\x00-\x7f]{3,}")


def is_path(name: str) -> bool:
    """Return whether the name of a dataset is the path of custom data.

    Example:
        >>> is_path("./flowers"), is_path("/data/flowers.csv"), is_path("glue/sst2")
        (True, True, False)
    """
    return name in {".", ".."} or name.startswith(("./", "../", "~")) or Path(name).is_absolute()


def meaning_of_path(path: Path) -> str:
    """Return sentences on what a path, as it was typed, is beside data; empty if it is nothing."""
    here = Path.cwd()
    return meaning_of(str(path.relative_to(here) if path.is_relative_to(here) else path), "data")


def files_of(path: Path) -> list[Path]:
    """Return a file, or all files below a folder in a fixed order; hidden ones do not count.

    Raises:
        UsageError: There is nothing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"There are no data at '{path}'.{meaning_of_path(path)}")
    known = _LISTED.get()
    if known is None:
        return _sorted_below(path)
    if path not in known:
        known[path] = _sorted_below(path)
    return [*known[path]]


@contextmanager
def listed_once() -> Iterator[None]:
    """List no folder twice inside: every layout that data may have looks through all of them."""
    token = _LISTED.set(_LISTED.get() or {})
    try:
        yield
    finally:
        _LISTED.reset(token)


def _sorted_below(folder: Path) -> list[Path]:
    # Paths compare their parts too, one by one in Python.
    return sorted(_below(folder), key=attrgetter("parts"))


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
    is_ignored = name.startswith(".") or name.lower() in IGNORED
    return not is_ignored and _ABOUT_DATA.fullmatch(name) is None


def watched(items: Iterable[T], what: str, count: int | None = None) -> Iterable[T]:
    """Return the same items; a bar on the terminal shows how many of many were taken.

    Args:
        items: A sequence, or what yields ``count`` of them.
        what: Is done with them.
        count: Of items.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    total = len(items) if isinstance(items, Sequence) else count
    hidden = (total or 0) < MANY or not console.is_terminal
    return track(
        items, description=what, total=total, console=console, transient=True, disable=hidden
    )


class LookAhead(Generic[T]):
    """What is found out of files, each in a thread, and some before they are asked for.

    Args:
        look: Called with each of them once, in threads.
        files: All of them, in about the order in which they will be asked for.
    """

    def __init__(self, look: Callable[[Path], T], files: Sequence[Path]) -> None:
        self._look = look
        self._files = files
        self._index = {file: index for index, file in enumerate(files)}
        self._found: dict[Path, Future[T]] = {}
        self._pool = ThreadPoolExecutor(machine.cores())

    def __getitem__(self, file: Path) -> T:
        """Return what was found out of a file, or raise what was raised."""
        first = self._index[file]
        for coming in self._files[first : first + _AHEAD * machine.cores()]:
            if coming not in self._found:
                self._found[coming] = self._pool.submit(self._look, coming)
        return self._found[file].result()


def location(file: Path, path: Path, line: int | None = None) -> str:
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
            f"'{path}': '{location(named[0], path)}' is named after a split and "
            f"'{location(other, path)}' is not: name all files train, validation or test, or none."
        )
    return found


def lines_of(file: Path, path: Path, problems: list[Problem]) -> list[str | None]:
    """Return the lines of a text file; one that is not valid UTF-8 is a problem, and ``None``."""
    found: list[str | None] = []
    # U+2028 and others end lines for Python, and not for those who wrote the file.
    for number, line in enumerate(decoded(file).text.removesuffix("\n").split("\n"), 1):
        try:
            line.encode("utf-8")
        except UnicodeEncodeError as error:
            found.append(None)
            before = len(line[: error.start].encode("utf-8"))
            text = not_utf8(line.encode("utf-8", "surrogateescape"), before)
            problems.append(Problem(location(file, path, number), text))
        else:
            found.append(line.removesuffix("\r"))
    return found


def not_utf8(line: bytes, at: int) -> str:
    """Return what is wrong with a line that cannot be decoded."""
    return f"is not UTF-8: byte 0x{line[at]:02x} at column {at + 1}"


@dataclass(frozen=True)
class Decoded:
    """The text of a file.

    Args:
        text: What cannot be decoded is carried along as lone surrogates, for messages.
        note: How it was read, where that is not as UTF-8.
    """

    text: str
    note: str | None = None


def suffix_of(file: Path) -> str:
    """Return the suffix of a file in lower case, without that of its compression.

    Example:
        >>> suffix_of(Path("t.CSV.gz")), suffix_of(Path("t.tsv"))
        ('.csv', '.tsv')
    """
    name = file.name.lower().removesuffix(GZIP)
    return Path(name).suffix


def decoded(file: Path) -> Decoded:
    """Return the text of a file, unpacked where its name ends in ``.gz``.

    UTF-8 and UTF-16 are known by their marks and by their bytes. Else what is not UTF-8 is read as
    Windows-1252, the encoding of Western Europe, where it can be that.

    Raises:
        UsageError: It is in another encoding, or it cannot be unpacked.
    """
    data = _bytes(file)
    encoding = _marked(data) or _wide(data)
    if encoding is not None:
        return _strictly(file, data, encoding)
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    broken = data.decode("utf-8", "surrogateescape")
    if len(_LONG.findall(data)) >= sum("\udc80" <= character <= "\udcff" for character in broken):
        return Decoded(broken)
    try:
        text = data.decode(WESTERN)
    except UnicodeDecodeError:
        return Decoded(broken)
    if _is_western(text):
        note = f"{file.name} is not UTF-8: it was read as Windows-1252, of Western Europe"
        return Decoded(text, note)
    raise UsageError(
        f"'{file}' is not UTF-8, and does not look like Windows-1252 either: save it as UTF-8."
    )


def head_of(file: Path, size: int = 1 << 16) -> bytes:
    """Return the first bytes of a file, unpacked; none of one that cannot be."""
    try:
        with gzip.open(file) if file.name.lower().endswith(GZIP) else file.open("rb") as stream:
            return stream.read(size)
    except (OSError, EOFError, zlib.error):
        return b""


def json_in(file: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        BadRecordError: It is none, or it escapes what no text holds.
        UsageError: It cannot be decoded.
    """
    try:
        found = json.loads(decoded(file).text)
    except (ValueError, RecursionError) as error:
        raise BadRecordError(f"is not valid JSON: {error}") from error
    if not is_utf8(json.dumps(found, ensure_ascii=False)):
        raise BadRecordError(HALF)
    return found


def is_utf8(text: str) -> bool:
    """Return whether a text can be written, as one with lone surrogates cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _bytes(file: Path) -> bytes:
    data = file.read_bytes()
    if not file.name.lower().endswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"'{file}' cannot be unpacked: {error}") from error


def _marked(data: bytes) -> str | None:
    return next((encoding for mark, encoding in MARKS if data.startswith(mark)), None)


def _wide(data: bytes) -> str | None:
    """Return which UTF-16 data without a mark are: it has a NUL beside each Latin letter."""
    head = data[:4096]
    ends = head[1::2].count(0), head[::2].count(0)
    if max(ends) <= len(head) / 6:
        return None
    return "utf-16-le" if ends[0] > ends[1] else "utf-16-be"


def _strictly(file: Path, data: bytes, encoding: str) -> Decoded:
    mark = next((mark for mark, name in MARKS if name == encoding and data.startswith(mark)), b"")
    data = data.removeprefix(mark)
    if encoding == "utf-8":
        return Decoded(data.decode("utf-8", "surrogateescape"))
    try:
        return Decoded(data.decode(encoding))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"'{file}' looks like {encoding.upper()[:6]} and is damaged: {error}. Save it as UTF-8."
        ) from error


def _is_western(text: str) -> bool:
    accents = sum(character.isalpha() and not character.isascii() for character in text)
    in_rows = sum(map(len, _SCRIPT.findall(text)))
    return in_rows * 2 <= accents and not _ODD.search(text)
