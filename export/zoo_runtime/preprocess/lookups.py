"""Vocabularies: words, such as the names of users and items, that have a number each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from zoo_registry import UsageError


def load_vocabulary(assets: Path | None, name: str) -> Mapping[str, int]:
    """Return the numbers of the words that a file of the assets lists, from 1 on.

    Raises:
        UsageError: There is no such file, or it is no list of words.
    """
    path = None if assets is None else Path(assets) / name
    if path is None or not path.is_file():
        raise UsageError(f"Step 'lookup' needs the file '{name}' among the assets: {assets}.")
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is no vocabulary: {error}") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"'{path}' is no vocabulary: it must be a JSON list of words.")
    numbers = {word: number for number, word in enumerate(words, 1)}
    if len(numbers) < len(words):
        raise UsageError(f"'{path}' is no vocabulary: it has a word twice.")
    return numbers
