"""Files that Debian packages carry: fetched from a mirror and unpacked, never installed.

Neither apt nor dpkg is needed: a package is one archive at a known address, an ``ar`` file with a
tar of the files in it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

MIRROR = "https://deb.debian.org/debian"
_MAGIC = b"!<arch>\n"
_HEADER = 60


def address(pool: str, file: str) -> str:
    """Return where a package is: on the mirror in ``DEBIAN_MIRROR``, or Debian's own.

    Args:
        pool: Folder of its source package in the pool, such as ``main/h/hello``.
        file: Its name, such as ``hello_2.10-3_amd64.deb``.

    Example:
        >>> address("main/h/hello", "hello_2.10-3_amd64.deb").partition("/pool/")[2]
        'main/h/hello/hello_2.10-3_amd64.deb'
    """
    mirror = os.environ.get("DEBIAN_MIRROR") or MIRROR
    return f"{mirror.rstrip('/')}/pool/{pool}/{file}"


def unpack_deb(package: Path, folder: Path) -> None:
    """Unpack the files of a package.

    Args:
        package: A ``.deb`` file.
        folder: Where they go; made if it is not there.

    Raises:
        tarfile.TarError: It is no such package.
    """
    for name, content in _members(package.read_bytes()):
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.extractall(folder, filter="data")
            return
    raise tarfile.ReadError(f"'{package.name}' has no data.tar in it")


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    if not archive.startswith(_MAGIC):
        raise tarfile.ReadError("it is no ar archive")
    at = len(_MAGIC)
    while at + _HEADER <= len(archive):
        header = archive[at : at + _HEADER]
        size = int(header[48:58])
        at += _HEADER
        yield header[:16].decode("ascii").rstrip(" /"), archive[at : at + size]
        at += size + size % 2  # each begins at an even place
