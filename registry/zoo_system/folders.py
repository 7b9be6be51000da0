"""Where files are kept, and what they are called in the folders that more than one room reads."""

from __future__ import annotations

import os
from pathlib import Path

# Of a run.
INFO = "run.json"
MODEL = "model.keras"
CHECKPOINTS = "checkpoints"
# Of a bundle.
MANIFEST = "manifest.json"
# Of both: the files that preprocessing names.
ASSETS = "assets"
TOKENIZER = "tokenizer.json"
_LONGEST = 200


def cache_folder() -> Path:
    """Return where fetched files are kept: ``KERAZOO_CACHE``, or else ``~/.cache/kerazoo``."""
    return Path(os.environ.get("KERAZOO_CACHE") or Path.home() / ".cache" / "kerazoo")


def is_plain_name(name: object) -> bool:
    """Return whether something is a name, and nothing that a path could be made of.

    Example:
        >>> [is_plain_name(name) for name in ("my digits", "../x", "/x", "a/b", "..", ".x", "")]
        [True, False, False, False, False, False, False]
    """
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST
        and name[0] != "."
        and name.isprintable()
        and not set(name) & {"/", "\\", ":"}
    )
