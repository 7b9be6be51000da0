"""A run: the folder that a training leaves, and all that anything later needs."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.build import check_backend
from zoo_models.calling import load_builder
from zoo_models.memory import check_file_memory
from zoo_recipes.recipe import Recipe, as_recipe
from zoo_recipes.run_info import mistake_in, read_history
from zoo_registry import UsageError, ZooError
from zoo_system import folders
from zoo_system.durable import sha256, unwritable, write_text
from zoo_system.errors import first_line

FORMAT_VERSION = 1
INFO, MODEL, HISTORY, LOCK = folders.INFO, folders.MODEL, "history.json", ".lock"
RECIPE = "recipe.toml"
# Bytes of run.json; the labels of a vocabulary have a few.
_MOST_INFO, _MOST_DIGITS = 1 << 28, 40
# What a run is to replace, until it is known that it can.
REPLACED = ".replaced"
# Told the number of an epoch, from 0, and its metrics by name.
OnEpoch = Callable[[int, Mapping[str, float]], None]


class LostInfoError(UsageError):
    """A run whose ``run.json`` is missing or damaged; a training that goes on makes it anew."""


class StoppedError(Exception):
    """Ends a training that was told to stop; it can be resumed."""


@dataclass(frozen=True)
class Run:
    """A folder with a trained model, its recipe and its results.

    Attributes:
        path: The folder.
        info: What ``run.json`` holds.
    """

    path: Path
    info: Mapping[str, Any]

    @property
    def status(self) -> str:
        """``running``, ``interrupted``, ``failed`` or ``complete``."""
        return str(self.info["status"])

    @property
    def metrics(self) -> dict[str, float]:
        """Of the final model on the test split."""
        return dict(self.info["metrics"])

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was trained."""
        return as_recipe(self.info["recipe"], self.path.name)

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics of each epoch.

        Raises:
            ZooError: The file is missing or damaged.
        """
        path = self.path / HISTORY
        try:
            return read_history(path)
        except (OSError, ValueError) as error:
            raise ZooError(f"'{path}' cannot be read: {first_line(str(error))}") from error

    @property
    def assets(self) -> Path:
        """Folder with the files that preprocessing needs."""
        return self.path / folders.ASSETS

    def model(self) -> Any:
        """Load the trained ``keras.Model``.

        Raises:
            ZooError: The file is missing, damaged, or not the one that training left.
        """
        check_backend()
        import keras

        # Keras finds the model's own layers only once their module is imported.
        load_builder(zoo_registry.models.get(self.info["model"]["name"]))
        importlib.import_module("zoo_models.layers")
        path = self.path / MODEL
        if path.is_file() and self.info["model"].get("sha256") not in {None, sha256(path)}:
            raise ZooError(f"'{path}' was changed: its sha256 is not the one in {INFO}.")
        check_file_memory(path)
        try:
            return keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # zip, HDF5, JSON and Keras each raise their own
            raise ZooError(f"'{path}' cannot be loaded: {error}") from error


def load_run(path: str | Path) -> Run:
    """Return the run in a folder.

    Raises:
        UsageError: No run, or one that is not complete.
    """
    run = read_run(path)
    if run.status != "complete":
        why = first_line(str(run.info.get("error")))
        states = {"running": "was not finished", "failed": f"failed: {why}"}
        raise UsageError(
            f"Run '{run.path}' {states.get(run.status, f'was {run.status}')}. Go on with it: "
            f"{resuming(run.path)}"
        )
    return run


def read_run(path: str | Path) -> Run:
    """Return the run in a folder, also one that is not complete.

    Raises:
        LostInfoError: Its ``run.json`` is missing or damaged.
        UsageError: No run, or one of another version.
    """
    folder = Path(path)
    info_path = folder / INFO
    if not info_path.is_file():
        if (folder / RECIPE).is_file():
            raise _lost(folder, "is missing")
        raise UsageError(f"'{folder}' is no run: it has no {INFO}. `zoo train` makes runs.")
    try:
        if info_path.stat().st_size > _MOST_INFO:
            raise ValueError(f"it has {info_path.stat().st_size:,} bytes")
        text = info_path.read_text(encoding="utf-8")
        info = json.loads(
            text,
            object_hook=lambda data: _Told(data, where=info_path),
            parse_int=_whole,
        )
    except (ValueError, RecursionError) as error:
        raise _lost(folder, f"is damaged: {error}") from error
    if not isinstance(info, dict):
        raise _lost(folder, "is damaged: it must hold an object.")
    if info.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"Run '{folder}' has format {info.get('format_version')}; this Kerazoo reads "
            f"{FORMAT_VERSION}."
        )
    status = info.get("status")
    recipe = info.get("recipe")
    if not isinstance(status, str) or not isinstance(recipe, dict) or "name" not in recipe:
        raise _lost(folder, "is damaged: it needs 'status' and 'recipe' with a name.")
    mistake = mistake_in(text)
    if mistake:
        raise _lost(folder, f"is damaged: {mistake}.")
    return Run(folder, info)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


class _Told(dict[str, Any]):
    """An object of a ``run.json``, which may come from elsewhere and lack anything."""

    def __init__(self, data: Mapping[str, Any], *, where: Path) -> None:
        super().__init__(data)
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise UsageError(f"'{self._where}' is damaged: it has no '{key}'.")


def _lost(folder: Path, what: str) -> LostInfoError:
    text = f"'{folder / INFO}' {what}"
    if (folder / RECIPE).is_file():
        way = f"Make it anew from {RECIPE} and the checkpoints, and go on: {resuming(folder)}"
        text = f"{text.rstrip('.')}. {way}"
    return LostInfoError(text)


def asset_of(weights: str | None, name: str) -> Path | None:
    """Return a file that weights are of no use without, where they are those of a run.

    Args:
        weights: As :func:`zoo.get_model` takes them.
        name: Of the asset, such as ``tokenizer.json``.
    """
    if weights is None or not Path(weights, INFO).is_file():
        return None
    path = Path(weights, folders.ASSETS, name)
    return path if path.is_file() else None


def resuming(folder: Path) -> str:
    """Return the command that goes on with a run.

    Example:
        >>> resuming(Path("runs/my digits"))
        "zoo train --resume 'runs/my digits'"
    """
    return f"zoo train --resume {shlex.quote(str(folder))}"


def check_free(path: Path, *, force: bool) -> None:
    """Refuse a folder that a run may not be written to.

    Args:
        path: Where the run is to be.
        force: Whether a run that is there may be replaced.

    Raises:
        UsageError: Something is there already.
    """
    _check_contents(path, force=force)
    if (path / INFO).is_file():
        with held(path):
            pass  # nobody is training it


def _check_contents(path: Path, *, force: bool) -> None:
    if path.is_file() or _contents(path):
        if not force:
            raise UsageError(f"'{path}' already exists: choose another --out, or use --force.")
        if not (path / INFO).is_file():
            raise UsageError(f"'{path}' is no run: --force deletes runs only.")


def _contents(path: Path) -> list[Path]:
    return [child for child in path.iterdir() if child.name != LOCK] if path.is_dir() else []


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a run's folder from other processes while it is written; the dead hold nothing.

    Raises:
        UsageError: Another process holds it.
        ZooError: It cannot be written.
    """
    taken = f"'{folder}' is being trained by another process: wait for it, or choose another --out."
    with locked(folder / LOCK, taken):
        yield


