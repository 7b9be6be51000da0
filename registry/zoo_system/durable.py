"""Files that are whole and stay so: write, sync, rename, sync the folder; and their hash.

A rename alone is atomic for other processes, not for a machine that loses its power: the new name
may be on the disk before what it names (Pillai et al., All File Systems Are Not Created Equal,
OSDI 2014). Whatever is to be found whole afterwards is written by one of these functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_system.errors import ZooError

# What the name of an unfinished file begins with; one whose process was killed stays.
PARTIAL = ".partial-"
# What the name of a folder begins with that is being made.
_PREPARING = ".preparing-"


def write(path: Path, produce: Callable[[Path], Any]) -> None:
    """Let ``produce`` write a file under another name, then give it its own.

    Args:
        path: The final name.
        produce: Takes a path with the same suffix.

    Raises:
        ZooError: The disk is full or cannot be written; what was there stays.

    Example:
        >>> note = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write(note, lambda part: part.write_text("whole", encoding="utf-8"))
        >>> note.read_text(encoding="utf-8"), len(list(note.parent.iterdir()))
        ('whole', 1)
    """
    try:
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    os.close(handle)
    part = Path(name)
    try:
        produce(part)
        part.chmod(0o644)
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, as :func:`write` does."""
    write(path, lambda part: part.write_text(text, encoding="utf-8"))


def rename(finished: Path, home: Path) -> None:
    """Give a finished file or folder its final name, once all of it is on the disk.

    Args:
        finished: On the same disk.
        home: Its name; what is there already is not replaced, unless it is a file.

    Raises:
        OSError: The disk is full, or a folder is there.
    """
    for path in [*finished.rglob("*"), finished]:
        if not path.is_symlink():
            _sync(path)
    finished.replace(home)
    _sync(home.parent)


def remove_partial(folder: Path) -> None:
    """Remove the unfinished files that killed processes left in a folder and those inside it.

    Args:
        folder: One that nobody else is writing to.
    """
    for left in [*folder.rglob(f"{PARTIAL}*")]:
        with contextlib.suppress(OSError):
            left.unlink()


def unwritable(path: Path, error: OSError) -> ZooError:
    """Return the error of a path that cannot be written."""
    return ZooError(f"'{path}' cannot be written: {error}")


@contextmanager
def locked_folder(parent: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """Make a folder for unfinished work, locked as long as this process lives, and remove it.

    Args:
        parent: Where it is made.
        prefix: What its name begins with, as of all of its kind.
        suffix: What its name ends with.
    """
    while True:
        work = Path(tempfile.mkdtemp(suffix, prefix, parent))
        lock = None
        with contextlib.suppress(OSError):  # without locks, what is left there stays
            lock = _lock(work)
        # Before it was locked, another process may have taken it for left.
        if work.exists():
            break
        _unlock(lock)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        _unlock(lock)


def remove_left(
    parent: Path, pattern: str, keep: Callable[[Path], bool] = lambda left: False
) -> None:
    """Remove the folders of :func:`locked_folder` whose processes are no longer alive.

    Args:
        parent: Where they lie.
        pattern: A glob of their names.
        keep: Says which of them may hold the only copy of something.
    """
    for left in parent.glob(pattern):
        with contextlib.suppress(OSError):  # its process lives, or has just removed it
            lock = _lock(left, wait=False)
            try:
                # On Windows nobody can tell: it stays.
                if lock is not None and not keep(left):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                _unlock(lock)


def _lock(folder: Path, *, wait: bool = True) -> int | None:
    """Return what holds a folder until it is closed, or ``None`` on Windows.

    Raises:
        OSError: Another process holds it, it is gone, or its disk knows no locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(lock)
        raise
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def made_in_place(home: Path, make: Callable[[Path], Path]) -> None:
    """Have a folder made under a name of its own, then rename it: two processes may do it at once.

    Args:
        home: Its final name.
        make: Takes an empty folder on the same disk and returns the complete folder in it.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    remove_left(home.parent, f"{_PREPARING}*")
    with locked_folder(home.parent, _PREPARING) as own:
        made = make(own)
        try:
            rename(made, home)
        except OSError:
            if not home.is_dir():  # another process has not put one there before
                raise


def kept(home: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made the first time.

    Args:
        home: Its final name.
        make: Gets an empty folder to work in and makes the folder ``files`` there.
    """

    def made(folder: Path) -> Path:
        make(folder)
        return folder / "files"

    if not home.is_dir():
        made_in_place(home, made)
    return home


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folder, and lists what was renamed
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
