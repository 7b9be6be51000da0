"""A folder of audio clips for each class."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.class_folders import class_members, has_class_folders
from zoo_recipes.custom_data.content import (
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import watched
from zoo_registry import UsageError

AUDIO = Kind(
    name="sounds in classes",
    input="audio",
    label="label",
    tasks=("audio-classification",),
    unit="seconds",
)
SAMPLES, RATE = "samples", "sample_rate"


def audio_feature() -> Any:
    """Return the TFDS feature of mono audio clips, each with a sample rate of its own."""
    import numpy as np
    import tensorflow_datasets as tfds

    samples = tfds.features.Tensor(
        shape=(None,), dtype=np.float32, encoding=tfds.features.Encoding.ZLIB
    )
    return tfds.features.FeaturesDict({SAMPLES: samples, RATE: tfds.features.Scalar(np.int32)})


def is_audio_folder(path: Path) -> bool:
    """Return whether a folder has folders, and audio clips in them."""
    from zoo_runtime.preprocess.audio import SUFFIXES

    return has_class_folders(path, SUFFIXES)


def read_audio_folder(path: Path, columns: Columns) -> Content:
    """Read every file once.

    Channels are mixed. Each audio clip keeps its own sample rate, and preprocessing brings all to
    one.

    Args:
        path: ``class/clip``, or ``train/class/clip`` with its siblings.
        columns: Not used.

    Raises:
        ZooError: The library that reads files is not installed.
    """
    import tensorflow_datasets as tfds

    examples: list[Example] = []
    problems: list[Problem] = []
    notes: list[str] = []
    rates: Counter[int] = Counter()
    channels: Counter[int] = Counter()
    members = class_members(path, notes)
    for member in watched(members, "reading audio clips"):
        if isinstance(member, Problem):
            problems.append(member)
            continue
        try:
            samples, rate = _checked(member.file)
        except UsageError as error:
            text = str(error).removeprefix(f"'{member.file}' ").removesuffix(".")
            problems.append(Problem(member.where, text))
            continue
        rates[rate] += 1
        channels[samples.shape[1]] += 1
        digest = digest_of(str(rate), str(samples.shape), samples.tobytes())
        values = {"audio": partial(_clip, member.file), "label": member.label}
        size = (len(samples) / rate,)
        examples.append(Example(member.where, member.split, digest, values, size))
    names = class_names([str(example.values["label"]) for example in examples])
    features = {"audio": audio_feature(), "label": tfds.features.ClassLabel(names=names)}
    notes += [*_mixed("sample rates in Hz", rates), *_mixed("channels", channels)]
    return Content(AUDIO, features, examples, problems, notes)


def _checked(file: Path) -> tuple[Any, int]:
    from zoo_runtime.preprocess.audio import as_mono, read_audio

    samples, rate = read_audio(file)
    if not len(samples):
        raise UsageError("has no samples.")
    as_mono((samples, rate), rate)
    return samples, rate


def _clip(file: Path) -> dict[str, Any]:
    from zoo_runtime.preprocess.audio import read_audio

    samples, rate = read_audio(file)
    return {SAMPLES: samples.mean(axis=1), RATE: rate}


def _mixed(what: str, counts: Counter[int]) -> list[str]:
    if len(counts) < 2:
        return []
    return [f"several {what}: {', '.join(f'{n:,} ({counts[n]:,} files)' for n in sorted(counts))}"]
