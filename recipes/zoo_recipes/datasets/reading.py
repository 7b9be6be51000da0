"""From a prepared dataset to its examples in memory."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from zoo_export.preprocess.pixels import is_white_1
from zoo_recipes.datasets.on_disk import examples_on_disk
from zoo_recipes.datasets.rows import Examples, Rows, class_names, places_of, stacked
from zoo_recipes.own_data.content import PLACE
from zoo_registry import UsageError, did_you_mean
from zoo_registry.quiet import quiet_logger

# Of this machine's memory; a training also holds prepared arrays and the model.
MEMORY_SHARE = 0.4


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
        UsageError: No such split or feature, or more data than memory holds. Pictures that it does
            not hold are decoded once to the disk.
    """
    inputs = (input,) if isinstance(input, str) else tuple(input)
    wanted = [*(("dataset.input", name) for name in inputs)]
    wanted += [("dataset.label", label)] if label else []
    _check_features(builder, [*wanted, ("slice", group)] if group else wanted)
    count = _num_examples(builder, split)
    rows = Rows(builder, split, inputs, label, group, steps)
    digest = hashlib.sha256()
    with quiet_logger("absl"):  # of what tensorflow-datasets warns
        coming = rows.read(digest)
        first = next(coming)
        size = rows.picture_size(first)
        # Pictures are prepared batch by batch; preprocessing makes float32 of all else.
        needed = count * (math.prod(size) if size else 5 * _bytes(first.raw))
        available = MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > available and size:
            return examples_on_disk(rows, count, size)
        if needed > available:
            _refuse_as_too_large(builder.info.full_name, split, needed, available)
        read = [first, *coming]
    raws = [row.raw for row in read]
    if any(step.get("step") == "image" for step in steps) and is_white_1(raws):
        _refuse_as_black(builder.info.full_name, split, raws[0].dtype)
    return Examples(
        raws,
        stacked([row.label for row in read]) if label else None,
        digest.hexdigest(),
        [row.group for row in read] if group else None,
        class_names(builder, label),
        places_of(read),
    )


def fingerprint(name: str, version: str, hashes: list[str]) -> str:
    """Return the sha256 of a dataset: its name, its version and the content of its splits."""
    return hashlib.sha256("\n".join([name, version, *hashes]).encode()).hexdigest()


def _check_features(builder: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for key, feature in wanted:
        if feature not in builder.info.features:
            names = [name for name in builder.info.features if name != PLACE]
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


def _bytes(raw: Any) -> int:
    if isinstance(raw, tuple):
        return sum(map(_bytes, raw))
    # Beside a sound stands its rate, a plain number.
    return len(raw) if isinstance(raw, str) else int(getattr(raw, "nbytes", 0))


def _refuse_as_black(name: str, split: str, dtype: Any) -> NoReturn:
    raise UsageError(
        f"The pictures of split '{split}' of '{name}' have {dtype} pixels of 0 to 1, and here "
        "pixels go from 0 to 255: multiply them by 255."
    )


def _refuse_as_too_large(name: str, split: str, needed: float, available: float) -> NoReturn:
    raise UsageError(
        f"Split '{split}' of '{name}' needs about {needed / 2**30:.1f} GiB in memory, more "
        f"than the {available / 2**30:.1f} GiB set aside for it: train on a part of it, such "
        f"as dataset.train=train[:{max(1, int(100 * available / needed))}%]."
    )
