"""What a file that writes texts wrote when it was exported, and writes again on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.errors import BundleError
from zoo_runtime.manifest import Artifact
from zoo_runtime.running import Runner
from zoo_runtime.running.writing import NEW, PROMPT, TEXT
from zoo_runtime.verification import Comparison

# Of the facts of such an artifact.
TEXTS = "texts"
_CUT, _END = "\N{REPLACEMENT CHARACTER}", "\0"


@dataclass(frozen=True)
class WrittenText:
    """The most probable text behind a prompt.

    Args:
        prompt: What it goes on from.
        max_new_tokens: How many tokens were added at most.
        text: What was written, up to where two tokens are about as probable as each other.
        is_whole: Whether that is all of it.
    """

    prompt: str
    max_new_tokens: int
    text: str
    is_whole: bool = True

    def is_in(self, found: str) -> bool:
        r"""Return whether a runtime wrote this.

        Bytes at the end that are no whole character may be left out, and LiteRT-LM has no NUL.

        Example:
            >>> WrittenText("Once", 4, " upon a", is_whole=False).is_in(" upon a time")
            True
            >>> WrittenText("Once", 4, " upon a").is_in(" upon a time")
            False
        """
        wanted, found = (text.replace(_END, "").rstrip(_CUT) for text in (self.text, found))
        return found == wanted if self.is_whole else found.startswith(wanted)


def texts_compared(count: int, different: int) -> Comparison:
    """Return how many texts are others than Keras wrote, as a row of a verification."""
    return Comparison(TEXT, (count,), float(different), 0.0)


def written_again(artifact: Artifact, runner: Runner) -> Comparison:
    """Let a file write what it wrote when it was exported, and compare.

    Args:
        artifact: Of the bundle.
        runner: It, loaded.

    Raises:
        BundleError: Its manifest does not say what it wrote.
    """
    rows = _rows(artifact)
    texts = runner.run(
        {
            PROMPT: np.array([row.prompt for row in rows]),
            NEW: np.array([row.max_new_tokens for row in rows], np.int32),
        }
    )[TEXT]
    pairs = zip(rows, texts, strict=True)
    return texts_compared(len(rows), sum(not row.is_in(str(text)) for row, text in pairs))


def _rows(artifact: Artifact) -> list[WrittenText]:
    found: Any = artifact.facts.get(TEXTS)
    try:
        rows = [schema.read(WrittenText, row, TEXTS) for row in found if isinstance(row, Mapping)]
    except (TypeError, UsageError) as error:
        raise BundleError(f"The texts of artifact '{artifact.path}' cannot be read.") from error
    if not rows:
        raise BundleError(f"Nothing says what artifact '{artifact.path}' writes. Export it again.")
    return rows
