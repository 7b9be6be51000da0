"""What is asked to be exported: a run folder or a Keras model, with what is known about it."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import zoo_registry
from zoo_export.converters.inference import load_model
from zoo_models.memory import check_file_memory
from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.errors import ExportError
from zoo_runtime.manifest import Decoding
from zoo_runtime.stored import read_npz
from zoo_runtime.tensors import Array, Arrays
from zoo_system import folders
from zoo_system.durable import sha256

# HDF5 and zip say so of damaged files; other numbers are those of a full disk and the like.
OF_DAMAGE = {None, errno.EINVAL}
_NOT_OF_NAMES = re.compile(r"[^A-Za-z0-9._-]")
# Bytes of run.json; the labels of a vocabulary have a few.
_MOST_INFO = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is known of a model before it is looked into; a run tells more than a bare model."""

    model: Any
    name: str
    task: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    assets: Path | None = None
    rows: Mapping[str, Any] | None = None
    targets: Array | None = None
    calibration: Mapping[str, Any] | None = None
    sequence_length: int | None = None
    # Height and width.
    image_size: tuple[int, int] | None = None
    # Of a file whose batch is fixed; none lets it vary there too.
    batch_sizes: tuple[int, ...] = (1,)
    rnn: str | None = None
    optimize: str | None = None
    train_batch: int = 8
    decoding: Decoding | None = None
    license: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    is_run: bool = False
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _RunInfo:
    """What an export takes from ``run.json``; whatever else is there is left alone."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    license: str | None = None
    decoding: Decoding | None = None


def name_of(source: Any) -> str:
    """Return what the artifacts of a run folder, a model or its file are called.

    Raises:
        UsageError: Something that is neither, or a run that was not completed.
    """
    if is_file(source):
        return _NOT_OF_NAMES.sub("-", Path(source).stem).lstrip("._-") or "model"
    if isinstance(source, str | Path):
        recipe = read_info(Path(source))[1].recipe
        name = str(recipe.get("name") or Path(source).resolve().name).rpartition("/")[2]
        if not folders.is_plain_name(name):
            raise UsageError(
                f"Run '{source}' is called {name!r}, which is a path: name it (name=)."
            )
        return name
    _check_model(source)
    spec = getattr(source, "zoo_spec", None)
    return str(spec.name.rpartition("/")[2] if spec else source.name)


def is_file(source: Any) -> bool:
    """Return whether what is exported is a file of a model, and no run."""
    return isinstance(source, str | Path) and Path(source).is_file()


def from_run(folder: Path) -> Request:
    """Read a run folder.

    Raises:
        UsageError: It is no run, or one that was not completed.
    """
    info, known = read_info(folder)
    builder = builder_module(known.model.get("name"))
    if builder is not None:  # what it registers is then known to Keras
        importlib.import_module(builder)
    assets = folder / folders.ASSETS
    importlib.import_module("zoo_models.layers")
    file = folder / folders.MODEL
    if file.is_file() and known.model.get("sha256") not in {None, sha256(file)}:
        raise ExportError(f"'{file}' was changed: its sha256 is not the one in run.json")
    check_file_memory(file)
    with naming_failures(f"The model of run '{folder}'"):
        model = load_model(file)
    examples = read_npz(folder / "examples.npz", of_run=True)
    stored = folder / "calibration.npz"
    keys = ("seed", "versions", "dataset", "metrics", "expected", "started", "finished")
    return Request(
        model=model,
        name=name_of(folder),
        task=known.task,
        labels=known.labels or None,
        preprocessing=known.preprocessing,
        assets=assets if assets.is_dir() else None,
        rows=_stored_inputs(examples),
        targets=examples.get("y"),
        calibration=_stored_inputs(read_npz(stored, of_run=True)) if stored.is_file() else None,
        decoding=known.decoding,
        license=known.license or "",
        provenance={
            "model": known.model.get("name"),
            "recipe": known.recipe,
            **{key: info[key] for key in keys if key in info},
        },
        is_run=True,
        modules=() if builder is None else (builder,),
    )


def builder_module(model: object) -> str | None:
    """Return the module that builds a model of a run, if its name is known here.

    Example:
        >>> builder_module("lenet5")
        'zoo_models.builders.lenet'
    """
    if not isinstance(model, str) or model not in zoo_registry.models:
        return None
    return zoo_registry.models.get(model).target.partition(":")[0]


def stored_examples(path: Path) -> tuple[dict[str, Array], Array]:
    """Read inputs by name and right answers from a file as a run's ``examples.npz``.

    Raises:
        UsageError: It cannot be read, or lacks the answers or the inputs.
    """
    arrays = read_npz(path)
    inputs = _stored_inputs(arrays)
    if not inputs or "y" not in arrays:
        has = ", ".join(arrays) or "nothing"
        raise UsageError(
            f"'{path}' must hold an array x/INPUT for each input and the answers as y; it has "
            f"{has}."
        )
    return inputs, arrays["y"]


def from_model(model: Any, samples: Mapping[str, Any] | None = None) -> Request:
    """Describe a bare Keras model, with what the zoo knows about it and its weights.

    Labels, tokenizer and preprocessing that weights came with are those of the model.

    Args:
        model: Any ``keras.Model``.
        samples: Inputs by name, which tell what a model takes that does not tell it itself.

    Raises:
        UsageError: Something that is no Keras model, or one of which no inputs are known.
    """
    from zoo_export.converters.functional import functional

    _check_model(model)
    spec = getattr(model, "zoo_spec", None)
    loaded = getattr(model, "zoo_weights", None)
    belongings = getattr(loaded, "belongings", None)
    provenance: dict[str, Any] = {"model": spec.name} if spec else {}
    if loaded is not None:
        provenance["weights"] = {"source": loaded.source, "sha256": dict(loaded.sha256)}
    return Request(
        model=functional(model, samples),
        name=name_of(model),
        task=spec.defaults.get("task") if spec else None,
        labels=belongings.labels if belongings else None,
        preprocessing=belongings.preprocessing if belongings else (),
        assets=belongings.assets if belongings else None,
        license=spec.license if spec else "",
        provenance=provenance,
    )


def named_rows(model: Any, rows: Mapping[str, Any] | None) -> dict[str, Array] | None:
    """Return a caller's rows by the names that the inputs have in files.

    Args:
        model: A functional or sequential model.
        rows: Arrays by input name, or as the model itself calls its inputs; states of a streaming
            model that are left out begin as zeros.
    """
    from zoo_export.converters.functional import zero_states
    from zoo_export.converters.inference import named_inputs, raw_names

    if rows is None:
        return None
    names = dict(zip(raw_names(model), named_inputs(model), strict=True))
    given = {names.get(name, name): np.asarray(row) for name, row in rows.items()}
    return {**zero_states(model, given), **given}


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise UsageError(
            f"A {type(model).__name__} cannot be exported: give a keras.Model, a run folder or a "
            "file of a model."
        )


def read_info(folder: Path) -> tuple[dict[str, Any], _RunInfo]:
    """Return what ``run.json`` holds, and the part of it that an export takes, checked.

    Raises:
        UsageError: It is no run, one that was not completed, or a damaged one.
    """
    path = folder / folders.INFO
    if not path.is_file():
        is_saved = (folder / "saved_model.pb").is_file()
        more = " A SavedModel holds no layers: export the Keras model that it was made of."
        raise UsageError(f"'{folder}' is no run: it has no run.json.{more if is_saved else ''}")
    try:
        if path.stat().st_size > _MOST_INFO:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        info = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not complete JSON: {error}.") from error
    if not isinstance(info, dict):
        raise UsageError(f"'{path}' is no run: it must hold an object.")
    status = info.get("status")
    if status != "complete":
        raise UsageError(
            f"Run '{folder}' is {status or 'of unknown status'}, not complete: train it to the "
            "end before exporting it."
        )
    taken = {row.name for row in fields(_RunInfo)}
    return info, schema.read(_RunInfo, {k: v for k, v in info.items() if k in taken}, f"'{path}'")


def _stored_inputs(arrays: Arrays) -> dict[str, Array]:
    return {k.removeprefix("x/"): array for k, array in arrays.items() if k.startswith("x/")}


@contextlib.contextmanager
def naming_failures(what: str) -> Iterator[None]:
    """Turn whatever Keras raises while saving or loading into an error that says what failed."""
    try:
        yield
    except Exception as error:  # Keras raises many kinds, and so do the user's own layers
        if isinstance(error, OSError) and error.errno not in OF_DAMAGE:
            raise
        raise ExportError(f"{what} cannot be saved or loaded: {error}") from error
