"""What is asked to be exported: a run folder or a Keras model, with what is known about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.options import ExportOptions
from zoo_models.saved import builder_module, load_run_model
from zoo_registry import UsageError, ZooError
from zoo_runtime.errors import ExportError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.manifest import Decoding
from zoo_runtime.run_info import RunInfo, read_run_info
from zoo_runtime.saved_samples import read_npz, saved_inputs
from zoo_runtime.tensors import Array, Arrays
from zoo_system import folders

_NOT_OF_NAMES = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is known of a model before it is inspected; a run has more than a bare model.

    A model of KerasHub may bring a ``tokenizer``, and how its texts end; ``no_tokenizer`` says why
    its bundle has no file of it.
    """

    model: Any
    name: str
    task: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    assets: Path | None = None
    rows: Mapping[str, Any] | None = None
    targets: Array | None = None
    calibration: Mapping[str, Any] | None = None
    options: ExportOptions = field(default_factory=ExportOptions)
    decoding: Decoding | None = None
    license: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    is_run: bool = False
    modules: tuple[str, ...] = ()
    tokenizer: tuple[Any, GenerationConfig] | None = None
    no_tokenizer: str = ""


def name_of(source: Any) -> str:
    """Return what the artifacts of a run folder, a model or its file are called.

    Raises:
        UsageError: Something that is neither, or a run that was not completed.
    """
    if is_file(source):
        return _NOT_OF_NAMES.sub("-", Path(source).stem).lstrip("._-") or "model"
    if isinstance(source, str | Path):
        name = str(complete(Path(source)).recipe["name"]).rpartition("/")[2]
        if not folders.is_plain_name(name):
            raise UsageError(
                f"Run '{source}' is called {name!r}, which is a path: name it (name=)."
            )
        return name
    _check_model(source)
    spec = getattr(source, "zoo_spec", None)
    return str(spec.name.rpartition("/")[2] if spec else source.name)


def is_file(source: Any) -> bool:
    """Return whether what is exported is a file of a model, and not a run."""
    return isinstance(source, str | Path) and Path(source).is_file()


def from_run(folder: Path) -> Request:
    """Read a run folder.

    Raises:
        UsageError: It is not a run folder, or one that was not completed.
    """
    info = complete(folder)
    assets = folder / folders.ASSETS
    try:
        model = load_run_model(folder, info)
    except UsageError:
        raise
    except ZooError as error:
        raise ExportError(str(error)) from error
    builder = builder_module(info.model.name)
    examples = read_npz(folder / "examples.npz", of_run=True)
    saved = folder / "calibration.npz"
    return Request(
        model=model,
        name=name_of(folder),
        task=info.task,
        labels=info.labels or None,
        preprocessing=info.preprocessing,
        assets=assets if assets.is_dir() else None,
        rows=saved_inputs(examples),
        targets=known_targets(examples.get("y"), saved_inputs(examples)),
        calibration=saved_inputs(read_npz(saved, of_run=True)) if saved.is_file() else None,
        decoding=info.decoding,
        license=info.license or "",
        provenance=info.provenance,
        is_run=True,
        modules=() if builder is None else (builder,),
    )


def known_targets(targets: Array | None, inputs: Arrays) -> Array | None:
    """Return targets with -1 for what stands behind the end of a target text.

    Args:
        targets: As a run learned them; padding may be a token like any other there.
        inputs: Of the same examples.

    Example:
        >>> mask = {"decoder_padding_mask": np.array([[1, 1, 0]])}
        >>> known_targets(np.array([[7, 3, 0]]), mask)
        array([[ 7,  3, -1]])
    """
    mask = inputs.get("decoder_padding_mask")
    if targets is None or mask is None or mask.shape != targets.shape:
        return targets
    return np.where(mask > 0, targets, -1)


def saved_examples(path: Path) -> tuple[dict[str, Array], Array]:
    """Read inputs by name and right answers from a file as a run's ``examples.npz``.

    Raises:
        UsageError: It cannot be read, or lacks the answers or the inputs.
    """
    arrays = read_npz(path)
    inputs = saved_inputs(arrays)
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
        samples: Inputs by name, which give the signature of a model that does not have it.

    Raises:
        UsageError: Something that is not a Keras model, or one of which no inputs are known.
    """
    from zoo_export.reading.functional import functional

    _check_model(model)
    spec = getattr(model, "zoo_spec", None)
    loaded = getattr(model, "zoo_weights", None)
    assets = getattr(loaded, "assets", None)
    source = getattr(loaded, "source", None)
    of_weights = assets.license if assets else ""
    provenance: dict[str, Any] = {"model": spec.name} if spec else {}
    if loaded is not None:
        provenance["weights"] = {"source": loaded.source, "sha256": dict(loaded.sha256)}
    return Request(
        model=functional(model, samples),
        name=name_of(model),
        task=spec.defaults.get("task") if spec else None,
        labels=assets.labels if assets else None,
        preprocessing=assets.preprocessing if assets else (),
        assets=assets.folder if assets else None,
        decoding=Decoding(config=assets.generation, chat=assets.chat) if assets else None,
        # The spec names the licence of its own weights alone.
        license=spec.license if spec and source in {None, spec.weights} else of_weights,
        provenance=provenance,
    )


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise UsageError(
            f"A {type(model).__name__} cannot be exported: give a keras.Model, a run folder or a "
            "file of a model."
        )


def complete(folder: Path) -> RunInfo:
    """Return the ``run.json`` of a run.

    Raises:
        UsageError: It is not a run folder, one that was not completed, or a damaged one.
    """
    if (folder / "saved_model.pb").is_file() and not (folder / folders.INFO).is_file():
        raise UsageError(
            f"'{folder}' is not a run folder (run.json is missing). A SavedModel holds no layers: "
            "export the Keras model that it was made of."
        )
    info = read_run_info(folder)
    if info.status != "complete":
        raise UsageError(
            f"Run '{folder}' is {info.status}, not complete: train it to the end before exporting "
            "it."
        )
    return info