@contextmanager
def locked(path: Path, taken: str = "", *, timeout: float = 0) -> Iterator[None]:
    """Keep other processes from what a file stands for; the dead hold nothing.

    Args:
        path: The file; it is there as long as it is held.
        taken: What to say when another process holds it.
        timeout: Seconds to wait for that one; -1 waits for ever.

    Raises:
        UsageError: Another process holds it.
        ZooError: It cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(taken) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def new_folder(path: Path, *, force: bool) -> Iterator[None]:
    """Make an empty folder for a run, and keep it from other processes as :func:`held` does.

    A run that is refused (:class:`zoo_registry.UsageError`) leaves nothing, and what it was to
    replace is back in its place.

    Args:
        path: What :func:`check_free` let pass, maybe long ago.
        force: Whether a run that is there is replaced.

    Raises:
        UsageError: Another process has begun a run there since.
        ZooError: The folder cannot be written.
    """
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with held(path):
            _check_contents(path, force=force)
            with _emptied(path):
                yield
    except UsageError:
        if is_new:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _emptied(path: Path) -> Iterator[None]:
    """Set aside what is in a folder; it is back if what is to be there instead is refused."""
    aside = path / REPLACED
    try:
        # Where it is there already, its successor was killed before it was one.
        if not aside.is_dir() and _contents(path):
            _move(_contents(path), aside)
        _delete(child for child in _contents(path) if child != aside)
        (path / folders.ASSETS).mkdir()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    except UsageError:
        _delete(child for child in _contents(path) if child != aside)
        _move(_contents(aside), path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(children: Iterable[Path], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for child in children:
        child.rename(folder / child.name)


def _delete(children: Iterable[Path]) -> None:
    for child in list(children):
        is_folder = child.is_dir() and not child.is_symlink()
        shutil.rmtree(child) if is_folder else child.unlink()


def write_json(path: Path, data: Any) -> None:
    """Write JSON, all or nothing."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
