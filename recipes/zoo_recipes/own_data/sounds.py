"""A folder of sounds for each class."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.class_folders import class_members, has_class_folders
from zoo_recipes.own_data.content import (
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_registry import UsageError

SOUNDS = Kind(
    name="sounds in classes",
    input="audio",
    label="label",
    tasks=("audio-classification",),
    unit="seconds",
)
SAMPLES, RATE = "samples", "sample_rate"


def sound_feature() -> Any:
    """Return the TFDS feature of sounds of one channel that may each have a rate of their own."""
    import numpy as np
    import tensorflow_datasets as tfds

    samples = tfds.features.Tensor(
        shape=(None,), dtype=np.float32, encoding=tfds.features.Encoding.ZLIB
    )
    return tfds.features.FeaturesDict({SAMPLES: samples, RATE: tfds.features.Scalar(np.int32)})


def is_sound_folder(path: Path) -> bool:
    """Return whether a folder has folders, and sounds in them."""
    from zoo_runtime.preprocess.audio import SUFFIXES

    return has_class_folders(path, SUFFIXES)


def read_sounds(path: Path, columns: Columns) -> Content:
    """Read every file once.

    Channels are mixed. Each sound keeps its own sample rate, and preprocessing brings all to one.

    Args:
        path: ``class/sound``, or ``train/class/sound`` with its siblings.
        columns: Not used.

    Raises:
        ZooError: The library that reads files is not installed.
    """
    import tensorflow_datasets as tfds

    examples: list[Example] = []
    problems: list[Problem] = []
    remarks: list[str] = []
    rates: Counter[int] = Counter()
    channels: Counter[int] = Counter()
    for member in class_members(path, problems, remarks):
        try:
            samples, rate = _checked(member.file)
        except UsageError as error:
            text = str(error).removeprefix(f"'{member.file}' ").removesuffix(".")
            problems.append(Problem(member.where, text))
            continue
        rates[rate] += 1
        channels[samples.shape[1]] += 1
        digest = digest_of(str(rate), str(samples.shape), samples.tobytes())
        values = {"audio": partial(_sound, member.file), "label": member.label}
        size = (len(samples) / rate,)
        examples.append(Example(member.where, member.split, digest, values, size))
    names = class_names([str(example.values["label"]) for example in examples])
    features = {"audio": sound_feature(), "label": tfds.features.ClassLabel(names=names)}
    remarks += [*_mixed("sample rates in Hz", rates), *_mixed("channels", channels)]
    return Content(SOUNDS, features, examples, problems, remarks)


def _checked(file: Path) -> tuple[Any, int]:
    from zoo_runtime.preprocess.audio import as_mono, read_audio

    samples, rate = read_audio(file)
    if not len(samples):
        raise UsageError("has no samples.")
    as_mono((samples, rate), rate)
    return samples, rate


def _sound(file: Path) -> dict[str, Any]:
    from zoo_runtime.preprocess.audio import read_audio

    samples, rate = read_audio(file)
    return {SAMPLES: samples.mean(axis=1), RATE: rate}


def _mixed(what: str, counts: Counter[int]) -> list[str]:
    if len(counts) < 2:
        return []
    return [f"several {what}: {', '.join(f'{n:,} ({counts[n]:,} files)' for n in sorted(counts))}"]
