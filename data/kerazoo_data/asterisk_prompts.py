"""Telephone prompts in English and Spanish, as Debian's asterisk-core-sounds has them."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kerazoo_data.specs import ASTERISK_PACKAGES
from zoo_recipes.custom_data.content import digest_of
from zoo_recipes.custom_data.splitting import part_of
from zoo_runtime.optional import need
from zoo_system.fetching import unpacked

RATE = 8000
LANGUAGES = {"en": "english", "es": "spanish"}
# Signals and an ape, the same recordings in both languages.
NO_SPEECH = (
    "silence/",
    *("ascending-2tone.", "descending-2tone.", "beep.", "beeperr.", "tt-monkeys."),
    *("confbridge-join.", "confbridge-leave."),
)
# What is left at the end of a prompt is a piece of its own from here on.
SHORTEST = RATE // 2


class AsteriskPrompts(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Pieces of one second of recorded prompts, in English or in Spanish.

    A prompt is in one split with all its pieces and in both languages. The packages name one
    speaker, Allison Smith, for both: what is measured here says nothing about other voices. The
    recordings of the two languages differ in their noise too (`benchmarks/asterisk_baseline.py`).
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "audio": tfds.features.Audio(dtype=np.int16, sample_rate=RATE),
                    "label": tfds.features.ClassLabel(names=list(LANGUAGES.values())),
                    "prompt": tfds.features.Text(),
                }
            ),
            supervised_keys=("audio", "label"),
            homepage="https://packages.debian.org/source/stable/asterisk-core-sounds",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        parts: dict[str, list[tuple[str, str, Path]]] = {"train": [], "validation": [], "test": []}
        for language, package in ASTERISK_PACKAGES.items():
            for prompt, file in _prompts(unpacked(package)):
                parts[part_of(digest_of(prompt))].append((language, prompt, file))
        return {part: self._generate_examples(found) for part, found in parts.items()}

    def _generate_examples(self, prompts: list[tuple[str, str, Path]]) -> Any:
        soundfile = need("soundfile", "An audio file")
        for language, prompt, file in prompts:
            samples, _ = soundfile.read(file, dtype="int16")
            for index, piece in enumerate(pieces(samples)):
                key = f"{language}/{prompt}/{index}"
                yield key, {"audio": piece, "label": LANGUAGES[language], "prompt": prompt}


def pieces(samples: Any) -> list[Any]:
    """Return a prompt in pieces of one second; a rest of less than half a second goes.

    Example:
        >>> [len(piece) for piece in pieces(np.zeros(21_000))], len(pieces(np.zeros(900)))
        ([8000, 8000, 5000], 1)
    """
    cut = [samples[start : start + RATE] for start in range(0, len(samples), RATE)]
    return cut[:1] + [piece for piece in cut[1:] if len(piece) >= SHORTEST]


def _prompts(folder: Path) -> Iterator[tuple[str, Path]]:
    (home,) = (folder / "usr" / "share" / "asterisk" / "sounds").iterdir()
    for file in sorted(home.rglob("*.wav")):
        name = file.relative_to(home).as_posix()
        if not name.startswith(NO_SPEECH):
            yield name.removesuffix(".wav"), file
