"""The recipes that come with Kerazoo: every TOML file in the folder ``builtin``.

One whose dataset is in the package kerazoo-data is here too where custom data may take its place;
only one that no other data would suit lies there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zoo_registry.entries import Elsewhere

RECIPES: Mapping[str, object] = {
    "resume-bias": Elsewhere("kerazoo-data"),
    **{path.stem: path for path in sorted((Path(__file__).parent / "builtin").glob("*.toml"))},
}
