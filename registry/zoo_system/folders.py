"""What files are called in the folders of runs and bundles, which more than one room reads."""

from __future__ import annotations

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
