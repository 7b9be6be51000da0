"""Files of a bundle: checked against the manifest, and written atomically."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from zoo_registry import UsageError
from zoo_runtime.errors import BundleError, ExportError
from zoo_runtime.manifest import MANIFEST, FileEntry
from zoo_system import durable
from zoo_system.durable import sha256
from zoo_system.errors import taken

# What common file systems take.
_MAX_NAME = 255
_UNFINISHED, _REPLACED = ".unfinished", "replaced"
# Changes of a file that are nearer to each other may have one time; file systems count coarsely.
_TICK_NS = 2_000_000_000


def list_files(folder: Path) -> dict[str, FileEntry]:
    """Return size and sha256 of every file under ``folder`` but its manifest, by path."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    entries = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: FileEntry(path.stat().st_size, sha256(path))
        for name, path in entries.items()
        if name != MANIFEST
    }


def check_files(folder: Path, entries: Mapping[str, FileEntry], shown: Path | None = None) -> None:
    """Refuse a bundle whose files are not those of its manifest by name and size.

    What is in them is checked as they are opened: :func:`as_recorded`.

    Args:
        folder: The bundle.
        entries: What its manifest lists.
        shown: What messages call the bundle; the folder by default.

    Raises:
        BundleError: A path outside the bundle, a link, or a missing, cut or extra file.
    """
    shown = shown or folder
    for name in entries:
        safe_path(folder, name)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BundleError(f"'{name}' of bundle '{shown}' is a link: bundles hold plain files.")
        if not path.is_dir() and name != MANIFEST and name not in entries:
            raise BundleError(f"'{name}' of bundle '{shown}' is not in its manifest: remove it.")
    for name, entry in entries.items():
        _check_size(folder, name, entry, shown)


@contextmanager
def as_recorded(
    folder: Path, names: Sequence[str], entries: Mapping[str, FileEntry], shown: Path
) -> Iterator[None]:
    """Check the sha256 of files of a bundle before something opens them, and that it opened those.

    What was opened is what was hashed if no file was replaced or written to from before its hash
    until after it was opened, which the time of its last change says: no user can set that.

    Args:
        folder: The bundle.
        names: Which of its files.
        entries: What its manifest lists.
        shown: What messages call the bundle.

    Raises:
        BundleError: A file that is not the one of the manifest, or was changed meanwhile.
    """
    before = {name: _Stamp.of(folder / name) for name in names}
    began = time.time_ns()
    for name in names:
        _check_file(folder, name, entries[name], shown)
    yield
    for name in names:
        stamp = before[name]
        is_same = _Stamp.of(folder / name) == stamp
        if not is_same or stamp is None or began - stamp.changed < _TICK_NS:
            _check_file(folder, name, entries[name], shown)
        if not is_same:
            raise BundleError(
                f"'{name}' of bundle '{shown}' was written to or replaced while it was opened: "
                "open it again."
            )


class _Stamp(NamedTuple):
    """What changes when a file is written to or replaced, whatever its own times are set to."""

    device: int
    inode: int
    size: int
    changed: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> _Stamp | None:
        """Return that of a file; ``None`` where there is none."""
        with contextlib.suppress(OSError):
            stat = path.lstat()
            known = stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns, stat.st_mtime_ns
            return cls(*known)
        return None


def safe_path(folder: Path, name: str) -> Path:
    """Return the path that a manifest names, which must lie inside the bundle.

    Raises:
        BundleError: An absolute path, one that leads out, or one that no file system takes.
    """
    parts = name.split("/")
    plain = all(
        part not in {"", ".", ".."} and len(part.encode(errors="replace")) <= _MAX_NAME
        for part in parts
    )
    if (
        not plain
        or "\\" in name
        or "\0" in name
        or ":" in name
        or PurePosixPath(name).is_absolute()
    ):
        raise BundleError(f"The manifest of '{folder}' names {name!r}: a path must stay inside.")
    return folder / name


