"""Bundles, for the rooms that may not know who makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo_registry.specs import load_target
from zoo_system.folders import MANIFEST

# The room that runs them: named here as the registries name their tables.
LOAD_BUNDLE = "zoo_runtime.bundle:load_bundle"


def is_bundle(path: Path) -> bool:
    """Return whether a path is the folder of a bundle, or a file that may be one."""
    return path.is_file() or (path / MANIFEST).is_file()


def load_bundle(path: Path) -> Any:
    """Return a ``zoo_runtime.bundle.Bundle``.

    Args:
        path: Its folder, or its zip.

    Raises:
        ZooError: It is damaged.
    """
    return load_target(LOAD_BUNDLE)(path)
