"""Files that packages of the npm registry carry: fetched and unpacked, never installed or run.

For code that runs in a browser. Node is not needed: a package is one archive at a known address.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from zoo_system.errors import ZooError
from zoo_system.packages import cache_folder, kept

REGISTRY = "https://registry.npmjs.org"
TIMEOUT = 60.0
# Every archive of the registry has its files in this folder.
_ROOT = "package"


@dataclass(frozen=True)
class NpmPackage:
    """Some files of one package, pinned.

    Args:
        name: As in ``npm install``.
        version: Exactly.
        sha512: Of the archive in base64: npm's ``integrity`` without its ``sha512-``.
        files: Those that are needed, by their paths in the package; one that ends with ``/`` is a
            folder with all that is in it.
    """

    name: str
    version: str
    sha512: str
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where the files are unpacked; other files or another archive have another folder."""
        pinned = hashlib.sha256("\n".join([self.sha512, *self.files]).encode()).hexdigest()
        plain = self.name.replace("@", "").replace("/", "-")
        return cache_folder() / "npm" / f"{plain}-{self.version}-{pinned[:12]}"

    @property
    def address(self) -> str:
        """Where its archive is: at ``npm_config_registry``, or else npm's own registry."""
        archive = f"{self.name.rpartition('/')[2]}-{self.version}.tgz"
        return f"{_registry().rstrip('/')}/{self.name}/-/{archive}"


def _registry() -> str:
    # As npm reads it: in any case.
    named = (v for k, v in os.environ.items() if k.lower() == "npm_config_registry" and v)
    return next(named, REGISTRY)


def unpacked(package: NpmPackage) -> Path:
    """Return the folder with the files of a package, fetched the first time.

    Args:
        package: Which; an archive with another sha512 is refused before anything of it is read.

    Raises:
        ZooError: It cannot be fetched, is another one than was pinned, or lacks a file.
    """
    return kept(package.folder, lambda work: _make(package, work)) / _ROOT


def _make(package: NpmPackage, work: Path) -> None:
    archive = work / "package.tgz"
    _fetch(package, archive)
    _check(package, archive)
    _unpack(package, archive, work / "files")


def _fetch(package: NpmPackage, archive: Path) -> None:
    address = package.address
    if not address.startswith(("https://", "http://")):
        raise ZooError(f"npm_config_registry is no web address: '{address}'.")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, archive.open("wb") as file:
            while block := answer.read(1 << 20):
                file.write(block)
    except (urllib.error.URLError, OSError) as error:
        raise ZooError(
            f"npm package '{package.name}' {package.version} cannot be fetched from {address}: "
            f"{getattr(error, 'reason', error)}. Do this once with a connection, or copy "
            f"'{package.folder}' from a machine that has it."
        ) from error


def _check(package: NpmPackage, archive: Path) -> None:
    with archive.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != package.sha512:
        raise ZooError(
            f"{package.address} is not the archive that was pinned: its sha512 is {found}, "
            f"wanted {package.sha512}."
        )


def _unpack(package: NpmPackage, archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            wanted = [f"{_ROOT}/{name}" for name in package.files]
            members = [tar.getmember(name) for name in wanted if not name.endswith("/")]
            inside = tuple(name for name in wanted if name.endswith("/"))
            members += [member for member in tar if member.name.startswith(inside)]
            tar.extractall(folder, members, filter="data")
    except (tarfile.TarError, KeyError, OSError) as error:
        raise ZooError(f"'{package.address}' cannot be unpacked: {error}") from error