def _check_size(folder: Path, name: str, entry: FileEntry, shown: Path) -> None:
    path = folder / name
    if path.is_symlink():
        raise BundleError(f"'{name}' of bundle '{shown}' is a link: bundles hold plain files.")
    if not path.is_file():
        raise BundleError(f"'{name}' is missing from bundle '{shown}': copy or export it again.")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BundleError(
            f"'{name}' of bundle '{shown}' has {size:,} bytes; its manifest says "
            f"{entry.bytes:,}: it was cut or changed. Copy or export it again."
        )


def _check_file(folder: Path, name: str, entry: FileEntry, shown: Path) -> None:
    _check_size(folder, name, entry, shown)
    if sha256(folder / name) != entry.sha256:
        raise BundleError(
            f"'{name}' of bundle '{shown}' was changed: its sha256 is not the manifest's. "
            "Copy or export it again."
        )


def check_target(out: Path, *, force: bool) -> None:
    """Refuse an output folder that is taken.

    Raises:
        UsageError: It exists and ``force`` is not set, or it holds something that is not a bundle.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise taken(out)
    if (
        not out.is_dir()
        or out.is_symlink()
        or (any(out.iterdir()) and not (out / MANIFEST).is_file())
    ):
        raise UsageError(
            f"'{out}' is not a bundle: it will not be replaced, with force or without."
        )


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside ``out`` for unfinished work; it is gone afterwards, come what may.

    One whose process was killed, so that it stayed, goes when the next one for ``out`` is made.

    Raises:
        ExportError: The disk is full, or the folder cannot be written to.
    """
    from zoo_system import processes

    with contextlib.ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(out.parent, glob.escape(out.name))
            work = stack.enter_context(
                durable.locked_folder(out.parent, f".{out.name}.", _UNFINISHED)
            )
        except OSError as error:
            raise ExportError(f"'{out}' cannot be written: {_reason(error)}.") from error
        try:
            with processes.interruptible():
                yield work
        except OSError as error:
            raise ExportError(f"Writing '{out}' failed: {_reason(error)}.") from error


def remove_leftovers(folder: Path, names: str = "*") -> None:
    """Remove the work folders in ``folder`` whose processes are no longer alive.

    Args:
        folder: Where they lie.
        names: Pattern of what they were made for.
    """
    tail = f".????????{_UNFINISHED}"

    def holds_the_only_copy(left: Path) -> bool:
        replaced = (left / _REPLACED).exists()
        return replaced and not (folder / left.name[1 : -len(tail)]).exists()

    durable.remove_left(folder, f".{names}{tail}", keep=holds_the_only_copy)


def put_in_place(
    finished: Path,
    out: Path,
    work: Path,
    *,
    force: bool,
    check: Callable[..., None] = check_target,
) -> None:
    """Rename a finished folder to its final name; what it replaces moves to ``work``.

    Args:
        finished: The folder.
        out: Its final name.
        work: As :func:`work_folder` gave it.
        force: Whether something that is there is replaced.
        check: Called as :func:`check_target`, once more: the work may have taken hours.

    Raises:
        UsageError: ``check`` refuses what is at ``out`` by now.
    """
    check(out, force=force)
    if force and out.exists():
        out.rename(work / _REPLACED)
    try:
        durable.rename(finished, out)
    except OSError:
        if (work / _REPLACED).exists():
            (work / _REPLACED).rename(out)
        raise


def size_of(artifact: Path) -> int:
    """Return the bytes of a folder, or of a file and those that hold its larger weights."""
    if artifact.is_dir():
        paths = [*artifact.rglob("*")]
    else:
        paths = [artifact, *artifact.parent.glob(f"{artifact.name}.*")]
    return sum(path.stat().st_size for path in paths if path.is_file())


def remove(artifact: Path) -> None:
    """Delete an artifact, with the files that hold its larger weights."""
    if artifact.is_dir():
        shutil.rmtree(artifact)
    else:
        for path in [artifact, *artifact.parent.glob(f"{artifact.name}.*")]:
            path.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (
        f"{error.strerror or error} ({os.fspath(error.filename)})"
        if error.filename
        else str(error.strerror or error)
    )
