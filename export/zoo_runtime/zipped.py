"""A bundle as one zip: the same files give the same bytes, and nothing else is unpacked."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from zoo_registry import UsageError, ZooError
from zoo_runtime.errors import BundleError
from zoo_runtime.files import safe_path, work_folder
from zoo_runtime.manifest import MANIFEST, MAX_MANIFEST, Manifest
from zoo_system import durable
from zoo_system.errors import taken

# Weights hardly shrink; an archive that swells a hundredfold beyond this holds something else.
_FREE_BYTES, _MAX_RATIO = 1 << 26, 100
_CHUNK = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


def pack(folder: Path, names: Sequence[str], out: Path, *, force: bool = False) -> Path:
    """Write files of a folder as a zip; the same files always give the same bytes.

    Args:
        folder: The bundle.
        names: Its files; the manifest comes first.
        out: The zip.
        force: Whether a file that is there is replaced.

    Raises:
        UsageError: ``out`` is there already.
        ExportError: It cannot be written.
    """
    check_zip(out, force=force)
    with work_folder(out) as work:
        with zipfile.ZipFile(work / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (MANIFEST, *sorted(names)):
                info = zipfile.ZipInfo(name, _DATE)
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                info.file_size = (folder / name).stat().st_size  # so that 4 GB are foreseen
                with (folder / name).open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target, _CHUNK)
        durable.rename(work / "bundle.zip", out)
    return out


def check_zip(out: Path, *, force: bool) -> None:
    """Refuse a zip that is there already, unless it may be replaced.

    Raises:
        UsageError: It is there.
    """
    if out.exists() and not force:
        raise taken(out)


def unpack(path: Path) -> Path:
    """Unpack a zipped bundle into a new private folder and return that.

    Nothing is written before names, kinds and sizes of all entries are those of the manifest.

    Raises:
        BundleError: An archive that is damaged, or that holds anything but the bundle's files.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{path.stem}."))
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(path, archive)
            for info in archive.infolist():
                target = safe_path(folder, info.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, _BROKEN) and not isinstance(error, ZooError):
            raise BundleError(f"'{path}' cannot be unpacked: {error}.") from error
        raise
    return folder


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise BundleError(f"'{path}' holds two files of one name.")
    for name, info in entries.items():
        safe_path(path, name)
        if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG} or info.flag_bits & 1:
            raise BundleError(
                f"'{name}' in '{path}' is not a plain file: bundles hold nothing else."
            )
    if MANIFEST not in entries:
        raise UsageError(f"'{path}' is not a bundle ({MANIFEST} is missing).")
    if entries[MANIFEST].file_size > MAX_MANIFEST:
        raise BundleError(f"{MANIFEST} in '{path}' has {entries[MANIFEST].file_size:,} bytes.")
    manifest = Manifest.read(archive.read(MANIFEST), f"{MANIFEST} in '{path}'")
    wanted = {name: entry.bytes for name, entry in manifest.files.items()}
    found = {name: info.file_size for name, info in entries.items() if name != MANIFEST}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise BundleError(
                f"'{name}' has {_size(found.get(name))} in '{path}' and {_size(wanted.get(name))}"
                " in its manifest."
            )
    _check_swelling(path, sum(info.file_size for info in entries.values()))


def _check_swelling(path: Path, total: int) -> None:
    check_ratio(path, total)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if total > free:
        raise UsageError(
            f"'{path}' needs {total:,} bytes in '{tempfile.gettempdir()}', where {free:,} are free."
        )


def check_ratio(path: Path, total: int) -> None:
    """Refuse an archive that swells as none of ours does.

    Args:
        path: The archive.
        total: Bytes of all that it holds.

    Raises:
        BundleError: It holds a hundred times more than it has.
    """
    size = path.stat().st_size
    if total > _FREE_BYTES + _MAX_RATIO * size:
        raise BundleError(f"'{path}' of {size:,} bytes would swell to {total:,}.")


def _size(size: int | None) -> str:
    return "no entry" if size is None else f"{size:,} bytes"
