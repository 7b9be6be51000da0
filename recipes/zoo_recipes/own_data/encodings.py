"""The text of a file, in whatever encoding people and their programs save it."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.content import HALF, BadRecordError
from zoo_registry import UsageError

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


@dataclass(frozen=True)
class Decoded:
    """The text of a file.

    Args:
        text: What cannot be decoded is carried along as lone surrogates, for messages.
        remark: How it was read, where that is not as UTF-8.
    """

    text: str
    remark: str | None = None


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
        remark = f"{file.name} is not UTF-8: it was read as Windows-1252, of Western Europe"
        return Decoded(text, remark)
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
        raise BadRecordError(f"is no JSON: {error}") from error
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
