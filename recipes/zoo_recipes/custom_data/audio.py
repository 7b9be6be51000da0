"""A folder of audio clips for each class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoo_recipes.custom_data.class_folders import Member, class_members, has_class_folders
from zoo_recipes.custom_data.content import (
    FILES_VERSION,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import LookAhead, watched
from zoo_registry import UsageError

AUDIO = Kind(
    name="sounds in classes",
    input="audio",
    label="label",
    tasks=("audio-classification",),
    unit="seconds",
    version=FILES_VERSION,
)
# The feature that is the file of an audio clip, as it is.
FILE = "file"


def is_audio_folder(path: Path) -> bool:
    """Return whether a folder has folders, and audio clips in them."""
    from zoo_runtime.preprocess.audio import SUFFIXES

    return has_class_folders(path, SUFFIXES)


def read_audio_folder(path: Path, columns: Columns) -> Content:
    """Read every file once.

    Each audio clip keeps its channels and its sample rate, and preprocessing brings all to one.

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
    files = [member.file for member in members if isinstance(member, Member)]
    looked_at = LookAhead(_look_at, files)
    for member in watched(members, "reading audio clips"):
        if isinstance(member, Problem):
            problems.append(member)
            continue
        try:
            clip = looked_at[member.file]
        except UsageError as error:
            text = str(error).removeprefix(f"'{member.file}' ").removesuffix(".")
            problems.append(Problem(member.where, text))
            continue
        rates[clip.rate] += 1
        channels[clip.channels] += 1
        values = {"audio": partial(_kept, member.file), "label": member.label}
        size = (clip.samples / clip.rate,)
        examples.append(Example(member.where, member.split, clip.digest, values, size))
    names = class_names([str(example.values["label"]) for example in examples])
    kept = tfds.features.FeaturesDict({FILE: tfds.features.Text()})
    features = {"audio": kept, "label": tfds.features.ClassLabel(names=names)}
    notes += [*_mixed("sample rates in Hz", rates), *_mixed("channels", channels)]
    return Content(AUDIO, features, examples, problems, notes)


@dataclass(frozen=True)
class _ClipInfo:
    """What is known of an audio clip that was read once; the digest is of its samples and rate."""

    digest: str
    samples: int
    channels: int
    rate: int


def _look_at(file: Path) -> _ClipInfo:
    from zoo_runtime.preprocess.audio import as_mono, read_audio

    samples, rate = read_audio(file)
    if not len(samples):
        raise UsageError("has no samples.")
    as_mono((samples, rate), rate)
    digest = digest_of(str(rate), str(samples.shape), samples.tobytes())
    return _ClipInfo(digest, len(samples), samples.shape[1], rate)


def _kept(file: Path) -> dict[str, bytes]:
    return {FILE: file.read_bytes()}


def _mixed(what: str, counts: Counter[int]) -> list[str]:
    if len(counts) < 2:
        return []
    return [f"several {what}: {', '.join(f'{n:,} ({counts[n]:,} files)' for n in sorted(counts))}"]
