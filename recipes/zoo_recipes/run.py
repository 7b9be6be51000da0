"""A run: the folder that a training leaves, and all that anything later needs."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from zoo_models.backend import check_backend
from zoo_models.saved import keras_runner, load_run_model
from zoo_registry import UsageError, ZooError, meaning_of
from zoo_runtime.answers.prediction import Prediction
from zoo_runtime.bundle import Bundle, is_bundle, load_bundle
from zoo_runtime.manifest import Decoding
from zoo_runtime.run_info import RunInfo, read_run_info, resuming
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Tensor
from zoo_runtime.trained import KERAS, as_lines, as_table, check_keras, predictions
from zoo_system import folders
from zoo_system.arguments import explained
from zoo_system.durable import sha256, unwritable, write_text
from zoo_system.errors import first_line, taken

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from zoo_recipes.recipe import Recipe
    from zoo_runtime.generation.generator import Decoders, TextGenerator

INFO, MODEL, HISTORY, LOCK = folders.INFO, folders.MODEL, "history.json", ".lock"
# The plot of its history.
CURVES = "curves.png"
# What a run is to replace, until it is known that it can.
REPLACED = ".replaced"
# Called with the index of an epoch, from 0, and its metrics by name.
OnEpoch = Callable[[int, Mapping[str, float]], None]


class StoppedError(Exception):
    """Ends a training that was asked to stop; it can be resumed."""


@dataclass(frozen=True)
class Run:
    """A folder with a trained model, its recipe and its results.

    Attributes:
        path: The folder.
        info: What ``run.json`` holds.
    """

    path: Path
    info: RunInfo
    kind: ClassVar[str] = "run"

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        """Return its folder: whatever takes a path takes a run."""
        return str(self.path)

    def __repr__(self) -> str:
        """Return what a person wants to know of it, in a few lines."""
        return as_lines(f"Run '{self}'", self._facts())

    def _repr_html_(self) -> str:
        """Return the same as a table, and the curves of the training, for notebooks."""
        from base64 import b64encode

        table = as_table(f"Run '{self}'", self._facts())
        curves = self.path / CURVES
        if not curves.is_file():
            return table
        data = b64encode(curves.read_bytes()).decode()
        return f'{table}<img alt="metrics by epoch" src="data:image/png;base64,{data}">'

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "recipe", self.name
        yield "model", f"{self.info.model.name}, {self.task}"
        yield "status", self.status
        found = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        yield "test", found or "not measured"

    @property
    def status(self) -> str:
        """``running``, ``interrupted``, ``failed`` or ``complete``."""
        return self.info.status

    @property
    def metrics(self) -> dict[str, float]:
        """Of the final model on the test split."""
        return dict(self.info.metrics)

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was trained."""
        # Predicting, with a bundle or a run, needs none.
        from zoo_recipes.recipe import as_recipe

        return as_recipe(self.info.recipe, self.path.name)

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics of each epoch.

        Raises:
            ZooError: The file is missing or damaged.
        """
        path = self.path / HISTORY
        try:
            return _read_history(path)
        except (OSError, ValueError) as error:
            raise ZooError(f"'{path}' cannot be read: {first_line(str(error))}") from error

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.info.recipe["name"])

    @property
    def task(self) -> str | None:
        """The model's head."""
        return self.info.task

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits."""
        return self.info.labels

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Steps from a raw input to the model's inputs."""
        return self.info.preprocessing

    @property
    def decoding(self) -> Decoding | None:
        """How a model of sequences writes a text."""
        return self.info.decoding

    @property
    def assets(self) -> Path:
        """Folder with the files that preprocessing needs."""
        return self.path / folders.ASSETS

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the model takes; it is loaded to find out."""
        return self._runner.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What the model gives; it is loaded to find out."""
        return self._runner.outputs

    @property
    def training(self) -> RunInfo:
        """What is known of its training."""
        return self.info

    @property
    def sha256(self) -> str:
        """Of the trained model's file."""
        return sha256(self.path / MODEL)

    def runtime(self, wanted: str | None = None) -> str:
        """Return ``keras``.

        Raises:
            UsageError: Another one is wanted.
        """
        check_keras(self.path, wanted)
        return KERAS

    def runner(self, runtime: str | None = None) -> Runner:
        """Return the model as a bundle's artifacts are run; it is loaded once.

        Args:
            runtime: ``keras`` or nothing.

        Raises:
            UsageError: Another runtime.
            ZooError: As :meth:`model`.
        """
        self.runtime(runtime)
        return self._runner

    @explained
    def predict(
        self,
        x: Any,
        runtime: str | None = None,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Return predictions for raw inputs, as :meth:`zoo_runtime.bundle.Bundle.predict`.

        Args:
            x: A raw input, or a list of them.
            runtime: ``keras`` or nothing.
            top_k: How many of the most probable predictions to list.

        Raises:
            UsageError: An input that preprocessing cannot take, or another runtime.
            ZooError: As :meth:`model`.
        """
        make = partial(self.text_generator, runtime)
        return predictions(self, self.runner(runtime), x, top_k=top_k, generator=make)

    def text_generator(self, runtime: str | None = None) -> TextGenerator:
        """Return what generates texts with a language model or a seq2seq model.

        Args:
            runtime: ``keras`` or nothing.

        Raises:
            UsageError: A model of another task, or one without a tokenizer.
            ZooError: As :meth:`model`.
        """
        self.runtime(runtime)
        from zoo_runtime.generation.trained import text_generator

        return text_generator(self, self._decoders)

    def _decoders(self, length: int | None) -> Decoders:
        from zoo_models.generation.decoder import keras_decoders  # Keras, where it is needed

        try:
            return keras_decoders(self.model())
        except UsageError as error:
            warnings.warn(f"Every token reads the whole text again: {error}", stacklevel=2)
            from zoo_runtime.generation.trained import recomputing

            return recomputing(self._runner, length)

    @cached_property
    def _runner(self) -> Runner:
        return keras_runner(self.model(), self.task)

    def model(self) -> Any:
        """Load the trained ``keras.Model``.

        Raises:
            ZooError: The file is missing, damaged, or not the one that training left.
        """
        check_backend()
        return load_run_model(self.path, self.info)


def load_run(path: str | Path) -> Run:
    """Return the run in a folder.

    Raises:
        UsageError: No run, or one that is not complete.
    """
    run = read_run(path)
    if run.status != "complete":
        why = first_line(str(run.info.error))
        states = {"running": "was not finished", "failed": f"failed: {why}"}
        raise UsageError(
            f"Run '{run.path}' {states.get(run.status, f'was {run.status}')}. Go on with it: "
            f"{resuming(run.path)}"
        )
    run.info.check_whole(run.path)
    return run


def read_run(path: str | Path) -> Run:
    """Return the run in a folder, also one that is not complete.

    Raises:
        LostInfoError: Its ``run.json`` is missing or damaged.
        UsageError: No run, or one of another version.
    """
    folder = Path(path)
    return Run(folder, read_run_info(folder))


class Record:
    """The ``run.json`` of a training that goes on.

    Args:
        folder: Of the run.
        info: What it records until now.
    """

    def __init__(self, folder: Path, info: RunInfo) -> None:
        self.folder = folder
        self.info = info

    def note(self, **changes: Any) -> None:
        """Change fields of ``info``; :meth:`write` writes them."""
        self.info = replace(self.info, **changes)

    def write(self) -> None:
        """Write ``run.json`` atomically."""
        self.info.write(self.folder)


def open_trained(source: Run | Bundle | str | Path) -> Run | Bundle:
    """Return a run or a bundle, read from its folder where that is given.

    Args:
        source: Either, the folder of either, or a zip of a bundle.

    Raises:
        UsageError: It is neither, or a run that is not complete.
        BundleError: A damaged bundle.
    """
    if isinstance(source, Run | Bundle):
        return source
    if not isinstance(source, str | Path):
        raise UsageError(f"{source!r} is neither a run nor a bundle: give one, or its folder.")
    try:
        if Path(source, INFO).is_file():
            return load_run(source)
        if is_bundle(Path(source)):
            return load_bundle(source)
        runs = sorted(path.parent.name for path in Path(source).glob(f"*/{INFO}"))
    except OSError as error:  # such as a text in place of a path, which is too long for one
        raise UsageError(
            f"'{str(source)[:60]}' cannot be read: {error.strerror or error}."
        ) from error
    if runs:
        raise UsageError(f"'{source}' holds runs ({', '.join(runs)}): name one of them.")
    known = meaning_of(str(source), "run")
    raise UsageError(
        f"'{source}' is neither a run folder nor a bundle: it has no {INFO} and no "
        f"{folders.MANIFEST}.{known} `zoo train` makes runs, `zoo export` bundles."
    )


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
            pass  # no other process is training it


def _check_contents(path: Path, *, force: bool) -> None:
    if path.is_file() or _contents(path):
        if not force:
            raise taken(path)
        if not (path / INFO).is_file():
            raise UsageError(
                f"'{path}' is not a run folder ({INFO} is missing): --force deletes runs only."
            )


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
        taken: Message when another process holds it.
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
    """Write JSON atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _read_history(path: Path) -> dict[str, list[float]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error
    history: dict[str, list[float]] = _history_adapter().validate_python(found, strict=True)
    if len({len(values) for values in history.values()}) > 1:
        raise ValueError("it has more epochs of one metric than of another")
    return history


@cache
def _history_adapter() -> TypeAdapter[dict[str, list[float]]]:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, list[float]])
