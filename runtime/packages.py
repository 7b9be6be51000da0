"""Adds the packages of the repository to what is built of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = ("registry/zoo_system", "registry/zoo_registry", "export/zoo_runtime")


class Packages(BuildHookInterface):
    """Hatch's hook: includes :data:`PACKAGES` where the repository is around this folder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add what lies beside this folder; an archive of sources holds it already."""
        repository = Path(self.root).parent
        for package in PACKAGES:
            # An editable installation points at the repository.
            if version != "editable" and (repository / package).is_dir():
                build_data["force_include"][str(repository / package)] = Path(package).name
