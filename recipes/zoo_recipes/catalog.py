"""The recipes that come with Kerazoo: every TOML file in the folder ``builtin``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RECIPES: Mapping[str, object] = {
    path.stem: path for path in sorted((Path(__file__).parent / "builtin").glob("*.toml"))
}
